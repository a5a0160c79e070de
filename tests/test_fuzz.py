"""Some of the programs of `fuzz/`: none ends by a signal or hangs, none leaves another trace than with asyncio.

`make fuzz` runs 100,000 of each kind.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent.parent / "fuzz"
# What each kind can afford here, and how far apart its programs are: attributes and methods are counted through.
PARTS = {"attributes": (400, 53), "methods": (150, 61), "calls": (300, 7), "traces": (150, 11)}


@pytest.mark.parametrize("kind", PARTS)
def test_no_program_ends_by_a_signal(kind):
    if kind == "traces" and sys.version_info < (3, 13):
        pytest.skip("asyncio of older Pythons is not compared: some of its traces differ from the newest's")
    count, step = PARTS[kind]
    command = [sys.executable, str(FUZZ / "run.py"), "--only", kind, "--programs", str(count), "--step", str(step)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_ends_by_a_signal_is_reported_and_repeated_by_its_seed(tmp_path):
    """A kind whose fifth program ends its process, and whose seventh differs."""
    for source in FUZZ.glob("*.py"):
        (tmp_path / source.name).write_text(source.read_text())
    program = """
import os, signal
def program(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    return "here" if number == 7 else ""
"""
    (tmp_path / "traces.py").write_text(program)

    def run(*options):
        ran = subprocess.run([sys.executable, tmp_path / "run.py", *options], capture_output=True, text=True, timeout=60)
        return ran.returncode, ran.stdout

    status, said = run("--only", "traces", "--programs", "10")
    assert status == 1
    assert "SIGSEGV  --seed traces:5\n" in said
    assert "difference  --seed traces:7\nhere\n" in said
    assert "1 SIGSEGV, 1 difference, 10 programs" in said
    assert run("--seed", "traces:5")[0] == 1
    assert run("--seed", "traces:6") == (0, "")


# What was found once, by what it does: numbers change with the objects and their attributes.
FOUND = """
import asyncio, socket
import rondeau

def tried(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return type(error).__name__

async def main():
    loop = asyncio.get_running_loop()
    for handle in (loop.call_soon(int), loop.call_later(1000, int)):
        loop_, handle._loop = handle._loop, {junk}
        assert tried(handle.cancel) == "AttributeError"
        handle._loop = loop_
    condition = rondeau.Condition()
    condition._lock = condition
    async with condition:
        condition.notify_all()
    _, writer = await rondeau.open_connection(sock=socket.socketpair()[0])
    transport, writer._transport = writer._transport, writer
    for call in (writer.is_closing, writer.close, writer.can_write_eof, lambda: writer.write(b"x")):
        assert tried(call) == "RecursionError"
    writer._transport = transport
    transport.abort()
    reader = rondeau.StreamReader.__new__(rondeau.StreamReader)
    for read in (reader.readline, reader.read, lambda: reader.readexactly(1), lambda: reader.readuntil(b"x")):
        assert tried(lambda: read().send(None)) == "AttributeError"
    writer = rondeau.StreamWriter.__new__(rondeau.StreamWriter)
    for wait in (writer.drain, writer.wait_closed):
        assert tried(lambda: wait().send(None)) == "AttributeError"
    barrier = rondeau.Barrier(2)
    barrier._count = 2**63 - 1
    waits = asyncio.ensure_future(barrier.wait())
    await asyncio.wait([waits], timeout=0)
    waits.cancel()
    await asyncio.wait([waits], timeout=0)

rondeau.run(main())
"""


@pytest.mark.parametrize("junk", ["5", "'x'", "b'x'", "(1, 2)", "[]", "object()", "int"])
def test_fields_that_hold_junk(junk):
    ran = subprocess.run([sys.executable, "-c", FOUND.replace("{junk}", junk)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr  # A writer that was never initialised says so when it is freed, as in asyncio.
