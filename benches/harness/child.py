"""The parent's handle on an arm's child process: asks for rounds and waits for answers, with a deadline."""

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import arms
from harness.workload import Case

HERE = Path(__file__).resolve().parent.parent


class ChildFailedError(Exception):
    """A round that gave no figure, and why."""


class Child:
    """One child process; `arm` is imported there and nowhere else."""

    def __init__(self, arm: str, before: Path | None = None) -> None:
        """`before` is the folder that the arms of another build import rondeau from."""
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("PYTHONASYNCIODEBUG", None)
        if arm in arms.BEFORE.values() and before is not None:
            environment["PYTHONPATH"] = str(before)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.worker", arm],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._pending = b""
        try:
            self.version: str = self.answer(30)["version"]
        except ChildFailedError:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, module: str, case: Case) -> None:
        assert self._process.stdin is not None
        request = {"module": module, "case": asdict(case)}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any]:
        """The child's next line; ChildFailedError for an error, the child's end or silence."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            if not select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
                raise ChildFailedError(f"no answer within {seconds:.0f} s")
            piece = os.read(descriptor, 65536)
            if not piece:
                raise ChildFailedError(f"its process ended with status {self._process.wait()}")
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildFailedError(answer["error"])
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
