"""Other people's test suites on Rondeau: `python upstream/run.py`, or `make upstream`.

aiohttp, anyio, uvicorn, websockets and Tornado, each as its authors run it, first on asyncio and then with Rondeau in every
place where asyncio makes a loop (conformance/substitute.py). What asyncio passes Rondeau must pass, but for the strict list in
expected.toml. suites.toml says what is run, sources.py where it comes from; running and judging is conformance's.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sources

HERE = Path(__file__).parent
sys.path.insert(1, str(HERE.parent / "conformance"))

import expected  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="default: all in suites.toml")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="tests whose id contains TEXT")
    parser.add_argument("--sources", type=Path, metavar="FOLDER", help="with archives named NAME-VERSION.tar.gz")
    parser.add_argument("--wheel", type=Path, help="Rondeau's, to be installed beside each; default: it is importable already")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="of a single test (default: %(default)g)")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="files at a time (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="tracebacks in full")
    return parser.parse_args()


def worker(suite: sources.Suite) -> process.Worker:
    how = {"root": str(suite.root), "runner": suite.runner, "options": suite.options, "prologue": suite.prologue}
    return process.Worker((HERE / "worker.py", json.dumps(how)), suite.python)


def verdicts(suite: sources.Suite, chosen: argparse.Namespace, listed: dict[str, expected.Listed]) -> list[expected.Verdict]:
    how = worker(suite)
    names = suite.names()

    def run(arm: str, name: str) -> process.Module:
        return process.run(arm, name, chosen.timeout, chosen.only, once=listed, worker=how)

    # The two arms of a file one after the other, so that a machine that slows down slows down both.
    def both(name: str) -> tuple[process.Module, process.Module]:
        return run("asyncio", name), run("loop", name)

    with ThreadPoolExecutor(chosen.jobs) as pool:
        pairs = list(pool.map(both, names))
    report.notes([base for base, _ in pairs], [], {})
    found = [expected.judge(base, module, listed, whole=not chosen.only) for base, module in pairs]
    for verdict in found:
        verdict.arm = suite.name
    return [verdict for verdict in found if verdict.counted or verdict.wrong]


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
    for suite in suites:
        try:
            sources.prepare(suite, chosen.sources, chosen.wheel)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"upstream: {suite.name} {suite.version} cannot be had: {error}", file=sys.stderr)
            return 2
        print(f"--- {suite.name} {suite.version}", flush=True)
        ours = verdicts(suite, chosen, listed[suite.name])
        report.failures(ours, chosen.verbose)
        found += ours
    report.modules(found)
    print()
    report.notes([], found, listed)
    return 0 if report.rates(found) else 1


if __name__ == "__main__":
    sys.exit(main())
