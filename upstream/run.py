"""Other people's test suites on Rondeau: `python upstream/run.py`, or `make upstream`.

aiofiles, aioftp, aiohttp, anyio, janus, uvicorn, websockets and Tornado, each as its authors run it, first on asyncio and then
with Rondeau in every place where asyncio makes a loop, or with `--native` for all of asyncio that Rondeau has natively
(conformance/substitute.py). What asyncio passes Rondeau must pass, but for the strict list in expected.toml. suites.toml says
what is run, sources.py where it comes from; running and judging is conformance's.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import sources

HERE = Path(__file__).parent
sys.path.insert(1, str(HERE.parent / "conformance"))

import expected  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402
from progress import Progress  # noqa: E402
from progress import key as progress_key  # noqa: E402

ROUNDS = 3  # so often asyncio must pass what Rondeau fails


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="default: all in suites.toml")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="tests whose id contains TEXT")
    parser.add_argument("--sources", type=Path, metavar="FOLDER", help="with archives named NAME-VERSION.tar.gz")
    parser.add_argument("--wheel", type=Path, help="Rondeau's, to be installed beside each; default: it is importable already")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="of a single test (default: %(default)g)")
    parser.add_argument("--native", action="store_true", help="everything that rondeau has of asyncio's, not only the loop")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run of the same Rondeau found")
    parser.add_argument("--verbose", action="store_true", help="tracebacks in full")
    return parser.parse_args()


def worker(suite: sources.Suite) -> process.Worker:
    how = {"root": str(suite.root), "runner": suite.runner, "options": suite.options, "prologue": suite.prologue}
    return process.Worker((HERE / "worker.py", json.dumps(how)), suite.python)


def verdicts(
    suite: sources.Suite, chosen: argparse.Namespace, listed: dict[str, expected.Listed], progress: Progress
) -> list[expected.Verdict]:
    how = worker(suite)
    key = progress_key(suite)
    names = suite.names()
    found = []
    # One file at a time and its two arms one after the other: a machine that slows down slows down both.
    for at, name in enumerate(names, 1):
        pair = []
        for arm in ("asyncio", "native" if chosen.native else "loop"):
            module = None if chosen.only else progress.find(key, arm, name)
            if module is None:
                module = process.run(arm, name, chosen.timeout, chosen.only, once=listed, worker=how)
                if not chosen.only:
                    progress.keep(key, module)
            pair.append(module)
        base, module = pair
        verdict = expected.judge(base, module, listed, whole=not chosen.only)
        flaky(verdict, base, how, chosen.timeout)
        verdict.arm = suite.name
        print(f"{at}/{len(names)} {name}: {verdict.passed} of {verdict.counted}, {module.seconds:.0f} s", flush=True)
        report.notes([base], [], {})
        report.failures([verdict], chosen.verbose)
        found.append(verdict)
    return [verdict for verdict in found if verdict.counted or verdict.wrong]


def flaky(verdict: expected.Verdict, base: process.Module, how: process.Worker, timeout: float) -> None:
    """What went wrong is run again on asyncio, alone, as it was here: a test that asyncio fails too is not counted."""
    for test in [test for test, ours in verdict.wrong.items() if ours.kind in ("failed", "hung", "crashed")][: process.AGAIN]:
        for _ in range(ROUNDS):
            second = process.again("asyncio", base.name, test, timeout, how)
            if second.kind != "passed":
                print(f"not counted, since asyncio has it {second.kind} now and then: {test}", flush=True)
                del verdict.wrong[test]
                verdict.counted -= 1
                break


def main() -> int:
    chosen = arguments()
    suites = sources.load()
    if unknown := set(chosen.suites) - {suite.name for suite in suites}:
        print(f"upstream: no such suite: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    suites = [suite for suite in suites if not chosen.suites or suite.name in chosen.suites]
    listed = expected.load([suite.name for suite in sources.load()], HERE / "expected.toml")
    print(f"Python {platform.python_version()}, RONDEAU_DRIVER={os.environ.get('RONDEAU_DRIVER', '(not set)')}", flush=True)
    found: list[expected.Verdict] = []
    progress = Progress(sources.TARGET / "{}.{}".format(*sys.version_info) / "found.jsonl", chosen.resume)
    for suite in suites:
        try:
            sources.prepare(suite, chosen.sources, chosen.wheel)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"upstream: {suite.name} {suite.version} cannot be had: {error}", file=sys.stderr)
            return 2
        print(f"--- {suite.name} {suite.version}", flush=True)
        found += verdicts(suite, chosen, listed[suite.name], progress)
    report.modules(found)
    print()
    report.notes([], found, listed)
    return 0 if report.rates(found) else 1


if __name__ == "__main__":
    sys.exit(main())
