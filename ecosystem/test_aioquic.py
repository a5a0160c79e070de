"""aioquic: QUIC over one datagram endpoint a side, its own timers through `call_at`, with packets that get lost."""

import asyncio
import contextlib
import random

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, DatagramFrameReceived


class Server(QuicConnectionProtocol):
    def quic_event_received(self, event):
        super().quic_event_received(event)
        if isinstance(event, DatagramFrameReceived):
            self._quic.send_datagram_frame(event.data[::-1])
            self.transmit()


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.datagrams, self.ended = asyncio.Queue(), asyncio.Queue()

    def quic_event_received(self, event):
        super().quic_event_received(event)
        if isinstance(event, DatagramFrameReceived):
            self.datagrams.put_nowait(event.data)
        elif isinstance(event, ConnectionTerminated):
            self.ended.put_nowait((event.error_code, event.reason_phrase))


@contextlib.asynccontextmanager
async def serving(certificates, folder, protocol=Server):
    key, chain, authority = certificates.write(folder)
    settings = QuicConfiguration(is_client=False, alpn_protocols=["kitchen"], max_datagram_frame_size=65536)
    settings.load_cert_chain(chain, key)
    tasks = set()

    async def turn(reader, writer):
        writer.write((await reader.read())[::-1])
        writer.write_eof()

    def stream(reader, writer):
        task = asyncio.get_running_loop().create_task(turn(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await serve("127.0.0.1", 0, configuration=settings, create_protocol=protocol, stream_handler=stream)
    try:
        yield server._transport.get_extra_info("sockname")[1], authority
    finally:
        server.close()
        for task in tasks:
            task.cancel()


def client(port, authority):
    settings = QuicConfiguration(
        is_client=True, alpn_protocols=["kitchen"], max_datagram_frame_size=65536, server_name="localhost"
    )
    settings.load_verify_locations(str(authority))
    return connect("127.0.0.1", port, configuration=settings, create_protocol=Client)


async def stream(connection, content):
    reader, writer = await connection.create_stream()
    writer.write(content)
    writer.write_eof()
    return await reader.read() == content[::-1]


def test_ten_connections_of_ten_streams(compare, certificates, tmp_path):
    async def body():
        async with serving(certificates, tmp_path) as (port, authority):

            async def one(number):
                async with client(port, authority) as connection:
                    contents = [bytes([number, each]) * (each * 3001 + 1) for each in range(10)]
                    found = await asyncio.gather(*(stream(connection, content) for content in contents))
                    await connection.ping()
                    return found

            return await asyncio.gather(*(one(number) for number in range(10)))

    assert compare(body) == [[True] * 10] * 10


def test_datagrams_and_a_close_with_a_reason(compare, certificates, tmp_path):
    async def body():
        servers = []

        class Kept(Server):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                servers.append(self)

        async with serving(certificates, tmp_path, Kept) as (port, authority), client(port, authority) as connection:
            found = []
            for number in range(20):
                connection._quic.send_datagram_frame(b"soup %d" % number)
                connection.transmit()
                found.append(await connection.datagrams.get())
            servers[0].close(error_code=7, reason_phrase="kitchen closed")
            return found, await connection.ended.get()

    assert compare(body) == ([(b"soup %d" % n)[::-1] for n in range(20)], (7, "kitchen closed"))


def test_every_fifth_packet_is_lost(compare, certificates, tmp_path):
    async def body():
        dice = random.Random(5)

        class Lossy(Server):
            def datagram_received(self, data, address):
                if dice.random() > 0.2:
                    super().datagram_received(data, address)

        async with serving(certificates, tmp_path, Lossy) as (port, authority), client(port, authority) as connection:
            return await stream(connection, b"stew" * 25_000)

    assert compare(body)


def test_nobody_answers(compare, certificates, tmp_path):
    async def body():
        _, _, authority = certificates.write(tmp_path)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                async with client(transport.get_extra_info("sockname")[1], authority):
                    pass
        transport.close()
        return "given up"

    assert compare(body) == "given up"
