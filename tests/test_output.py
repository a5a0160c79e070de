"""stdout() and stderr(): in order with print, a slow reader holds up nobody, nothing is lost, no descriptor's flag changes."""

import contextlib
import fcntl
import io
import os
import signal
import subprocess
import sys

import pytest

import rondeau
from terminal import PROLOGUE, Terminal

ARMS = ["asyncio", "rondeau"]


@pytest.fixture(params=ARMS)
def start(request):
    """Starts a program whose standard output is a pipe that nobody reads yet; gives the process and the pipe's flags."""
    started = []

    def start(program, *options, stdout=subprocess.PIPE):
        command = [sys.executable, *options, "-c", PROLOGUE + program, request.param]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def flags(file):
    return fcntl.fcntl(file, fcntl.F_GETFL)


MUCH = "".join(f"line {n}\n" for n in range(100_000))


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_a_slow_reader_holds_up_nobody(start, options):
    program = """
async def main():
    print("begun", end=" ")
    stdout().write("".join(f"line {n}\\n" for n in range(100_000)).encode())
    print("printed while it waits")
    stdout().write(b"and after that\\n")
    await ainput()  # the loop turns
    print("asked", file=sys.stderr, flush=True)
    await stdout().drain()
    print("at the end", end="")
run(main())
"""
    process = start(program, *options)
    process.stdin.write(b"go on\n")
    process.stdin.flush()
    assert process.stderr.readline() == b"asked\n"  # and nothing was read yet
    assert not flags(process.stdout) & os.O_NONBLOCK
    out, error = process.communicate()
    assert (process.returncode, error) == (0, b"")
    assert out.decode() == f"begun {MUCH}printed while it waits\nand after that\nat the end"


@pytest.mark.parametrize("after", ["", "print('after')", "run(asyncio.sleep(0))", "os.fork() or os._exit(0)"])
def test_what_a_loop_leaves_is_written(start, after):
    program = f"""
async def main():
    print("begun")
    stdout().write(("served" * 100_000).encode())
    print("in the loop")
run(main())
{after}
"""
    process = start(program)
    out, error = process.communicate()
    assert (process.returncode, error) == (0, b"")
    assert out.decode() == "begun\n" + "served" * 100_000 + "in the loop\n" + ("after\n" if "after" in after else "")


def test_writers_wait_together(start):
    program = """
async def cook(n):
    for _ in range(20):
        stdout().writelines([b"%d" % n, b"x" * 20_000, b"\\n"])
        await stdout().drain()
async def main():
    await asyncio.gather(*map(cook, range(5)))
run(main())
"""
    process = start(program)
    out, error = process.communicate()
    assert (process.returncode, error) == (0, b"")
    lines = out.decode().splitlines()
    assert sorted(lines) == sorted(f"{n}{'x' * 20_000}" for n in range(5) for _ in range(20))


def test_nobody_reads_any_more(start):
    program = """
async def main():
    await ainput()
    for _ in range(2):
        stdout().write(b"x" * 100_000)
        try:
            await stdout().drain()
        except BrokenPipeError as error:
            print("drain:", error, file=sys.stderr)
    stdout().write(b"x")
    try:
        stdout().write(b"x")
    except BrokenPipeError as error:
        print("write:", error, file=sys.stderr)
run(main())
"""
    process = start(program)
    process.stdout.close()
    process.stdin.write(b"go on\n")
    process.stdin.close()
    error = process.stderr.read().decode()
    assert process.wait() == 0
    assert error == "drain: [Errno 32] Broken pipe\n" * 2 + "write: [Errno 32] Broken pipe\n"


def test_the_reader_leaves_while_it_waits(start):
    program = """
async def main():
    stdout().write(b"x" * 1_000_000)
    print("waits", file=sys.stderr, flush=True)
    try:
        await stdout().drain()
    except BrokenPipeError as error:
        print(error, file=sys.stderr)
run(main())
"""
    process = start(program)
    assert process.stderr.readline() == b"waits\n"
    process.stdout.close()
    assert process.stderr.read() == b"[Errno 32] Broken pipe\n"
    assert process.wait() == 0


def test_a_file(start, tmp_path):
    program = """
async def main():
    for n in range(100):
        print("print", n)
        stdout().write(b"write %d\\n" % n)
        if n % 10 == 0:
            await stdout().drain()
run(main())
"""
    (tmp_path / "out").write_text("before\n")
    with open(tmp_path / "out", "a") as out:
        process = start(program, stdout=out)
        assert process.communicate()[1] == b""
    expected = "".join(f"print {n}\nwrite {n}\n" for n in range(100))
    assert (tmp_path / "out").read_text() == f"before\n{expected}"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_it_waits(start, number):
    process = start("""
async def main():
    stdout().write(b"x" * 1_000_000)
    print("waits", file=sys.stderr, flush=True)
    await stdout().drain()
run(main())
""")
    before = flags(process.stdout)
    assert process.stderr.readline() == b"waits\n"
    process.send_signal(number)
    assert process.wait() == -number
    assert flags(process.stdout) == before
    # What was not the kernel's is lost, as what print buffers is.
    assert set(process.stdout.read()) == {ord("x")}


@pytest.mark.parametrize("arm", ARMS)
def test_a_terminal(arm):
    program = """
async def main():
    stdout().write(b"".join(b"line %d\\n" % n for n in range(20_000)))
    print(repr(await ainput("what? ")), end=" ")
    rondeau.stderr().write(b"error\\n")
    await rondeau.stderr().drain()
run(main())
"""
    with Terminal(arm, program) as terminal:
        shown = terminal.shows("what? ")
        assert shown.splitlines() == [f"line {n}" for n in range(20_000)]
        terminal.is_sane()
        terminal.type("cherries\n")
        terminal.shows("error")
        assert terminal.ends() == 0
        assert "'cherries'" in terminal.seen  # print's line had no end before


def test_redirected(run):
    async def main():
        rondeau.stdout().write(b"soup\xff\n")
        rondeau.stdout().writelines([b"ro", bytearray(b"ast\n")])
        await rondeau.stdout().drain()

    with contextlib.redirect_stdout(io.StringIO()) as text:
        run(main())
    assert text.getvalue() == "soup\\xff\nroast\n"
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as text:
        run(main())
    assert text.buffer.getvalue() == b"soup\xff\nroast\n"


def test_lost(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(RuntimeError, match="lost sys.stdout"):
        rondeau.stdout()


def test_like_a_stream_writer(run):
    async def main():
        output = rondeau.stdout()
        assert output is rondeau.stdout()
        assert not output.can_write_eof()
        with pytest.raises(NotImplementedError):
            output.write_eof()
        output.close()
        await output.wait_closed()
        assert not output.is_closing()
        assert output.get_extra_info("pipe") is sys.stdout
        assert output.get_extra_info("socket", 5) == 5
        with pytest.raises(TypeError):
            output.write("text")

    run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        rondeau.stdout().write(b"x")


@pytest.mark.parametrize("arm", ARMS)
def test_what_is_no_bytes_is_refused(arm):
    """A number is not so many zeros."""
    program = """
async def main():
    for wrong in ("soup", 3, None, [1], object):
        try:
            stdout().write(wrong)
        except TypeError as error:
            print(error, file=sys.stderr)
    stdout().write(memoryview(b"s.o.u.p.")[::2])
    await stdout().drain()
run(main())
"""
    command = [sys.executable, "-c", PROLOGUE + program, arm]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "soup"
    kinds = ["str", "int", "NoneType", "list", "type"]
    assert done.stderr.splitlines() == [f"data argument must be a bytes-like object, not {kind!r}" for kind in kinds]
