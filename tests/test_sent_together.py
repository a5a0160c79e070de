"""What one turn writes to many connections leaves together: each gets its own bytes, error and back-pressure."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

CONNECTIONS = 40


class Peer(asyncio.Protocol):
    """Notes how its connection ended and when it was paused."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.paused = 0
        self.on_pause = lambda: None

    def pause_writing(self) -> None:
        self.paused += 1
        self.on_pause()

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def connect(family=socket.AF_UNIX):
    """A transport, its protocol, and the plain socket at the other end."""
    loop = asyncio.get_running_loop()
    if family == socket.AF_UNIX:
        ours, other = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
    ours.setblocking(False)
    transport, protocol = await loop.create_connection(Peer, sock=ours)
    return transport, protocol, other


async def close(*connections):
    for transport, protocol, other in connections:
        transport.abort()
        await protocol.lost
        other.close()


def received(other, count):
    other.settimeout(20)
    data = b""
    while len(data) < count:
        more = other.recv(count - len(data))
        assert more, "the connection ended early"
        data += more
    return data


@pytest.mark.parametrize("size", [1, 1000, 3000, 5000, 70_000])
def test_every_connection_gets_its_own_bytes(run, size):
    async def main():
        connections = [await connect() for _ in range(CONNECTIONS)]
        for round in range(3):
            for number, (transport, _, _) in enumerate(connections):
                header, body = b"%03d %03d " % (number, round), bytes([number]) * size
                transport.write(header)
                if number % 2:
                    transport.write(body)
                else:
                    transport.writelines([body[: size // 2], body[size // 2 :]])
            await asyncio.sleep(0)
            for number, (_, _, other) in enumerate(connections):
                data = await asyncio.to_thread(received, other, size + 8)
                assert data == b"%03d %03d " % (number, round) + bytes([number]) * size
        await close(*connections)

    run(main())


def test_one_reset_connection_takes_nobody_along(run):
    async def main():
        connections = [await connect(socket.AF_INET) for _ in range(5)]
        transport, protocol, other = connections[2]
        transport.pause_reading()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        for transport, _, _ in connections:
            transport.write(b"soup")
        assert isinstance(await protocol.lost, ConnectionError)
        assert connections[2][0].is_closing()
        del connections[2]
        for _, _, other in connections:
            assert received(other, 4) == b"soup"
        await close(*connections)

    run(main())


def test_a_full_connection_waits_and_the_others_do_not(run):
    async def main():
        connections = [await connect() for _ in range(4)]
        transport, protocol, other = connections[1]
        transport.set_write_buffer_limits(high=0)
        while not protocol.paused:
            transport.write(b"f" * 8192)
            await asyncio.sleep(0)
        waiting = transport.get_write_buffer_size()
        for each, _, _ in connections:
            each.write(b"last")
        await asyncio.sleep(0)
        assert transport.get_write_buffer_size() == waiting + 4
        for each in (0, 2, 3):
            assert received(connections[each][2], 4) == b"last"
        other.setblocking(False)
        tail = b""
        while not tail.endswith(b"last"):
            try:
                tail = tail[-4:] + other.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0)
        await close(*connections)

    run(main())


def test_what_is_sent_once_is_not_sent_again_by_a_pause(run):
    """A protocol that is paused while its group leaves writes to, flushes and closes the others."""

    async def main():
        connections = [await connect() for _ in range(4)]
        transport, protocol, _ = connections[0]
        transport.set_write_buffer_limits(high=0)

        def on_pause():
            connections[1][0].write(b" more")
            assert connections[1][0].get_write_buffer_size() == 0
            connections[2][0].write(b" end")
            connections[2][0].close()
            connections[3][0].abort()

        protocol.on_pause = on_pause
        buffer = connections[0][0].get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        rounds = 0
        while not protocol.paused:
            rounds += 1
            transport.write(b"f" * (buffer // 4))
            for number in (1, 2, 3):
                if not protocol.paused:
                    connections[number][0].write(b"%03d" % rounds)
            await asyncio.sleep(0)
        one, two = connections[1][2], connections[2][2]
        for other, end in ((one, b" more"), (two, b" end")):
            other.setblocking(False)
            data = b""
            while not data.endswith(end):
                try:
                    data += other.recv(1 << 16)
                except BlockingIOError:
                    await asyncio.sleep(0)
            # asyncio sends at once, so there the pause comes before the last round's writes.
            sent = b"".join(b"%03d" % each for each in range(1, rounds + 1))
            assert data in (sent + end, sent[:-3] + end)
        assert await connections[2][1].lost is None
        assert await connections[3][1].lost is None
        await close(*connections[:2])
        for _, _, other in connections[2:]:
            other.close()

    run(main())
