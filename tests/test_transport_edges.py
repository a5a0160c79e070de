"""What ends badly where a transport is taken for granted: foreign numbers, odd buffers, failing closes, interrupted files."""

import asyncio
import errno
import gc
import os
import resource
import socket
import sys
import tempfile
import weakref

import pytest

import rondeau
from protocols import Recorder, connect, served


async def connected(kind=asyncio.Protocol):
    """A transport over one end of a socket pair with little room, its protocol, and the other end."""
    ours, peer = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer.setblocking(False)
    transport, protocol = await asyncio.get_running_loop().create_connection(kind, sock=ours)
    return transport, protocol, peer


def test_a_handle_known_by_a_weak_reference_is_cancelled_in_its_own_callback(run):
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        class Number:
            def __gt__(self, other):
                if (handle := known()) is not None:
                    handle.cancel()
                if not done.done():
                    done.set_result("compared")
                return True

        known = weakref.ref(loop.call_soon(max, Number(), Number(), Number()))
        assert await done == "compared"

    run(main())


def test_a_number_that_is_no_descriptor_costs_no_memory(run):
    async def main():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for add in [asyncio.get_running_loop().add_reader, asyncio.get_running_loop().add_writer]:
            with pytest.raises(OSError, match="Bad file descriptor"):
                add(20_000_000, print)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with 3.12")
def test_a_buffer_without_a_length(run, logged):
    class Bare:
        def __buffer__(self, flags):
            return memoryview(bytearray(10))

    class Protocol(asyncio.BufferedProtocol):
        def __init__(self):
            self.gone = asyncio.get_running_loop().create_future()

        def get_buffer(self, size):
            return Bare()

        def connection_lost(self, error):
            self.gone.set_result(error)

    async def main():
        _, protocol, peer = await connected(Protocol)
        peer.send(b"data")
        assert "has no len()" in str(await protocol.gone)
        peer.close()

    run(main())


def test_limits_of_any_size(run):
    async def main():
        transport, _, peer = await connected()
        transport.set_write_buffer_limits(low=sys.maxsize // 2)
        transport.set_write_buffer_limits(high=2**80)
        assert transport.get_write_buffer_limits()[1] >= sys.maxsize
        transport.abort()
        await asyncio.sleep(0)
        peer.close()

    run(main())


def test_a_descriptor_closed_behind_an_accepted_transport():
    """close() fails; the loop says so and lives on. Ours only: asyncio's server counts that connection for ever."""
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
        made = []
        server = await loop.create_server(lambda: made.append(Recorder()) or made[-1], "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            while not (made and made[0].made.done()):
                await asyncio.sleep(0)
            transport = made[0].made.result()
            os.close(transport.get_extra_info("socket").fileno())
            transport.abort()
            await made[0].gone
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        assert [type(error) for error in told] == [OSError]

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        runner.run(main())


def test_the_number_of_a_watched_descriptor_is_accepted_again():
    """Ours only: asyncio believes the old watch and never asks the kernel for the new one."""

    async def main():
        loop = asyncio.get_running_loop()
        read, write = os.pipe()

        class Callback:
            def __call__(self):
                pass

        callback = Callback()
        loop.add_reader(read, callback)
        known = weakref.ref(callback)
        del callback
        os.close(read)
        ours, peer = socket.socketpair()
        assert read in (ours.fileno(), peer.fileno())
        if peer.fileno() == read:
            ours, peer = peer, ours
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        peer.send(b"data")
        await protocol.until(4)
        gc.collect()
        assert known() is None
        transport.close()
        await protocol.gone
        peer.close()
        os.close(write)

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        runner.run(main())


def test_reading_is_resumed_during_sendfile(run):
    size = 300_000

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await connected(Recorder)
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * size)
            file.flush()
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            for _ in range(5):
                await asyncio.sleep(0)
            transport.pause_reading()
            transport.resume_reading()
            received = 0
            while received < size:
                received += len(await loop.sock_recv(peer, 65536))
            assert await sending == size
        peer.send(b"data")
        await protocol.until(4)
        transport.close()
        await protocol.gone
        peer.close()

    run(main())


def test_the_peer_goes_while_sendfile_waits_for_what_was_written(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)  # asyncio wakes the waiter twice.
        transport, protocol, peer = await connected(Recorder)
        transport.write(b"x" * 1_000_000)
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 1000)
            file.flush()
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            for _ in range(5):
                await asyncio.sleep(0)
            peer.close()
            with pytest.raises(BrokenPipeError):
                await sending
        await protocol.gone

    run(main())


