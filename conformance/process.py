"""Runs one test module in one arm to its end, whatever its tests do to the process.

Called by run.py, and by upstream/run.py with a worker of its own, from a few threads. The module's tests run in one worker
process; a test that takes it down or hangs is written off, and a new worker takes up the rest. A test that did not pass is run
once more, alone in a process: what passes then was disturbed by its neighbours or by a busy machine, and is reported as such.

Rejected: a process for each test. The suites import in 0.2 s, and there are 2,500 of them: eight minutes an arm, for nothing.

Invariant: a worker leads a session of its own, and only that is ever killed.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AGAIN = 20  # tests of a module that are run again at most: where more fail it is no accident
TAIL = 6000  # bytes of a dead worker's standard error


@dataclass
class Outcome:
    """How a test ended: `passed`, `failed`, `skipped`, `crashed`, `hung` or `not run`."""

    kind: str
    detail: str = ""
    alone: bool = False  # It passed only when it was run again, alone.


@dataclass(frozen=True)
class Worker:
    """How a worker is started: with this interpreter and these arguments, then worker.py's own: ARM MODULE CHANNEL TIMEOUT."""

    arguments: tuple[str | Path, ...] = (Path(__file__).with_name("worker.py"),)
    python: str | Path = sys.executable
    environment: Mapping[str, str] | None = None


@dataclass
class Module:
    """All of a module's tests by id, in the order in which the module has them."""

    arm: str
    name: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rebound: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    worker: Worker = Worker()

    @property
    def short(self) -> str:
        """What its tests' ids begin with."""
        return self.name.removeprefix("test.test_asyncio.")


def run(
    arm: str,
    module: str,
    timeout: float,
    only: Sequence[str] = (),
    once: Container[str] = (),
    worker: Worker = Worker(),
) -> Module:
    """Run `module` (a name that `worker` understands) in `arm`; a single test may take `timeout` seconds.

    `only` are texts that pick among its ids, `once` the ids of tests that are not run again when they fail.
    """
    began = time.monotonic()
    found = Module(arm, module, worker=worker)
    _everything(found, timeout, only)
    failed = {test: outcome for test, outcome in found.outcomes.items() if outcome.kind not in ("passed", "skipped")}
    for test in [test for test in failed if test not in once and test != module][:AGAIN]:
        if again(arm, module, test, timeout, worker).kind == "passed":
            found.outcomes[test] = Outcome("passed", failed[test].detail, alone=True)
    found.seconds = time.monotonic() - began
    return found


def again(arm: str, module: str, test: str, timeout: float, worker: Worker = Worker()) -> Outcome:
    """Run one test of `module` alone in a process."""
    second = Module(arm, module, worker=worker)
    _worker(second, (), {test}, timeout)
    return second.outcomes.get(test, Outcome("not run"))


def _everything(found: Module, timeout: float, only: Sequence[str]) -> None:
    left: set[str] | None = None
    while left is None or left:
        known = len(found.outcomes)
        everything, setup = _worker(found, only, left, timeout)
        if everything is None:
            found.outcomes[found.name] = Outcome("crashed", f"the module cannot be imported\n{setup}")
            break
        left = set(everything) - found.outcomes.keys()
        if len(found.outcomes) == known:
            # The worker came to its end, or died outside any test: what is left cannot be run.
            kind = "skipped" if setup and all(": skipped: " in line for line in setup.splitlines()) else "not run"
            found.outcomes |= {test: Outcome(kind, setup) for test in left}
            break


def _worker(found: Module, only: Sequence[str], wanted: set[str] | None, timeout: float) -> tuple[list[str] | None, str]:
    """One process; what its tests did goes into `found`.

    Returns the ids that the module has (None: it could not be imported), and what went wrong outside of tests.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder, open(f"{folder}/output", "w+b") as output:
        process = subprocess.Popen(
            [found.worker.python, *found.worker.arguments, found.arm, found.name, str(writing), str(timeout)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[writing],
            cwd=folder,
            env=found.worker.environment,
            start_new_session=True,
        )
        os.close(writing)
        assert process.stdin is not None
        process.stdin.write(json.dumps([list(only), None if wanted is None else sorted(wanted)]).encode())
        process.stdin.close()
        everything: list[str] | None = None
        setup: list[str] = []
        running, hung = None, False
        try:
            for message in _messages(reading, process, timeout):
                match message:
                    case ["all", ids]:
                        everything = ids
                    case ["rebound", what]:
                        found.rebound = what
                    case ["start", test]:
                        running = test
                    case ["end", test, kind, detail]:
                        running = None
                        found.outcomes[test] = Outcome(kind, detail)
                    case ["setup", where, detail]:
                        setup.append(f"{where}: {detail}")
                    case ["hung"]:
                        hung = True
                        os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        finally:
            os.close(reading)
            try:
                os.killpg(process.pid, signal.SIGKILL)  # What its tests left running.
            except ProcessLookupError:
                pass
            process.wait()
        output.seek(max(output.seek(0, os.SEEK_END) - TAIL, 0))
        said = output.read().decode(errors="replace")
    if running is not None:
        how = f"no end after {timeout:g} s" if hung else f"the process ended with {code}"
        found.outcomes[running] = Outcome("hung" if hung else "crashed", f"{how}\n{said}")
    elif code != 0:
        setup.append(f"the process ended with {code} outside any test\n{said}")
    return everything, "\n".join(setup)


def _messages(reading: int, process: subprocess.Popen[bytes], timeout: float) -> Iterator[list[Any]]:
    """What the worker says, until it is done or dead; `["hung"]` as the last when it says nothing for `timeout` seconds."""
    end = os.pidfd_open(process.pid)
    rest = b""
    try:
        while True:
            # Its children may hold the channel open, so the end of the process is waited for, not the end of the pipe.
            ready, _, _ = select.select([reading, end], [], [], timeout)
            if not ready:
                yield ["hung"]
                return
            if reading not in ready:
                return
            data = os.read(reading, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                yield message
                if message == ["done"]:
                    return
    finally:
        os.close(end)
