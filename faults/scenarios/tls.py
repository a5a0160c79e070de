"""TLS from the first byte on, and on a connection that began plain."""

import asyncio
import functools
import pathlib
import ssl
import sys

from wire import Wire, close, serving

from .tcp import client, echo

CERTIFICATE = pathlib.Path(__file__).parents[2] / "tests" / "localhost.pem"
SIZE = 30_000
# Where a connection is lost before start_tls, the time-out is what ends it, in asyncio too.
TIMES = {"ssl_handshake_timeout": 0.7, "ssl_shutdown_timeout": 0.3}
UPGRADE = TIMES if sys.version_info >= (3, 12) else {"ssl_handshake_timeout": 0.7}


@functools.cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    return server, ssl.create_default_context(cafile=CERTIFICATE)


async def tls_streams(wire: Wire) -> None:
    ours, theirs = contexts()
    server = await asyncio.start_server(echo(wire, SIZE), "127.0.0.1", 0, ssl=ours, **TIMES)
    async with serving(server) as address:
        opened = asyncio.open_connection(*address, ssl=theirs, server_hostname="localhost", **TIMES)
        await wire.steps(client(wire, 1, SIZE, opened))


async def upgraded(wire: Wire) -> None:
    """Both sides speak plain first, then start_tls."""
    ours, theirs = contexts()

    async def handle(reader, writer) -> None:
        try:
            await reader.readexactly(5)
            writer.write(b"ready")
            await writer.start_tls(ours, **UPGRADE)
        except (OSError, EOFError):
            await close(writer)
            return
        except BaseException:
            writer.transport.abort()
            raise
        await echo(wire, SIZE)(reader, writer)

    async def open_plain():
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(b"start")
            await reader.readexactly(5)
            await writer.start_tls(theirs, server_hostname="localhost", **UPGRADE)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    server = await asyncio.start_server(lambda reader, writer: wire.steps(handle(reader, writer)), "127.0.0.1", 0)
    async with serving(server) as address:
        await wire.steps(client(wire, 1, SIZE, open_plain()))
