"""create_server and create_unix_server: every option, and the ends of a server with its connections."""

import asyncio
import gc
import os
import socket
import sys
import weakref

import pytest

from protocols import Echo, Recorder, connect


async def answers(address, family=socket.AF_INET):
    """Whether an echo server answers there."""
    if family == socket.AF_UNIX:
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address[:2])
    writer.write(b"soup")
    answer = await reader.readexactly(4)
    writer.close()
    await writer.wait_closed()
    return answer == b"soup"


class Short(asyncio.Protocol):
    """Echoes, and leaves nothing to wait for."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def ended(server):
    server.close()
    await server.wait_closed()


def test_several_hosts(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Short, ["127.0.0.1", "127.0.0.2", "::1", "127.0.0.1"], 0)
        addresses = [sock.getsockname() for sock in server.sockets]
        assert sorted(address[0] for address in addresses) == ["127.0.0.1", "127.0.0.2", "::1"]
        for address in addresses:
            assert await answers(address)
        await ended(server)
        assert server.sockets == ()
        everywhere = await loop.create_server(Short, None, 0)
        assert {sock.family for sock in everywhere.sockets} == {socket.AF_INET, socket.AF_INET6}
        await ended(everywhere)

    run(main())


def test_options_reach_the_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()

        def option(server, name):
            return server.sockets[0].getsockopt(socket.SOL_SOCKET, name)

        plain = await loop.create_server(Short, "127.0.0.1", 0)
        assert (option(plain, socket.SO_REUSEADDR), option(plain, socket.SO_REUSEPORT)) == (1, 0)
        assert option(plain, socket.SO_KEEPALIVE) == 0
        await ended(plain)
        options = {"reuse_address": False, "reuse_port": True}
        if sys.version_info >= (3, 13):
            options["keep_alive"] = True
        server = await loop.create_server(Short, "127.0.0.1", 0, **options)
        assert (option(server, socket.SO_REUSEADDR), option(server, socket.SO_REUSEPORT)) == (0, 1)
        assert option(server, socket.SO_KEEPALIVE) == int(sys.version_info >= (3, 13))
        address = server.sockets[0].getsockname()
        second = await loop.create_server(Short, *address, reuse_port=True)
        for _ in range(8):
            assert await answers(address)
        await ended(server)
        assert await answers(address)
        await ended(second)

    run(main())


def test_a_socket_handed_over(run):
    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = await loop.create_server(Short, sock=sock, backlog=1)
        assert await answers(sock.getsockname())
        assert sock.gettimeout() == 0
        await ended(server)
        assert sock.fileno() == -1
        listening = socket.create_server(("127.0.0.1", 0))
        server = await asyncio.start_server(lambda _, writer: writer.close(), sock=listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await ended(server)

    run(main())


def test_serving_begins_when_asked(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Short, "127.0.0.1", 0, start_serving=False)
        address = server.sockets[0].getsockname()
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        assert await answers(address)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
            await server.serve_forever()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()

    run(main())


def test_what_is_refused(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with socket.socket() as taken, socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as unbound:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for arguments, options in [
                (("127.0.0.1", port), {}),
                (("127.0.0.1", 0), {"sock": unbound}),
                ((), {}),
                ((), {"sock": datagrams}),
                (("127.0.0.1", 0), {"ssl": True}),
                (("127.0.0.1", 0), {"ssl_handshake_timeout": 1}),
                (("no.such.host.invalid", 0), {}),
                (("256.0.0.1", -1), {}),
            ]:
                try:
                    await loop.create_server(Short, *arguments, **options)
                except Exception as error:
                    note(type(error).__name__, str(error).replace(str(port), "PORT").partition("<")[0])
            for path, options in [(None, {}), ("/no/such/directory/socket", {}), ("x" * 200, {}), ("y", {"sock": taken})]:
                try:
                    await loop.create_unix_server(Short, path, **options)
                except Exception as error:
                    note(type(error).__name__, str(error).partition("<")[0])

    compare(body)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="since 3.13")
@pytest.mark.parametrize("end", ["close_clients", "abort_clients"])
def test_ending_a_servers_connections(compare, end):
    async def body(note):
        loop = asyncio.get_running_loop()
        made = []

        def factory():
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        other = await loop.create_server(Short, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [await connect(address) for _ in range(3)]
        stays = await connect(other.sockets[0].getsockname())
        while len(made) < 3:
            await asyncio.sleep(0)
        await asyncio.gather(*(protocol.made for protocol in made))
        # One has much to send and a peer that does not read.
        clients[0][0].pause_reading()
        made[0].transport.write(bytes(20_000_000))
        server.close()
        getattr(server, end)()
        for protocol in made[1:]:
            note(await protocol.gone, protocol.events)
        note(made[0].transport.is_closing(), made[0].gone.done())
        clients[0][0].resume_reading()
        note(await made[0].gone)
        await server.wait_closed()
        for transport, protocol in clients:
            await protocol.gone
            note(transport.is_closing(), len(protocol.received) == 20_000_000)
        note(stays[0].is_closing())
        stays[0].close()
        await stays[1].gone
        await ended(other)

    compare(body)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 does not wait for connections")
def test_wait_closed_waits_for_the_last_connection(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        transport, protocol = await connect(server.sockets[0].getsockname())
        transport.write(b"soup")
        await protocol.until(4)
        waiting = asyncio.create_task(server.wait_closed())
        server.close()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        transport.close()
        await waiting

    run(main())


def test_unix_paths_of_every_kind(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        here = tmp_path / type(loop).__name__
        here.mkdir()
        for path in (here / "path-like", str(here / "text"), os.fsencode(here / "bytes"), f"\0abstract-{os.getpid()}"):
            server = await loop.create_unix_server(Short, path)
            assert await answers(path, socket.AF_UNIX)
            await ended(server)
            if not isinstance(path, str) or path[0] != "\0":
                assert os.path.exists(path) == (sys.version_info < (3, 13))
        # A socket file that nobody serves any more is taken over, another file is not.
        left = here / "left"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(left))
        await ended(await loop.create_unix_server(Short, left))
        (here / "file").write_text("soup")
        with pytest.raises(OSError, match="Address .* is already in use"):
            await loop.create_unix_server(Short, here / "file")
        assert (here / "file").read_text() == "soup"

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="since 3.13")
def test_cleanup_of_the_socket_file(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        here = tmp_path / type(loop).__name__
        here.mkdir()
        kept = await loop.create_unix_server(Short, here / "kept", cleanup_socket=False)
        await ended(kept)
        assert (here / "kept").exists()
        # Not ours any more: somebody else's server has the name.
        first = await loop.create_unix_server(Short, here / "shared")
        os.unlink(here / "shared")
        second = await loop.create_unix_server(Short, here / "shared")
        await ended(first)
        assert (here / "shared").exists()
        assert await answers(here / "shared", socket.AF_UNIX)
        await ended(second)
        assert not (here / "shared").exists()
        gone = await loop.create_unix_server(Short, here / "gone")
        os.unlink(here / "gone")
        await ended(gone)

    run(main())


def test_a_closed_server_is_freed_by_counting(run):
    """No cycle holds it: what its handler holds goes with it, also while the collector is off."""

    async def main():
        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)

        async def serve(reader, writer, thing=thing):
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()
        del serve, thing, server, reader, writer
        for _ in range(5):
            await asyncio.sleep(0)
        return gone

    gc.collect()
    gc.disable()
    try:
        assert run(main())() is None
    finally:
        gc.enable()
