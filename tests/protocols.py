"""The protocols that the network tests speak, and a server and a client made of them."""

import asyncio
import contextlib


class Recorder(asyncio.Protocol):
    """Keeps what it is told. `gone` and `ended` are futures, so that a test waits for facts and not for time."""

    def __init__(self, keep_open=False):
        loop = asyncio.get_running_loop()
        self.events = []
        self.received = bytearray()
        self.made, self.ended, self.gone = loop.create_future(), loop.create_future(), loop.create_future()
        self.keep_open = keep_open
        self.wanted = []

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")
        self.made.set_result(transport)

    def data_received(self, data):
        assert type(data) is bytes
        if self.events[-1] != "data":
            self.events.append("data")
        self.received += data
        for count, future in self.wanted:
            if len(self.received) >= count and not future.done():
                future.set_result(None)

    def until(self, count):
        future = asyncio.get_running_loop().create_future()
        self.wanted.append((count, future))
        if len(self.received) >= count:
            future.set_result(None)
        return future

    def eof_received(self):
        self.events.append("eof")
        self.ended.set_result(None)
        return self.keep_open

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, error):
        self.events.append(("lost", type(error).__name__))
        self.gone.set_result(error)


class Echo(Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


@contextlib.asynccontextmanager
async def served(kind=Echo, **options):
    """A server on loopback; yields its address and the protocols it made."""
    made = []

    def factory():
        made.append(kind())
        return made[-1]

    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname(), made
    finally:
        server.close()
        for protocol in made:
            if not protocol.gone.done():
                await protocol.gone
        await server.wait_closed()


async def connect(address, kind=Recorder, **options):
    transport, protocol = await asyncio.get_running_loop().create_connection(kind, *address, **options)
    return transport, protocol
