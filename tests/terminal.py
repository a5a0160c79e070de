"""A person at a terminal, for the tests of input: a program on a pseudo-terminal, what it shows, and what is typed.

The program's descriptors 0, 1 and 2 are the terminal's, and the test keeps the same open file, as a shell does: what the
program does to its flags or to the terminal's settings can be seen here, also after it was killed.
"""

import fcntl
import os
import select
import subprocess
import sys
import termios

# `run(main)` and `ainput` for each arm. For `input` it is the plain function, the oracle.
PROLOGUE = """
import asyncio, fcntl, os, signal, sys, termios
import rondeau
from rondeau import ainput, stdin, stdout
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and a child inherits that.
if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
arm = sys.argv[1]
if arm == "input":
    async def ainput(prompt=""):
        return input(prompt)
def run(main):
    with asyncio.Runner(loop_factory=rondeau.new_event_loop if arm == "rondeau" else asyncio.SelectorEventLoop) as runner:
        return runner.run(main)
"""
PATIENCE = 30.0


class Terminal:
    """`with Terminal(arm, program) as terminal: terminal.shows("? "); terminal.type("soup\\n")`"""

    def __init__(self, arm, program):
        self._master, self.slave = os.openpty()
        self.settings = termios.tcgetattr(self.slave)
        self.flags = fcntl.fcntl(self.slave, fcntl.F_GETFL)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROLOGUE + program, arm],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb", "PYTHON_COLORS": "0", "PYTHONUNBUFFERED": ""},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self.slave)

    def type(self, keys):
        os.write(self._master, keys.encode())

    def shows(self, text):
        """Wait until `text` is shown; return what came before it."""
        while text not in self.seen:
            assert select.select([self._master], [], [], PATIENCE)[0], f"never showed {text!r}, but {self.seen!r}"
            self.seen += os.read(self._master, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def ends(self):
        """Wait for the program's end; return its exit status, after comparing what it may not change."""
        # What it shows must be read, or its last close would wait.
        while self.process.poll() is None:
            if select.select([self._master], [], [], 0.01)[0]:
                self.seen += os.read(self._master, 4096).decode()
        while select.select([self._master], [], [], 0)[0]:
            self.seen += os.read(self._master, 4096).decode()
        self.is_sane()
        return self.process.returncode

    def is_sane(self):
        assert fcntl.fcntl(self.slave, fcntl.F_GETFL) == self.flags
        assert termios.tcgetattr(self.slave) == self.settings
