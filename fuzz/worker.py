"""Runs programs of one kind, one number after the other, and says each number before it runs it. Started by `run.py`."""

import faulthandler
import importlib
import logging
import os
import resource
import signal
import sys
import warnings


class TooLong(BaseException):
    """A program that waits for ever in Python code: it is left, and so is this process."""


def main(kind: str, first: int, count: int, step: int) -> int:
    # Programs print, too.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    program = importlib.import_module(kind).program
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable()
    sys.unraisablehook = lambda unraisable: None
    if "ASAN_OPTIONS" not in os.environ:  # Its shadow is large.
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

    def alarm(number: int, frame: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, alarm)
    for number in range(first, first + count * step, step):
        print(number, file=told, flush=True)
        signal.setitimer(signal.ITIMER_REAL, 8, 0.5)
        try:
            said = program(number)
        except TooLong:
            return 3
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if said:
            print("differs", said, file=told, flush=True)
    print("end", file=told, flush=True)
    os._exit(0)  # What the last programs left behind need not be taken apart.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:5])))
