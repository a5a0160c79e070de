"""Subprocesses: Popen's options, streams with back-pressure, shells, signals; on both loops."""

import asyncio
import os
import signal
import socket
import subprocess
import sys

import pytest

PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
TELL = "import os, sys; print({})"


@pytest.fixture(autouse=True)
def watcher():
    yield
    if sys.version_info < (3, 12):
        asyncio.set_event_loop_policy(None)


async def told(expression, **options):
    """What a child says of itself."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TELL.format(expression), stdout=PIPE, **options)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


def test_options_of_popen(run, tmp_path):
    async def main():
        assert await told("os.getcwd()", cwd=tmp_path) == str(tmp_path)
        assert await told("os.environ['DISH']", env={**os.environ, "DISH": "soup"}) == "soup"
        assert await told("os.getsid(0) == os.getpid()", start_new_session=True) == "True"
        assert await told("os.getpgid(0) == os.getpid()", process_group=0) == "True"
        assert await told("oct(os.umask(0))", umask=0o027) == "0o27"
        assert await told("os.getsid(0) == os.getpid()", preexec_fn=os.setsid) == "True"
        assert await told("sys.argv[0]", executable=sys.executable) == "-c"
        assert await told("sys.stdin.read()", stdin=DEVNULL) == ""
        read, write = os.pipe()
        with os.fdopen(read, "rb") as reader:
            assert await told(f"os.write({write}, b'soup')", pass_fds=[write]) == "4"
            os.close(write)
            assert reader.read() == b"soup"
        with (tmp_path / "out").open("wb") as out:
            process = await asyncio.create_subprocess_exec("echo", "soup", stdout=out)
            assert await process.wait() == 0
        assert (tmp_path / "out").read_bytes() == b"soup\n"
        process = await asyncio.create_subprocess_shell("echo out; echo err >&2", stdout=PIPE, stderr=STDOUT)
        assert await process.communicate() == (b"out\nerr\n", None)
        if os.getuid() == 0:
            process = await asyncio.create_subprocess_exec("id", "-u", user=65534, group=65534, extra_groups=[], stdout=PIPE)
            assert await process.communicate() == (b"65534\n", None)

    run(main())


def test_options_that_are_refused(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        for options in [
            {"universal_newlines": True},
            {"text": True},
            {"encoding": "utf-8"},
            {"errors": "strict"},
            {"bufsize": 1},
            {"shell": True},
            {"no_such_option": 1},
        ]:
            try:
                await asyncio.create_subprocess_exec("true", **options)
            except Exception as error:
                note(type(error).__name__, str(error))
            try:
                await loop.subprocess_shell(asyncio.SubprocessProtocol, "true", **{**options, "shell": False})
            except Exception as error:
                note(type(error).__name__, str(error))
        for command in [1, None, b"true", ["true"]]:
            try:
                transport, _ = await loop.subprocess_shell(asyncio.SubprocessProtocol, command)
            except Exception as error:
                note(type(error).__name__, str(error))
            else:
                note(await transport._wait())
                transport.close()

    compare(body)


def test_a_child_that_does_not_read_holds_its_writer_back(run):
    async def main():
        wait, go = os.pipe()
        program = f"import os, sys; os.read({wait}, 1); print(len(sys.stdin.buffer.read()))"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE, pass_fds=[wait])
        process.stdin.write(bytes(2_000_000))
        draining = asyncio.create_task(process.stdin.drain())
        low, high = process.stdin.transport.get_write_buffer_limits()
        for _ in range(5):
            await asyncio.sleep(0)
            assert process.stdin.transport.get_write_buffer_size() > high > low
            assert not draining.done()
        os.write(go, b"!")
        await draining
        assert process.stdin.transport.get_write_buffer_size() <= low
        process.stdin.close()
        await process.stdin.wait_closed()
        out = await process.stdout.read()
        await process.wait()
        os.close(wait)
        os.close(go)
        return int(out)

    assert run(main()) == 2_000_000


def test_a_reader_that_does_not_read_holds_its_child_back(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import os\nfor _ in range(40): os.write(1, bytes(50_000))", stdout=PIPE, limit=1000
        )
        transport = process._transport.get_pipe_transport(1)
        reads = (lambda: not transport._paused) if "is_reading" not in vars(type(transport)) else transport.is_reading  # 3.11.2
        while reads():
            await asyncio.sleep(0)
        assert process.returncode is None
        total = 0
        while data := await process.stdout.read(10_000):
            total += len(data)
        await process.wait()
        return total

    assert run(main()) == 2_000_000


def test_a_child_that_closes_its_input(run, logged):
    async def main():
        process = await asyncio.create_subprocess_exec("true", stdin=PIPE)
        await process.wait()

        async def write_on():
            while True:
                process.stdin.write(bytes(100_000))
                await process.stdin.drain()

        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await write_on()
        # communicate() takes no offence.
        process = await asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE)
        assert await process.communicate(bytes(1_000_000)) == (b"", None)

    run(main())
    assert all("socket.send" in line or "pipe closed" in line or "os.write" in line for line in logged)


def test_signals_to_a_child(run):
    async def main():
        for send, code in [
            (lambda process: process.terminate(), -signal.SIGTERM),
            (lambda process: process.kill(), -signal.SIGKILL),
            (lambda process: process.send_signal(signal.SIGUSR1), -signal.SIGUSR1),
        ]:
            process = await asyncio.create_subprocess_exec("sleep", "60")
            send(process)
            assert await process.wait() == code
            with pytest.raises(ProcessLookupError):
                send(process)

    run(main())


def test_waiting_that_is_cancelled_or_late(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60", stdout=PIPE)
        for waiting in (process.wait(), process.communicate()):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(waiting, 0.001)
        process.kill()
        assert await asyncio.gather(process.wait(), process.wait()) == [-9, -9]
        assert await process.wait() == -9

    run(main())


class Pipes(asyncio.SubprocessProtocol):
    def __init__(self):
        self.events = []
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.events.append("made")

    def pipe_data_received(self, fd, data):
        self.events.append((fd, data))

    def pipe_connection_lost(self, fd, error):
        self.events.append((fd, type(error).__name__))

    def process_exited(self):
        self.events.append("exited")

    def connection_lost(self, error):
        self.events.append(("lost", error))
        self.gone.set_result(None)


def test_what_a_subprocess_protocol_is_told(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_shell(Pipes, "read x; echo $x; echo err >&2; exit 2")
        note(isinstance(transport, asyncio.SubprocessTransport), transport.get_returncode())
        pipes = [transport.get_pipe_transport(fd) for fd in range(3)]
        note([isinstance(pipe, asyncio.ReadTransport) for pipe in pipes])
        note([isinstance(pipe, asyncio.WriteTransport) for pipe in pipes], transport.get_pipe_transport(3))
        note(transport.get_extra_info("subprocess") is transport._proc, transport.is_closing())
        pipes[0].write(b"soup\n")
        await protocol.gone
        note(protocol.events[0], protocol.events[-1], sorted(map(str, protocol.events)))
        note(transport.get_returncode())
        transport.close()
        note(transport.is_closing())

    compare(body)


def test_pipes_of_every_kind(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()

        async def through(reading, writing, data):
            reader = asyncio.StreamReader()
            source, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), reading)
            sink, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, writing)
            writer = asyncio.StreamWriter(sink, protocol, None, loop)
            writer.write(data)
            receiving = asyncio.create_task(reader.readexactly(len(data)))
            await writer.drain()
            assert await receiving == data
            sink.write_eof()
            assert await reader.read() == b""
            source.close()
            await asyncio.sleep(0)
            assert source.is_closing()
            assert sink.is_closing()

        read, write = os.pipe()
        await through(os.fdopen(read, "rb"), os.fdopen(write, "wb"), b"soup" * 100_000)
        ours, theirs = socket.socketpair()
        await through(ours, theirs, b"soup" * 100_000)
        path = tmp_path / "fifo"
        os.mkfifo(path)
        read = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        await through(os.fdopen(read, "rb"), path.open("wb", buffering=0), b"soup" * 1000)

    run(main())


def test_what_is_no_pipe(compare, tmp_path):
    async def body(note):
        loop = asyncio.get_running_loop()
        with (tmp_path / "file").open("w+b") as file:
            for connect in (loop.connect_read_pipe, loop.connect_write_pipe):
                try:
                    await connect(asyncio.Protocol, file)
                except ValueError as error:
                    note(str(error))
        read, write = os.pipe()
        with os.fdopen(read, "rb") as reading, os.fdopen(write, "wb") as writing:
            for connect, pipe in [(loop.connect_read_pipe, reading), (loop.connect_write_pipe, writing)]:

                def failing():
                    raise ValueError("no protocol")

                try:
                    await connect(failing, pipe)
                except ValueError as error:
                    note(str(error))

    compare(body)


def test_a_write_pipe_whose_reader_goes(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        class Sink(asyncio.Protocol):
            def __init__(self):
                self.gone = loop.create_future()

            def pause_writing(self):
                note("pause")

            def resume_writing(self):
                note("resume")

            def connection_lost(self, error):
                note("lost", type(error).__name__)
                self.gone.set_result(None)

        read, write = os.pipe()
        transport, protocol = await loop.connect_write_pipe(Sink, os.fdopen(write, "wb"))
        note(transport.get_write_buffer_limits())
        transport.write(bytes(500_000))
        note(transport.get_write_buffer_size() > 65_536)
        os.close(read)
        await protocol.gone
        note(transport.is_closing(), transport.get_write_buffer_size())

    compare(body)
