"""Contexts for the TLS tests, and a peer whose records a test sends as it likes: a byte at a time, or several at once."""

import asyncio
import ssl
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # Self-signed, for these tests alone, valid for a century.


class Object(ssl.SSLObject):
    """A program's own class: every record then goes through its methods and not straight to OpenSSL."""


def contexts(through_methods=False, version=None):
    """The server's and the client's."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    client = ssl.create_default_context(cafile=CERTIFICATE)
    for context in (server, client):
        if through_methods:
            context.sslobject_class = Object
        if version:
            context.minimum_version = context.maximum_version = version
    return server, client


class HandMade:
    """A client on a plain socket whose session the test drives by hand."""

    def __init__(self, sock, context, name="localhost"):
        self.loop = asyncio.get_running_loop()
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    async def send(self, piece=None):
        """What the session wants to say, so many bytes at a time."""
        records = self.outgoing.read()
        piece = piece or len(records) or 1
        for start in range(0, len(records), piece):
            await self.loop.sock_sendall(self.sock, records[start : start + piece])

    async def receive(self):
        data = await self.loop.sock_recv(self.sock, 65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    async def step(self, function, *arguments, piece=None):
        """Do that, however many records it takes."""
        while True:
            try:
                result = function(*arguments)
            except ssl.SSLWantReadError:
                await self.send(piece)
                await self.receive()
            else:
                await self.send(piece)
                return result

    async def read(self, count):
        data = b""
        while len(data) < count:
            data += await self.step(self.session.read, count - len(data))
        return data
