"""ainput and stdin() without a terminal: pipes, sockets, files, /dev/null, nothing; and what plain `input()` left or finds."""

import array
import asyncio
import fcntl
import io
import os
import random
import socket
import subprocess
import sys
import termios

import pytest

import rondeau
from terminal import PROLOGUE


@pytest.fixture
def standard_input(monkeypatch):
    """Puts a descriptor behind `sys.stdin`, as Python does at its start; closes what it opened."""
    opened = []

    def standard_input(fd, encoding="utf-8", **options):
        text = io.TextIOWrapper(io.BufferedReader(io.FileIO(fd, closefd=False)), encoding, newline="\n", **options)
        monkeypatch.setattr(sys, "stdin", text)
        opened.append(text)
        return text

    yield standard_input
    for text in opened:
        text.close()
    monkeypatch.undo()
    rondeau._input._last = None


@pytest.fixture
def pipe(standard_input):
    r, w = os.pipe()
    standard_input(r)
    yield w
    os.close(r)
    try:
        os.close(w)
    except OSError:
        pass  # the test closed it


def unread(fd):
    there = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, there)
    return there[0]


async def taken(fd):
    """Until the pipe's reader has taken all that was written."""
    while unread(fd):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("pipe")
def test_input_takes_over_and_gives_back(run, pipe):
    os.write(pipe, b"".join(b"%d\n" % n for n in range(5)) + "f\u00fcnf\nrest".encode())
    os.close(pipe)
    assert input() == "0"  # `sys.stdin` has all of it now

    async def main():
        assert await rondeau.ainput() == "1"
        assert await rondeau.ainput() == "2"

    run(main())
    assert input() == "3"
    run(main_of(rondeau.ainput, "4", "f\u00fcnf", "rest"))
    with pytest.raises(EOFError, match="EOF when reading a line"):
        input()
    with pytest.raises(EOFError, match="EOF when reading a line"):
        run(rondeau.ainput())


async def main_of(ask, *lines):
    for line in lines:
        assert await ask() == line


@pytest.mark.parametrize("seed", range(30))
def test_any_mixture_reads_what_input_reads(run, pipe, seed):
    """Random lines in random pieces; plain `input()`, ainput and whole loops in random order: the same lines."""
    chosen = random.Random(seed)
    alphabet = "ab \u00e4\u20ac\U0001f373\r\t"
    lines = ["".join(chosen.choices(alphabet, k=chosen.choice([0, 1, 5, 200, 9000]))) for _ in range(20)]
    data = "\n".join(lines).encode()
    found = []

    async def feed():
        nonlocal data
        while data:
            count = chosen.choice([1, 2, 3, 1000, 20000])
            if unread(pipe) + count > 60000:
                await taken(pipe)
            os.write(pipe, data[:count])
            data = data[count:]
            await asyncio.sleep(0)
        os.close(pipe)

    async def main():
        feeding = asyncio.create_task(feed())
        while True:
            try:
                if feeding.done() and chosen.random() < 0.5:
                    found.append(input())
                else:
                    found.append(await rondeau.ainput())
            except EOFError:
                break
        await feeding

    run(main())
    assert found == (lines if lines[-1] else lines[:-1])


def test_cancelled_it_loses_nothing(run, pipe):
    async def main():
        for waited in [rondeau.ainput, rondeau.stdin().readline, lambda: rondeau.stdin().readexactly(99)]:
            task = asyncio.create_task(waited())
            os.write(pipe, "sou\u20ac".encode()[:-1])
            await taken(pipe)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            os.write(pipe, "\u20ac".encode()[-1:] + b"p\n")
            assert await rondeau.ainput() == "sou\u20acp"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rondeau.ainput(), 0)
        os.write(pipe, b"roast\n")
        assert await rondeau.ainput() == "roast"

    run(main())


