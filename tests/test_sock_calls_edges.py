"""loop.sock_* at the edges: who else uses the descriptor, odd arguments, odd sizes, odd sockets, failing connections."""

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import threading
import weakref
from typing import ClassVar

import pytest


@contextlib.contextmanager
def pair(kind=socket.SOCK_STREAM):
    ours, theirs = socket.socketpair(type=kind)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def test_a_number_that_is_closed_and_opened_again(run):
    async def main():
        loop = asyncio.get_running_loop()
        numbers = set()
        for round_ in range(20):
            with pair() as (a, b):
                numbers.add(b.fileno())
                for _ in range(3):
                    waiting = asyncio.create_task(loop.sock_recv(b, 10))
                    await asyncio.sleep(0)
                    a.send(b"%d" % round_)
                    assert await waiting == b"%d" % round_
        assert len(numbers) == 1

    run(main())


def test_a_descriptor_that_is_put_under_another_number(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b), pair() as (c, d):
            a.send(b"1")
            assert await loop.sock_recv(b, 10) == b"1"
            waiting = asyncio.create_task(loop.sock_recv(b, 10))
            await asyncio.sleep(0)
            a.send(b"2")
            assert await waiting == b"2"
            os.dup2(d.fileno(), b.fileno())
            waiting = asyncio.create_task(loop.sock_recv(b, 10))
            await asyncio.sleep(0)
            c.send(b"3")
            assert await waiting == b"3"

    run(main())


def test_reading_and_writing_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        size = 3_000_000
        with pair() as (a, b):

            async def receive(sock):
                total = 0
                while total < size:
                    total += len(await loop.sock_recv(sock, 65_536))
                return total

            # Both directions of both sockets wait in turns.
            done = await asyncio.gather(
                receive(a), receive(b), loop.sock_sendall(a, bytes(size)), loop.sock_sendall(b, bytearray(size))
            )
            assert done == [size, size, None, None]
            assert not loop.remove_reader(a)
            assert not loop.remove_writer(a)

    run(main())


