"""Runs each scenario once, without the shim: what `make valgrind` watches.

python faults/once.py [NAME ...]
"""

import asyncio
import gc
import sys

import rondeau
from scenarios import SCENARIOS, tls
from wire import Wire


def main() -> int:
    for times in (tls.TIMES, tls.UPGRADE):  # Valgrind takes its time.
        times.update(dict.fromkeys(times, 60))
    for name, scenario in SCENARIOS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        wire = Wire()
        with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
            runner.run(scenario(wire))
        assert not wire.wrong, wire.wrong
        print(name, flush=True)
    gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
