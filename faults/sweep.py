"""`make faults`: each system call of each scenario fails once, with each errno that it may plausibly fail with.

A scenario is run to count its calls, then once per (call, index, errno); case.py judges each run. Where a call is made very
often (a transfer of megabytes), only the first AT_MOST of its kind and an even choice of the others are taken, unless --all.

Run by hand as `python faults/sweep.py [--only NAME] [--call NAME] [--sample N] [--asyncio] [--all]`; tests/test_faults.py runs
a sample. It starts itself again with the shim loaded.
"""

import argparse
import errno
import os
import pathlib
import random
import sys
import time
from collections.abc import Iterator

import case
import shim as shims
from known import is_known, listed
from scenarios import SCENARIOS

AT_MOST = 12


def indices(count: int, every: bool) -> list[int]:
    if every or count <= 2 * AT_MOST:
        return list(range(count))
    stride = max(1, (count - AT_MOST) // AT_MOST)
    return [*range(AT_MOST), *range(AT_MOST, count, stride)]


def faults(counts: dict[str, int], call: str | None, every: bool) -> Iterator[tuple[str, int, int]]:
    for kind, numbers in shims.PLAUSIBLE.items():
        if call in (None, kind):
            for index in indices(counts[kind], every):
                for number in numbers:
                    yield kind, index, number


def told(fault: tuple[str, int, int]) -> str:
    call, index, number = fault
    return f"{call} #{index} {'SHORT' if number == shims.SHORT else errno.errorcode[number]}"


def is_invisible(call: str, index: int, number: int) -> bool:
    """Whether the loop must make up for it, so that the program sees nothing. sendfile has a fallback for its first call."""
    if call in ("close", "io_uring_close", "fork", "write") or (call, number) == ("io_uring_enter", errno.EBUSY):
        return False
    if call == "sendfile" and number in (errno.ENOSYS, errno.EINVAL):
        return index == 0
    return number in shims.HARMLESS


def sweep(options: argparse.Namespace) -> int:
    import asyncio

    import rondeau

    factory = asyncio.SelectorEventLoop if options.asyncio else rondeau.new_event_loop
    shim = shims.Shim()
    chance = random.Random(options.seed)
    failed = ran = fired = known = 0
    for name, scenario in SCENARIOS.items():
        if options.only and name not in options.only:
            continue
        begun = time.monotonic()
        for _ in range(2):  # The first fills caches, whose files are opened once.
            wrong, counts = case.run(factory, scenario, shim, invisible=True)
        if wrong:
            print(f"{name}: fails without a failure: {wrong}")
            return 1
        chosen = [
            fault for fault in faults(counts, options.call, options.all) if not (options.sample and listed(name, fault[0]))
        ]
        if options.sample and len(chosen) > options.sample:
            chosen = chance.sample(chosen, options.sample)
        bad = 0
        for fault in chosen:
            invisible = is_invisible(*fault)
            wrong, _ = case.run(factory, scenario, shim, fault=fault, invisible=invisible)
            fired += shim.fired
            if any("hangs" in text for text in wrong):
                wrong, _ = case.run(factory, scenario, shim, fault=fault, invisible=invisible)
            if wrong and is_known(name, fault[0], wrong):
                known += 1
            elif wrong:
                bad += 1
                print(f"{name}, {told(fault)}:")
                for text in wrong:
                    print(f"  {text}", flush=True)
        ran += len(chosen)
        failed += bad
        print(f"{name}: {len(chosen)} failures, {bad} wrong, {time.monotonic() - begun:.1f} s", flush=True)
    print(
        f"{ran} runs, in {fired} of which the call was made again and failed; {known} wrong as known of CPython, {failed} wrong"
    )
    return 1 if failed or not ran else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="this scenario (may be given several times)")
    parser.add_argument("--call", help="this system call")
    parser.add_argument("--sample", type=int, help="so many failures of each scenario, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    parser.add_argument("--asyncio", action="store_true", help="the oracle's arm")
    parser.add_argument("--all", action="store_true", help="every index of every call")
    parser.add_argument(
        "--build", type=pathlib.Path, default=pathlib.Path(__file__).parent / ".build", help="where the shim is made"
    )
    options = parser.parse_args()
    if "faults-shim" not in os.environ.get("LD_PRELOAD", ""):
        made = shims.build(options.build)
        os.execve(sys.executable, [sys.executable, *sys.argv], shims.environment(made))
    return sweep(options)


if __name__ == "__main__":
    sys.exit(main())
