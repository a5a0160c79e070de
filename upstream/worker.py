"""One file of somebody's tests in one arm: conformance/worker.py, and its twin for pytest.

`worker.py SUITE ARM FILE CHANNEL TIMEOUT < which tests`: SUITE is a JSON object with the suite's root, runner, options and
prologue; the rest, and what goes over CHANNEL, is as in conformance/worker.py. Under pytest a test's id is pytest's.
"""

import ctypes
import faulthandler
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

CONFORMANCE = str(Path(__file__).parents[1] / "conformance")
PR_SET_PDEATHSIG = 1  # prctl(2): a worker does not outlive run.py


class Teller:
    """The pytest plugin that tells what happens."""

    def __init__(self, channel: Any, timeout: float, only: list[str], wanted: list[str] | None) -> None:
        self._channel = channel
        self._timeout = timeout
        self._only = only
        self._wanted = wanted
        self._outcome = ("passed", "")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if not self._only or any(text in item.nodeid for text in self._only)]

    # After every plugin has taken out what it does not want: what is left is what the file has.
    def pytest_collection_finish(self, session: Any) -> None:
        self._channel.say("all", [item.nodeid for item in session.items])
        if self._wanted is not None:
            session.items[:] = [item for item in session.items if item.nodeid in self._wanted]

    def pytest_collectreport(self, report: Any) -> None:
        if report.skipped:
            self._channel.say("setup", report.nodeid, f"skipped: {report.longrepr[2]}".replace("\n", " "))
        elif report.failed:
            self._channel.say("setup", report.nodeid, str(report.longrepr))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._outcome = ("passed", "")
        self._channel.say("start", nodeid)
        faulthandler.dump_traceback_later(max(self._timeout - 1, 0.5))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._outcome = ("failed", f"{report.when}: {report.longreprtext}")
        elif report.skipped and not hasattr(report, "wasxfail") and self._outcome[0] == "passed":
            self._outcome = ("skipped", str(report.longrepr))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._channel.say("end", nodeid, *self._outcome)


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    suite = json.loads(sys.argv.pop(1))
    sys.path[:1] = [CONFORMANCE, suite["root"]]
    exec(suite["prologue"])
    if suite["runner"] == "unittest":
        import worker

        worker.main()
        return

    arm, file, descriptor, timeout = sys.argv[1:]
    from worker import Channel

    channel = Channel(int(descriptor))
    only, wanted = json.load(sys.stdin)
    if arm != "asyncio":
        import substitute

        channel.say("rebound", substitute.everything(arm))
    sys.path.pop(0)
    sys.argv[1:] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(suite["root"])
    import pytest

    # Not the suite's own addopts: they spread the tests over processes and measure coverage.
    ours = ["-o", "addopts=", "-o", "faulthandler_timeout=0", "-p", "no:cacheprovider"]
    code = pytest.main([*ours, *suite["options"], file], plugins=[Teller(channel, float(timeout), only, wanted)])
    if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        channel.say("done")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
