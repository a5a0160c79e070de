"""loop.sock_*: a caller's own socket, awaited."""

import asyncio
import contextlib
import socket

import pytest


@contextlib.contextmanager
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def test_recv_and_sendall(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            await loop.sock_sendall(a, b"soup")
            assert await loop.sock_recv(b, 100) == b"soup"
            waiting = asyncio.create_task(loop.sock_recv(b, 100))
            await asyncio.sleep(0)
            assert not waiting.done()
            await loop.sock_sendall(a, memoryview(b"roast"))
            assert await waiting == b"roast"
            await loop.sock_sendall(a, b"")
            a.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(b, 100) == b""

    run(main())


@pytest.mark.parametrize("size", [1, 65_536, 5_000_000])
def test_sendall_of_more_than_fits(run, size):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            sent = bytes(range(256)) * (size // 256) + bytes(size % 256)
            sending = asyncio.create_task(loop.sock_sendall(a, sent))
            received = bytearray()
            while len(received) < size:
                received += await loop.sock_recv(b, 65_536)
            await sending
            assert received == sent

    run(main())


def test_recv_into(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            buffer = bytearray(10)
            await loop.sock_sendall(a, b"soup")
            assert await loop.sock_recv_into(b, buffer) == 4
            assert buffer == b"soup\0\0\0\0\0\0"
            waiting = asyncio.create_task(loop.sock_recv_into(b, memoryview(buffer)[5:]))
            await asyncio.sleep(0)
            await loop.sock_sendall(a, b"roast")
            assert await waiting == 5
            assert buffer == b"soup\0roast"

    run(main())


def test_accept_and_connect(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.create_task(loop.sock_accept(listener))
            await asyncio.sleep(0)
            await loop.sock_connect(client, listener.getsockname())
            served, address = await accepting
            with served:
                assert address == client.getsockname()
                assert not served.getblocking()
                await loop.sock_sendall(client, b"ping")
                assert await loop.sock_recv(served, 10) == b"ping"
                await loop.sock_sendall(served, b"pong")
                assert await loop.sock_recv(client, 10) == b"pong"

    run(main())


def test_connect_by_name(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("localhost", listener.getsockname()[1]))
            assert client.getpeername() == listener.getsockname()

    run(main())


def test_cancelling(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with pair() as (a, b), socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            for call in [
                lambda: loop.sock_recv(b, 10),
                lambda: loop.sock_recv_into(b, bytearray(10)),
                lambda: loop.sock_accept(listener),
                lambda: loop.sock_sendall(a, bytes(10_000_000)),
            ]:
                task = asyncio.create_task(call())
                for _ in range(3):
                    await asyncio.sleep(0)
                note(task.done(), task.cancel())
                note(await asyncio.gather(task, return_exceptions=True))
            # Nobody listens any more: the descriptors are free for others.
            note(loop.remove_reader(b), loop.remove_writer(a), loop.remove_reader(listener))

    compare(body)


def test_two_readers_take_turns(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):

            async def echo():
                while data := await loop.sock_recv(b, 10):
                    await loop.sock_sendall(b, data)

            echoing = asyncio.create_task(echo())
            for number in range(200):
                await loop.sock_sendall(a, b"%d" % number)
                assert await loop.sock_recv(a, 10) == b"%d" % number
            a.shutdown(socket.SHUT_WR)
            await echoing

    run(main())


def test_a_closed_peer(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            b.close()
            note(await loop.sock_recv(a, 10))
            try:
                await loop.sock_sendall(a, b"x")
            except BrokenPipeError as error:
                note(error.errno)
            a.close()
            for call in [lambda: loop.sock_recv(a, 10), lambda: loop.sock_sendall(a, b"x")]:
                try:
                    await call()
                except OSError as error:
                    note(error.errno)

    compare(body)


def test_misuse(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with socket.socket() as blocking:
            for call in [
                lambda: loop.sock_recv(blocking, 10),
                lambda: loop.sock_recv_into(blocking, bytearray(10)),
                lambda: loop.sock_sendall(blocking, b""),
                lambda: loop.sock_accept(blocking),
                lambda: loop.sock_connect(blocking, ("127.0.0.1", 1)),
            ]:
                try:
                    await call()
                except ValueError as error:
                    note(error)

    # Only debug mode looks.
    compare(body, debug=True)


def test_datagram_calls(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as a, socket.socket(type=socket.SOCK_DGRAM) as b:
            for sock in [a, b]:
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            receiving = asyncio.create_task(loop.sock_recvfrom(b, 100))
            await asyncio.sleep(0)
            assert await loop.sock_sendto(a, b"soup", b.getsockname()) == 4
            assert await receiving == (b"soup", a.getsockname())
            await loop.sock_sendto(a, b"", b.getsockname())
            buffer = bytearray(10)
            assert await loop.sock_recvfrom_into(b, buffer) == (0, a.getsockname())

    run(main())


def test_sendfile(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = tmp_path / "menu"
        path.write_bytes(b"menu" * 50_000)
        with pair() as (a, b), path.open("rb") as file:
            sending = asyncio.create_task(loop.sock_sendfile(a, file, 4, 100_000))
            received = bytearray()
            while len(received) < 100_000:
                received += await loop.sock_recv(b, 65_536)
            assert await sending == 100_000
            assert received == b"menu" * 25_000

    run(main())
