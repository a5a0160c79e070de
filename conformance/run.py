"""CPython's own asyncio tests on Rondeau: `python conformance/run.py`, or `make conformance`.

The tests come from the interpreter that runs this file, and asyncio is run first: what it passes here, Rondeau must pass.
suites.py says which modules, substitute.py how they get Rondeau, process.py how a test that hangs or crashes is contained,
expected.py what may fail.
"""

import argparse
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor

import expected
import process
import report
import suites


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--native", action="store_true", help="everything that rondeau has of asyncio's, not only the loop")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="tests whose id contains TEXT")
    parser.add_argument("--arm", action="append", choices=suites.ARMS, help="default: loop and types; with --native: native")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="of a single test (default: %(default)g)")
    parser.add_argument(
        "--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="modules at a time (default: %(default)s)"
    )
    parser.add_argument("--verbose", action="store_true", help="tracebacks in full, and what was rebound where")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    arms = chosen.arm or (["native"] if chosen.native else ["loop", "types"])
    try:
        modules = {arm: suites.present(suites.ARMS[arm]) for arm in arms}
        listed = expected.load(suites.ARMS)
    except (LookupError, ValueError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2

    print(f"Python {platform.python_version()}, RONDEAU_DRIVER={os.environ.get('RONDEAU_DRIVER', '(not set)')}", flush=True)
    pairs = [(arm, module) for arm in arms for module in modules[arm] if may_match(module, chosen.only)]
    bases = dict.fromkeys(module for _, module in pairs)

    def run(arm: str, module: str) -> process.Module:
        return process.run(arm, f"{suites.PACKAGE}.{module}", chosen.timeout, chosen.only, once=listed.get(arm, ()))

    with ThreadPoolExecutor(chosen.jobs) as pool:
        base = dict(zip(bases, pool.map(lambda module: run(suites.BASELINE, module), bases), strict=True))
        found = list(pool.map(lambda pair: run(*pair), pairs))
    verdicts = [
        expected.judge(base[pair[1]], module, listed[pair[0]], whole=not chosen.only)
        for pair, module in zip(pairs, found, strict=True)
    ]
    verdicts = [each for each in verdicts if each.counted or each.wrong]
    report.failures(verdicts, chosen.verbose)
    report.modules(verdicts)
    print()
    if chosen.verbose:
        for arm in arms:
            print(f"rebound in {arm}:", next(module.rebound for module in found if module.arm == arm))
    report.notes(base.values(), verdicts, listed)
    return 0 if report.rates(verdicts) else 1


def may_match(module: str, only: list[str]) -> bool:
    """Whether `only` can pick a test of this module: a text that begins with a module's name picks in that module only."""
    every = {name for names in suites.ARMS.values() for name in names}
    return not only or any(text.split(".")[0] not in every - {module} for text in only)


if __name__ == "__main__":
    sys.exit(main())