def test_many_wait_and_are_served_in_order(run, pipe):
    async def main():
        waiting = [asyncio.create_task(rondeau.ainput()) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[7].cancel()
        os.write(pipe, b"".join(b"%d\n" % n for n in range(49)))
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(answers.pop(7), asyncio.CancelledError)
        assert answers == [str(n) for n in range(49)]

    run(main())


def test_the_stream(run, pipe):
    async def main():
        stdin = rondeau.stdin()
        os.write(pipe, b"one\ntwo\r\nthree four five\nsix\n\nlast")
        assert await stdin.readline() == b"one\n"
        assert await stdin.readuntil(b"\r\n") == b"two\r\n"
        assert await stdin.readexactly(6) == b"three "
        assert await stdin.read(4) == b"four"
        assert await stdin.readuntil(b"ve\n") == b" five\n"
        assert await rondeau.ainput() == "six"
        assert not stdin.at_eof()
        os.close(pipe)
        assert [line async for line in stdin] == [b"\n", b"last"]
        assert stdin.at_eof()
        assert await stdin.read() == await stdin.read(5) == await stdin.readline() == await stdin.readexactly(0) == b""
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await stdin.readexactly(1)
        assert (caught.value.partial, caught.value.expected) == (b"", 1)
        with pytest.raises(asyncio.IncompleteReadError):
            await stdin.readuntil(b"x")
        for wrong in [stdin.readuntil(b""), stdin.readexactly(-1)]:
            with pytest.raises(ValueError):
                await wrong

    run(main())


def test_read_to_the_end(run, pipe):
    data = random.Random(1).randbytes(1_000_000)

    async def main():
        async def feed():
            rest = data
            while rest:
                rest = rest[os.write(pipe, rest[:10000]) :]
                await taken(pipe)
            os.close(pipe)

        feeding = asyncio.create_task(feed())
        assert await rondeau.stdin().read() == data
        await feeding

    run(main())


def test_a_socket(run, standard_input):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        standard_input(theirs.fileno())

        async def main():
            asked = asyncio.create_task(rondeau.ainput())
            await asyncio.sleep(0)
            ours.sendall(b"soup\nroast\n")
            assert [await asked, await rondeau.ainput()] == ["soup", "roast"]
            assert not fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK

        run(main())


def test_a_file_and_its_position(run, standard_input, tmp_path):
    lines = [f"line {n} \u00e4" for n in range(10_000)]
    file = tmp_path / "lines"
    file.write_text("\n".join(lines) + "\n")
    fd = os.open(file, os.O_RDONLY)
    try:
        standard_input(fd)

        async def main():
            cancelled = asyncio.create_task(rondeau.ainput())
            await asyncio.sleep(0)
            cancelled.cancel()  # while the disk is read, unless that was quicker
            [answer] = await asyncio.gather(cancelled, return_exceptions=True)
            before = [answer] if isinstance(answer, str) else []
            assert before + [await rondeau.ainput() for _ in range(9500 - len(before))] == lines[:9500]

        run(main())
        assert [input() for _ in range(500)] == lines[9500:]
        assert os.lseek(fd, 0, os.SEEK_CUR) == file.stat().st_size
    finally:
        os.close(fd)


def test_dev_null(run, standard_input):
    with open("/dev/null") as null:
        standard_input(null.fileno())
        with pytest.raises(EOFError):
            run(rondeau.ainput())
        assert run(rondeau.stdin().read()) == b""


def test_closed_ones(run, standard_input, monkeypatch):
    r, w = os.pipe()
    os.close(w)
    text = standard_input(r)

    async def main():  # Before the loop was made, the number would be one of its own descriptors.
        os.close(r)
        with pytest.raises(OSError, match="Bad file descriptor"):
            await rondeau.ainput()

    run(main())
    text.close()
    with pytest.raises(ValueError, match="closed file"):
        run(rondeau.ainput())
    with pytest.raises(ValueError, match="closed file"):
        run(rondeau.stdin().read())
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(RuntimeError, match="lost sys.stdin"):
        run(rondeau.ainput())
    with pytest.raises(RuntimeError, match="lost sys.stdin"):
        rondeau.stdin()


def test_bad_bytes_are_inputs_own_errors(run, pipe):
    os.write(pipe, b"\xff\ngood\n")
    with pytest.raises(UnicodeDecodeError):
        run(rondeau.ainput())
    assert run(rondeau.ainput()) == "good"


def test_other_encodings(run, standard_input):
    for encoding in ["latin-1", "utf-16-le", "shift-jis"]:
        r, w = os.pipe()
        os.write(w, "so\u3042up\nroast\n".encode(encoding, "replace"))
        os.close(w)
        standard_input(r, encoding)
        assert run(rondeau.ainput()) == ("so?up" if encoding == "latin-1" else "so\u3042up")
        assert run(rondeau.ainput()) == "roast"
        with pytest.raises(EOFError):
            run(rondeau.ainput())
        os.close(r)


def test_universal_newlines(run, pipe):
    sys.stdin.reconfigure(newline=None)
    os.write(pipe, b"a\rb\r\nc\nd\n")
    run(main_of(rondeau.ainput, "a", "b", "c", "d"))


def test_an_input_of_the_programs_own(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("soup\nroast\npie"))
    assert run(rondeau.ainput()) == "soup"
    assert run(rondeau.stdin().readexactly(3)) == b"roa"
    run(main_of(rondeau.ainput, "st", "pie"))
    with pytest.raises(EOFError):
        run(rondeau.ainput())


def test_a_blocking_input_of_the_programs_own(run, monkeypatch):
    r, w = os.pipe()

    class Typed(io.StringIO):
        def readline(self):
            data = os.read(r, 100)
            if data == b"fail":
                raise ZeroDivisionError
            return data.decode()

    monkeypatch.setattr(sys, "stdin", Typed())

    async def main():
        task = asyncio.create_task(rondeau.ainput())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.write(w, b"soup\n")
        assert await rondeau.ainput() == "soup"
        os.write(w, b"fail")
        with pytest.raises(ZeroDivisionError):
            await rondeau.ainput()

    run(main())
    os.close(r)
    os.close(w)


def test_the_prompt_goes_where_print_goes(run, pipe, capsys):
    os.write(pipe, b"cherries\n")
    print("before", end=" ")
    assert run(rondeau.ainput("what? ")) == "cherries"
    assert capsys.readouterr().out == "before what? "


def test_the_programs_own_reader_stays(run, pipe):
    """`add_reader` on the input's descriptor by the program itself is not replaced."""

    async def main():
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        loop.add_reader(sys.stdin.fileno(), lambda: called.done() or called.set_result(None))
        asked = asyncio.create_task(rondeau.ainput())
        await asyncio.sleep(0)
        os.write(pipe, b"soup\n")
        assert await asked == "soup"
        await called
        assert loop.remove_reader(sys.stdin.fileno())

    run(main())


@pytest.mark.parametrize("arm", ["asyncio", "rondeau"])
@pytest.mark.parametrize("kind", ["pipe", "file", "null", "closed", "write only"])
def test_as_a_program_in_a_pipeline(arm, kind, tmp_path):
    """What ainput says and returns is what input says and returns."""
    program = """
async def main():
    try:
        while True:
            print(repr(await ainput("? ")))
    except BaseException as error:
        print(type(error).__name__, error)
run(main())
"""
    (tmp_path / "lines").write_text("soup\nroast\npie")
    said = []
    for each in ["input", arm]:
        with open(tmp_path / "lines") as lines, open(tmp_path / "out", "w") as out, open("/dev/null") as null:
            stdin = {"pipe": subprocess.PIPE, "file": lines, "null": null, "closed": None, "write only": out}[kind]
            command = [sys.executable, "-c", PROLOGUE + program, each]
            if kind == "closed":
                command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
            done = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said.append(done.communicate(b"soup\nroast\npie" if kind == "pipe" else None))
    assert said[0] == said[1]