def test_a_socket_that_is_asked_for_while_it_is_made(run):
    """One owner of a descriptor, whoever asks in between: here a profiler, elsewhere a thread."""

    async def main():
        async with served(Recorder) as (address, made):
            with socket.create_connection(address):
                while not (made and made[0].made.done()):
                    await asyncio.sleep(0)
                transport = made[0].made.result()

                def look(frame, event, argument):
                    if frame.f_code.co_name == "adopt" and event == "call":
                        sys.setprofile(None)
                        transport.get_extra_info("socket")

                sys.setprofile(look)
                try:
                    sock = transport.get_extra_info("socket")
                finally:
                    sys.setprofile(None)
                gc.collect()
                os.fstat(sock.fileno())
                transport.abort()
                await made[0].gone

    run(main())


def test_a_factory_that_closes_its_server():
    """Nothing is reported. Ours only: asyncio makes the protocol in a task, and leaves its transport to the collector."""
    told = []

    async def main():
        called = asyncio.Event()

        def factory():
            called.set()
            server.close()
            return Recorder()

        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await called.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            gc.collect()

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: told.append(context))
        runner.run(main())
    assert not told


def test_a_program_keeps_what_it_likes_on_a_transport(run):
    async def main():
        transport, _, peer = await connected()
        gone = weakref.ref(transport)
        transport.label = "table four"
        transport.itself = transport  # A circle through its own attributes.
        sent = []
        transport.write = sent.append  # As mock.patch.object does.
        transport.write(b"kept")
        assert (vars(transport)["label"], sent) == ("table four", [b"kept"])
        del transport.write
        transport.write(b"sent")
        assert await asyncio.get_running_loop().sock_recv(peer, 8) == b"sent"
        transport.close()
        peer.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del transport, _
        return gone

    gone = run(main())
    gc.collect()
    assert gone() is None


def test_the_socket_of_a_lost_connection(compare):
    """It is closed, and says so as a closed socket does; it is not missing."""

    async def body(note):
        async with served() as (address, _):
            transport, protocol = await connect(address)
            transport.abort()
            await protocol.gone
            sock = transport.get_extra_info("socket")
            note(sock.fileno())
            for use in (sock.getsockname, lambda: sock.getsockopt(1, 4)):
                try:
                    use()
                except OSError as error:
                    note(error.errno)

    assert compare(body) == [-1, errno.EBADF, errno.EBADF]


def test_a_socket_that_is_closed_behind_its_transport(compare, logged):
    """The number then belongs to the next one that opens something: nothing of the connection may reach that one."""

    async def body(note):
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        await asyncio.sleep(0)
        number = ours.fileno()
        ours.close()
        other, other_peer = socket.socketpair()
        note(number in (other.fileno(), other_peer.fileno()))
        fresh = other if other.fileno() == number else other_peer
        the_other_end = other_peer if fresh is other else other
        the_other_end.sendall(b"not for the transport")
        transport.write(b"not for the fresh one")
        note(type(await protocol.gone).__name__, bytes(protocol.received))
        the_other_end.setblocking(False)
        try:
            note(the_other_end.recv(100))
        except BlockingIOError:
            note("nothing")
        note(fresh.recv(100))
        for sock in (other, other_peer, peer):
            sock.close()

    assert compare(body) == [True, ("OSError", b""), "nothing", b"not for the transport"]


def test_a_socket_with_methods_of_its_own_is_asked(compare):
    class Counting(socket.socket):
        sent = received = 0

        def send(self, data, *flags):
            self.sent += len(data)
            return super().send(data, *flags)

        def recv(self, size, *flags):
            data = super().recv(size, *flags)
            self.received += len(data)
            return data

    async def body(note):
        plain, peer = socket.socketpair()
        sock = Counting(fileno=plain.detach())
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=sock)
        transport.write(b"order")
        peer.sendall(b"cake")
        await protocol.until(4)
        await asyncio.sleep(0)  # What was written may leave after the callback.
        note(bytes(protocol.received), peer.recv(5), sock.sent, sock.received)
        transport.close()
        peer.close()
        await protocol.gone

    assert compare(body) == [(b"cake", b"order", 5, 4)]


@pytest.mark.parametrize("what", ["write", "write_eof", "close", "sock_sendall"])
def test_what_is_sent_within_the_loop_arrives_within_two_turns(compare, what):
    """Both ends in one loop, and something always ready: websockets' own tests count on it."""

    async def body(note):
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        receiver, protocol = await loop.create_connection(Recorder, sock=theirs)
        await asyncio.sleep(0)
        if what == "sock_sendall":
            await loop.sock_sendall(ours, b"order")
        else:
            sender, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            await asyncio.sleep(0)
            sender.write(b"order") if what == "write" else getattr(sender, what)()
            if what == "close":
                await asyncio.sleep(0)  # The descriptor is closed in the next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        note(what, protocol.events[:])
        receiver.abort()
        (ours if what == "sock_sendall" else sender).close()
        await protocol.gone
        await asyncio.sleep(0)

    compare(body)
