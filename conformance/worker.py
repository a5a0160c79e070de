"""One test module in one arm, in a process of its own: `worker.py ARM MODULE CHANNEL TIMEOUT < which tests`.

Started by process.py, which reads what happens from the descriptor CHANNEL, one JSON list a line: `["all", ids]` first,
`["start", id]` before a test, `["end", id, outcome, detail]` after it, `["setup", where, detail]` for what fails outside of
tests, `["done"]` last. Whatever dies or hangs in between is the test that has started and not ended. Standard input has a JSON
list of two: texts of which an id must contain one (none: all are there), and the ids that are run (null: all).
"""

import ctypes
import faulthandler
import importlib
import json
import os
import signal
import sys
import unittest
from typing import Any

PR_SET_PDEATHSIG = 1  # prctl(2): a worker does not outlive run.py


class Channel:
    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._process = os.getpid()

    def say(self, *what: Any) -> None:
        # A test that forks has this object in the child as well.
        if os.getpid() == self._process:
            line = json.dumps(what).encode() + b"\n"
            while line:
                line = line[os.write(self._descriptor, line) :]


class Result(unittest.TestResult):
    """Tells each test's outcome as it happens. A test's worst part counts: its subtests, its clean-ups."""

    def __init__(self, channel: Channel, timeout: float) -> None:
        super().__init__()
        self._channel = channel
        self._timeout = timeout
        self._outcome: tuple[str, str] = ("passed", "")

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome = ("passed", "")
        self._channel.say("start", short(test.id()))
        # Where it hangs is written just before process.py loses patience.
        faulthandler.dump_traceback_later(max(self._timeout - 1, 0.5))

    def stopTest(self, test: unittest.TestCase) -> None:
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        self._channel.say("end", short(test.id()), *self._outcome)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        if isinstance(test, unittest.TestCase):
            self._outcome = ("failed", self._told(err, test))
        else:
            # A class's or the module's own set-up: the tests behind it are never started, and count as not run.
            self._channel.say("setup", test.id(), self._told(err, test))

    addFailure = addError

    def _told(self, err: Any, test: unittest.TestCase) -> str:
        text: str = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]
        return text

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self.addError(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        if not isinstance(test, unittest.TestCase):
            self._channel.say("setup", test.id(), f"skipped: {reason}")
        elif self._outcome[0] == "passed":
            self._outcome = ("skipped", reason)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._outcome = ("failed", "unexpected success")


def short(identity: str) -> str:
    return identity.removeprefix("test.test_asyncio.")


def tests_of(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found: list[unittest.TestCase] = []
    for part in suite:
        found += tests_of(part) if isinstance(part, unittest.TestSuite) else [part]
    return found


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    arm, module, descriptor, timeout = sys.argv[1:]
    channel = Channel(int(descriptor))
    only, wanted = json.load(sys.stdin)
    # Here and not above: a process that a test spawns imports this file again, and does not find its neighbours.
    from suites import LEFT_OUT, REBINDERS

    if arm != "asyncio":
        import substitute

        channel.say("rebound", substitute.everything(arm, types_too=short(module) not in REBINDERS))
    # What the tests start finds neither this folder nor these arguments.
    sys.path.pop(0)
    sys.argv[1:] = []
    faulthandler.enable()
    # What a shell starts in the background has Ctrl-C ignored, and Python leaves that so; the suites interrupt themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))
    except unittest.SkipTest as skip:
        channel.say("all", [])
        channel.say("setup", module, f"skipped: {skip}")
        channel.say("done")
        return
    tests = {short(test.id()): test for test in tests_of(suite)}
    tests = {name: test for name, test in tests.items() if not name.startswith(LEFT_OUT)}
    tests = {name: test for name, test in tests.items() if not only or any(text in name for text in only)}
    channel.say("all", list(tests))
    chosen = [test for name, test in tests.items() if wanted is None or name in wanted]
    unittest.TestSuite(chosen).run(Result(channel, float(timeout)))
    channel.say("done")


if __name__ == "__main__":
    main()
    # A thread or a child that a failed test left behind must not keep the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
