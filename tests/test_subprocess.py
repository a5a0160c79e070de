"""Subprocesses and pipes: asyncio's own transports, watched by the loop."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def watcher():
    """3.11 keeps a child watcher in the policy; the one that needs no loop is the default."""
    yield
    if sys.version_info < (3, 12):
        asyncio.set_event_loop_policy(None)


def test_communicate(run):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = await process.communicate(b"soup" * 100_000)
        return out == b"soup" * 100_000, process.returncode

    assert run(main()) == (True, 0)


def test_shell_and_exit_status(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "echo out; echo err >&2; exit 3", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return *await process.communicate(), await process.wait()

    assert run(main()) == (b"out\n", b"err\n", 3)


def test_kill(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        process.kill()
        return await process.wait()

    assert run(main()) == -signal.SIGKILL


def test_several_at_once(run):
    async def main():
        async def one(number):
            process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}")
            return await process.wait()

        return await asyncio.gather(*(one(number) for number in range(10)))

    assert run(main()) == list(range(10))


def test_not_found(run):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program")

    run(main())


def test_pipes_as_streams(run):
    async def main():
        loop = asyncio.get_running_loop()
        read_end, write_end = os.pipe()
        reader = asyncio.StreamReader()
        source, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb"))
        sink, _ = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(write_end, "wb"))
        sink.write(b"line\n" * 100_000)
        sink.close()
        total = len(await reader.read())
        source.close()
        await asyncio.sleep(0)
        return total

    assert run(main()) == 500_000