def test_beside_a_reader_or_writer_of_the_program(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            written = asyncio.Event()
            loop.add_writer(b, written.set)
            waiting = asyncio.create_task(loop.sock_recv(b, 10))
            await written.wait()
            assert loop.remove_writer(b)
            a.send(b"soup")
            assert await waiting == b"soup"

            # A reader that is added takes the call's place, as it would take another reader's.
            waiting = asyncio.create_task(loop.sock_recv(b, 10))
            await asyncio.sleep(0)
            read = asyncio.Event()
            loop.add_reader(b, read.set)
            a.send(b"roast")
            await read.wait()
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait([waiting])
            assert loop.remove_reader(b)
            assert await loop.sock_recv(b, 10) == b"roast"

            # And the other way round.
            loop.add_reader(b, read.set)
            waiting = asyncio.create_task(loop.sock_recv(b, 10))
            await asyncio.sleep(0)
            a.send(b"cake")
            assert await waiting == b"cake"
            assert not loop.remove_reader(b)

    run(main())


def test_a_second_call_takes_the_place_of_the_first(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            first = asyncio.create_task(loop.sock_recv(b, 10))
            await asyncio.sleep(0)
            second = asyncio.create_task(loop.sock_recv(b, 10))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            a.send(b"soup")
            assert await second == b"soup"

    run(main())


def test_a_socket_that_a_transport_uses(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
            for call in [loop.sock_recv(a, 1), loop.sock_sendall(a, bytes(10_000_000))]:
                try:
                    await call
                except RuntimeError as error:
                    note(str(error).partition("fd=")[0].replace(str(a.fileno()), "N"))
            transport.abort()
            await asyncio.sleep(0)
            b.close()

    compare(body)


class Ladle(socket.socket):
    """Overrides what a subclass may override."""

    calls: ClassVar[list[str]] = []

    def recv(self, *args):
        self.calls.append("recv")
        return super().recv(*args)

    def send(self, *args):
        self.calls.append("send")
        return super().send(*args)


def test_a_subclass_is_asked(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, Ladle() as ladle:
            ladle.setblocking(False)
            listener.setblocking(False)
            await loop.sock_connect(ladle, listener.getsockname())
            served, _ = await loop.sock_accept(listener)
            with served:
                waiting = asyncio.create_task(loop.sock_recv(ladle, 10))
                await asyncio.sleep(0)
                served.send(b"soup")
                assert await waiting == b"soup"
                size = 5_000_000
                sending = asyncio.create_task(loop.sock_sendall(ladle, bytes(size)))
                total = 0
                while total < size:
                    total += len(await loop.sock_recv(served, 65_536))
                await sending
        assert Ladle.calls.count("recv") >= 2
        assert Ladle.calls.count("send") >= 2
        Ladle.calls.clear()

    run(main())


def test_arguments(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        async def tried(function, *arguments, **named):
            try:
                note(await function(*arguments, **named))
            except Exception as error:
                note(type(error).__name__, str(error).replace("BaseSelectorEventLoop.", "").replace("EventLoop.", ""))

        with pair(socket.SOCK_DGRAM) as (a, b), pair() as (c, d):
            for size in [-1, "ten", None, 2**70, 1.5, 0, True]:
                a.send(b"soup")
                await tried(loop.sock_recv, b, size)
                a.send(b"soup")
                await tried(loop.sock_recvfrom, b, size)
                b.setblocking(False)
                while True:
                    try:
                        b.recv(100)
                    except BlockingIOError:
                        break
            for buffer in [b"", b"read-only", "text", None, bytearray(), memoryview(bytes(3))]:
                a.send(b"soup")
                await tried(loop.sock_recv_into, b, buffer)
                await tried(loop.sock_recvfrom_into, b, buffer)
                await tried(loop.sock_recvfrom_into, b, bytearray(8), 100)
                await tried(loop.sock_recvfrom_into, b, bytearray(8), -1)
                while True:
                    try:
                        b.recv(100)
                    except BlockingIOError:
                        break
            for data in ["text", None, 7, memoryview(bytes(10))[::2]]:
                await tried(loop.sock_sendall, c, data)
                await tried(loop.sock_sendto, a, data, "/no/such")
            await tried(loop.sock_sendall, sock=c, data=b"named")
            await tried(loop.sock_recv, sock=d, n=100)
            await tried(loop.sock_recv, d)
            await tried(loop.sock_recv)
            await tried(loop.sock_sendto)
            await tried(loop.sock_recv, d, 1, 2)
            await tried(loop.sock_recvfrom_into, d, 1, 2, 3)
            await tried(loop.sock_recv, d, 1, n=2)
            await tried(loop.sock_recv, d, 1, m=2)
            await tried(loop.sock_recv, None, 1)
            await tried(loop.sock_recv, 1, 1)
            a.close()
            for call in [loop.sock_recv, loop.sock_sendall, loop.sock_recvfrom, loop.sock_recv_into]:
                await tried(call, a, bytearray(2) if call in (loop.sock_sendall, loop.sock_recv_into) else 2)
            await tried(loop.sock_accept, a)

    compare(body)


@pytest.mark.parametrize("size", [1, 65_536, 262_144, 262_145, 1_000_000])
def test_sizes_of_what_is_received(run, size):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            sending = asyncio.create_task(loop.sock_sendall(a, bytes(range(250)) * 8_000))
            received = bytearray()
            while len(received) < 2_000_000:
                data = await loop.sock_recv(b, size if size > 1 else 100_000)
                assert 0 < len(data) <= max(size, 100_000)
                received += data
            await sending
            assert received == bytes(range(250)) * 8_000
            if size == 1:
                a.send(b"ab")
                assert [await loop.sock_recv(b, 1), await loop.sock_recv(b, 1)] == [b"a", b"b"]

    run(main())


def test_senders(compare, tmp_path):
    numbers = itertools.count()

    async def body(note):
        loop = asyncio.get_running_loop()
        with pair(socket.SOCK_DGRAM) as (a, b), pair() as (c, d):
            a.send(b"nameless")
            note(await loop.sock_recvfrom(b, 100))
            note(await loop.sock_recvfrom_into(b, bytearray(3)) if a.send(b"longer") else None)
            c.send(b"stream")
            note(await loop.sock_recvfrom(d, 100))
        for family, host in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]:
            with socket.socket(family, socket.SOCK_DGRAM) as a, socket.socket(family, socket.SOCK_DGRAM) as b:
                a.setblocking(False)
                b.setblocking(False)
                a.bind((host, 0))
                b.bind((host, 0))
                receiving = asyncio.create_task(loop.sock_recvfrom(b, 100))
                await asyncio.sleep(0)
                note(await loop.sock_sendto(a, b"letter", b.getsockname()))
                data, sender = await receiving
                note(data, sender == a.getsockname(), type(sender).__name__, len(sender))
        number = next(numbers)
        for name in [f"\0rondeau-{os.getpid()}-{number}", str(tmp_path / f"named-{number}")]:
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as a,
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as b,
            ):
                a.setblocking(False)
                b.setblocking(False)
                a.bind(name)
                b.bind(name + "-b")
                note(await loop.sock_sendto(a, b"", name + "-b"))
                data, sender = await loop.sock_recvfrom(b, 100)
                note(data, sender == a.getsockname(), type(sender).__name__)

    compare(body)


def test_a_blocking_socket_still_gets_its_data(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sender = threading.Thread(target=theirs.sendall, args=(b"soup",))
            sender.start()
            assert await loop.sock_recv(ours, 10) == b"soup"
            sender.join()

    run(main())


def test_a_loop_that_is_closed(loop):
    with pair() as (a, b):
        call = loop.sock_recv(b, 10)
        loop.close()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            call.send(None)
        a.send(b"soup")


def test_a_loop_that_is_closed_while_a_call_waits(loop):
    with pair() as (_, b):
        call = loop.sock_recv(b, 10)
        call.send(None)
        loop.close()
        call.close()
    del call
    gc.collect()


def test_a_cycle_through_a_waiting_call_is_collected(loop_factory):
    class Holder(bytearray):
        pass

    loop = loop_factory()
    with pair() as (_, b):
        holder = Holder(10)
        holder.call = loop.sock_recv_into(b, holder)
        holder.call.send(None)
        gone = weakref.ref(holder)
        loop.close()
        del holder
        gc.collect()
        assert gone() is None


def test_connecting_that_fails(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        with socket.socket() as client:
            client.setblocking(False)
            try:
                await loop.sock_connect(client, address)
            except OSError as error:
                note(error.errno, str(error).replace(str(address[1]), "PORT"))
            note(loop.remove_writer(client))
        with socket.socket() as client:
            client.setblocking(False)
            for wrong in [None, (), ("127.0.0.1",), ("127.0.0.1", "no-such-service"), ("127.0.0.1", -1), 7]:
                try:
                    await loop.sock_connect(client, wrong)
                except (OSError, OverflowError, TypeError, ValueError) as error:
                    note(type(error).__name__, str(error))
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            try:
                await loop.sock_connect(client, "/no/such/socket")
            except FileNotFoundError as error:
                note(error)

    compare(body)


def test_connecting_that_is_cancelled(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            filling = []
            # A full backlog: the last of these waits.
            for _ in range(4):
                client = socket.socket()
                client.setblocking(False)
                task = asyncio.create_task(loop.sock_connect(client, listener.getsockname()))
                filling.append((client, task))
            for _ in range(5):
                await asyncio.sleep(0)
            for client, task in filling:
                task.cancel()
                await asyncio.wait([task])
                assert not loop.remove_writer(client)
                client.close()

    run(main())
