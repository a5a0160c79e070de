"""Unix sockets: servers, connections, paths, abstract names, and the file that is left or removed."""

import asyncio
import os
import socket
import sys

import pytest

from protocols import Echo, Recorder


@pytest.fixture
def path(tmp_path):
    # A socket's path has 108 bytes at most; a relative one is always short enough.
    before = os.getcwd()
    os.chdir(tmp_path)
    yield "kitchen.sock"
    os.chdir(before)


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_048_576])
def test_echo(run, path, size):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Echo, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        assert transport.get_extra_info("peername") == path
        transport.write(bytes(size))
        await protocol.until(size)
        transport.close()
        await protocol.gone
        server.close()
        await server.wait_closed()

    run(main())


def test_streams(run, path):
    async def main():
        async def handle(reader, writer):
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_unix_server(handle, path):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"soup\n")
            assert await reader.read() == b"soup\n"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_abstract_names(run):
    async def main():
        loop = asyncio.get_running_loop()
        name = f"\0rondeau-test-{os.getpid()}"
        server = await loop.create_unix_server(Echo, name)
        transport, protocol = await loop.create_unix_connection(Recorder, name)
        transport.write(b"abstract")
        await protocol.until(8)
        transport.close()
        await protocol.gone
        server.close()
        await server.wait_closed()

    run(main())


def test_the_path_afterwards(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(2):  # A stale file is in nobody's way.
            server = await loop.create_unix_server(Echo, path)
            assert os.path.exists(path)
            server.close()
            await server.wait_closed()
        return os.path.exists(path)

    assert run(main()) is (sys.version_info < (3, 13))


def test_misuse(compare, path):
    async def body(note):
        loop = asyncio.get_running_loop()
        with open("a file", "w"):
            pass
        tcp = socket.socket()
        for call in [
            lambda: loop.create_unix_server(Echo),
            lambda: loop.create_unix_server(Echo, "no/such/folder/s.sock"),
            lambda: loop.create_unix_server(Echo, sock=tcp),
            lambda: loop.create_unix_connection(Recorder),
            lambda: loop.create_unix_connection(Recorder, "nobody.sock"),
            lambda: loop.create_unix_connection(Recorder, "a file"),
            lambda: loop.create_unix_connection(Recorder, sock=tcp),
            lambda: loop.create_unix_connection(Recorder, path, sock=tcp),
        ]:
            try:
                await call()
            except (OSError, ValueError) as error:
                note(type(error).__name__, getattr(error, "errno", None), str(error).split("<")[0])
        tcp.close()

    compare(body)


def test_a_pair_of_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        server_side, echo = await loop.create_unix_connection(Echo, sock=ours)
        transport, protocol = await loop.create_unix_connection(Recorder, sock=theirs)
        transport.write(b"x" * 500_000)
        await protocol.until(500_000)
        transport.close()
        await protocol.gone
        await echo.gone
        assert server_side.is_closing()

    run(main())
