"""`make faults`, second part: the tasks of each scenario are cancelled at each of their awaits, in each way that steps.py has.

A scenario is run once to count the awaits, then once per (await, mode); case.py judges each run: nothing is left, no number is
used after its end, and the loop serves on. The shim fails nothing here; it keeps closed numbers out of use, so that a stale one
is seen.

Run by hand as `python faults/cancel.py [--only NAME] [--sample N] [--asyncio]`; tests/test_faults.py runs a sample.
"""

import argparse
import os
import pathlib
import random
import sys
import time

import case
import shim as shims
from known import is_known
from scenarios import SCENARIOS
from steps import MODES, Stepper

AT_MOST = 60


def indices(count: int) -> list[int]:
    """All, or, where there are very many, the first ones and an even choice of the others."""
    if count <= 2 * AT_MOST:
        return list(range(count))
    return [*range(AT_MOST), *range(AT_MOST, count, (count - AT_MOST) // AT_MOST)]


def sweep(options: argparse.Namespace) -> int:
    import asyncio

    import rondeau

    factory = asyncio.SelectorEventLoop if options.asyncio else rondeau.new_event_loop
    shim = shims.Shim()
    chance = random.Random(options.seed)
    ran = fired = failed = known = 0
    for name, scenario in SCENARIOS.items():
        if options.only and name not in options.only:
            continue
        begun = time.monotonic()
        for _ in range(2):
            counting = Stepper()
            wrong, _ = case.run(factory, scenario, shim, step=counting)
        if wrong:
            print(f"{name}: fails without a cancellation: {wrong}")
            return 1
        chosen = [(index, mode) for index in indices(counting.count) for mode in MODES]
        if options.sample and len(chosen) > options.sample:
            chosen = chance.sample(chosen, options.sample)
        bad = 0
        for index, mode in chosen:
            for _ in range(2):  # What hangs is run again: the machine may have been busy.
                stepper = Stepper(index, mode)
                wrong, _ = case.run(factory, scenario, shim, step=stepper)
                if not any("hangs" in text for text in wrong):
                    break
            fired += stepper.fired
            if wrong and is_known(name, "cancelled", wrong):
                known += 1
            elif wrong:
                bad += 1
                print(f"{name}, await {index} cancelled {mode}:")
                for text in wrong:
                    print(f"  {text}", flush=True)
        ran += len(chosen)
        failed += bad
        print(f"{name}: {counting.count} awaits, {len(chosen)} runs, {bad} wrong, {time.monotonic() - begun:.1f} s", flush=True)
    print(
        f"{ran} runs, in {fired} of which the await came again and was cancelled; {failed} wrong, {known} as known of CPython"
    )
    return 1 if failed or not ran else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="this scenario (may be given several times)")
    parser.add_argument("--sample", type=int, help="so many cancellations of each scenario, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    parser.add_argument("--asyncio", action="store_true", help="the oracle's arm")
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
