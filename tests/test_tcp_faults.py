"""What goes wrong on a network: refused, reset, no descriptors left. The loop lives on, with asyncio's errors."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import socket
import struct
import warnings

import pytest

from protocols import Echo, Recorder, connect, served


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def reset(sock):
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_connection_refused(compare):
    async def body(note):
        port = free_port()
        loop = asyncio.get_running_loop()
        for attempt in [
            lambda: loop.create_connection(Recorder, "127.0.0.1", port),
            lambda: asyncio.open_connection("127.0.0.1", port),
        ]:
            try:
                await attempt()
            except OSError as error:
                note(type(error).__name__, error.errno, str(error).replace(str(port), "PORT"))
        with socket.socket() as sock:
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, ("127.0.0.1", port))
            except OSError as error:
                note(type(error).__name__, error.errno, str(error).replace(str(port), "PORT"))
        try:
            await loop.create_connection(Recorder, "no such name.invalid", 80)
        except OSError as error:
            note(type(error).__name__)

    assert compare(body)[0][:2] == ("ConnectionRefusedError", errno.ECONNREFUSED)


def test_address_in_use(compare):
    async def body(note):
        async with served() as (address, _):
            try:
                await asyncio.get_running_loop().create_server(Recorder, *address, reuse_address=False)
            except OSError as error:
                note(error.errno, str(error).replace(str(address[1]), "PORT"))

    assert compare(body)[0][0] == errno.EADDRINUSE


def test_a_peer_that_resets_while_we_read(compare, logged):
    async def body(note):
        async with served(Recorder) as (address, made):
            sock = socket.create_connection(address)
            sock.sendall(b"x")
            while not made:
                await asyncio.sleep(0)
            await made[0].until(1)
            reset(sock)
            error = await made[0].gone
            note(type(error).__name__, error.errno, made[0].events)
            # The server still serves.
            transport, protocol = await connect(address)
            transport.close()
            await protocol.gone

    assert compare(body)[0][:2] == ("ConnectionResetError", errno.ECONNRESET)


def test_a_peer_that_resets_while_we_write(compare, logged):
    async def body(note):
        async with served(Recorder) as (address, made):
            sock = socket.create_connection(address)
            while not made:
                await asyncio.sleep(0)
            transport = await made[0].made
            transport.write(bytes(20_000_000))
            reset(sock)
            error = await made[0].gone
            note(type(error).__name__ in ("ConnectionResetError", "BrokenPipeError"))
            note(transport.is_closing(), transport.get_write_buffer_size())
            transport.write(b"after the end")

    assert compare(body) == [True, (True, 0)]


def test_a_peer_that_is_gone_when_we_write(compare, logged):
    async def body(note):
        async with served(Recorder) as (address, made):
            sock = socket.create_connection(address)
            while not made:
                await asyncio.sleep(0)
            transport = await made[0].made
            transport.pause_reading()
            reset(sock)
            for _ in range(5):
                transport.write(b"x" * 100_000)
                await asyncio.sleep(0)
            error = await made[0].gone
            note(type(error).__name__ in ("ConnectionResetError", "BrokenPipeError"))

    compare(body)


def test_streams_tell_of_a_reset(compare, logged):
    async def body(note):
        async def handle(reader, writer):
            try:
                await reader.read(100)
            except ConnectionResetError as error:
                note(error.errno)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            done.set()

        done = asyncio.Event()
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        reset(sock)
        await done.wait()
        server.close()
        await server.wait_closed()

    compare(body)


@contextlib.contextmanager
def full_table():
    """Lower the limit on descriptors to what is open, so that the next one fails with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open("/dev/null", os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_left_for_accept(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def handler(_, context):
            note(context["message"], context["exception"].errno, sorted(context))
            told.set()

        loop.set_exception_handler(handler)
        async with served() as (address, made):
            socks = [socket.socket(), socket.socket()]
            for sock in socks:
                sock.setblocking(False)
            with full_table():
                for sock in socks:
                    await loop.sock_connect(sock, address)
                await told.wait()
                note(len(made))
                told.clear()
            # asyncio tries again a second later; so must we, and without being asked.
            await loop.sock_sendall(socks[0], b"at last")
            note(await loop.sock_recv(socks[0], 100))
            for sock in socks:
                sock.close()
            while len(made) < 2:
                await asyncio.sleep(0.01)

    notes = compare(body)
    assert notes[0][:2] == ("socket.accept() out of system resource", errno.EMFILE)


def test_no_descriptor_left_for_connect(compare):
    async def body(note):
        async with served() as (address, _):
            with full_table():
                try:
                    await connect(address)
                except OSError as error:
                    note(error.errno)
            transport, protocol = await connect(address)
            transport.close()
            await protocol.gone

    assert compare(body) == [errno.EMFILE]


def test_a_client_that_leaves_before_it_is_accepted(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        for _ in range(5):
            reset(socket.create_connection(listener.getsockname()))
        server = await loop.create_server(Echo, sock=listener)
        transport, protocol = await connect(listener.getsockname())
        transport.write(b"alive")
        await protocol.until(5)
        transport.close()
        await protocol.gone
        server.close()
        await server.wait_closed()

    run(main())


def test_a_cancelled_connect_leaves_nothing(compare):
    async def body(note):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Fill the backlog, so that the next connect hangs.
        fillers = [socket.socket() for _ in range(4)]
        for sock in fillers:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        task = asyncio.create_task(connect(listener.getsockname()))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        note(await asyncio.gather(task, return_exceptions=True))
        for sock in [listener, *fillers]:
            sock.close()

    compare(body)


def test_a_loop_that_closes_with_a_connection_open(loop_factory):
    """asyncio leaves the transport to its finalizer, which warns and frees the descriptor."""
    loop = loop_factory()
    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=ours))
        del ours
        loop.close()
        with pytest.raises(RuntimeError, match="^Event loop is closed$"):
            transport.close()
        transport.write(b"into the void")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del transport, protocol
            gc.collect()
        assert any("unclosed transport" in str(warning.message) for warning in caught)


def test_a_transport_that_is_dropped_open(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, protocol = await loop.create_connection(asyncio.Protocol, sock=ours)
        transport.pause_reading()
        await asyncio.sleep(0)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            del transport, protocol, ours
            gc.collect()
        # The loop may keep a transport that it watches; this one it does not watch.
        theirs.setblocking(False)
        assert await loop.sock_recv(theirs, 1) == b""
        theirs.close()

    run(main())
