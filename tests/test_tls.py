"""TLS with the program's own SSLContext: connections, streams, and a certificate that nobody vouches for."""

import asyncio
import ssl

import pytest

from protocols import Echo, Recorder
from tls_peers import contexts


@pytest.mark.parametrize("size", [1, 65_536, 1_048_576])
def test_echo(run, size):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = contexts()
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=ours)
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port, ssl=theirs, server_hostname="localhost")
        assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
        assert transport.get_extra_info("cipher")
        sent = bytes(range(256)) * (size // 256) + bytes(size % 256)
        transport.write(sent)
        await protocol.until(size)
        assert protocol.received == sent
        transport.close()
        assert await protocol.gone is None
        server.close()
        await server.wait_closed()

    run(main())


def test_streams_that_start_tls(run):
    async def main():
        ours, theirs = contexts()

        async def handle(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go ahead\n")
            await writer.drain()
            await writer.start_tls(ours)
            writer.write((await reader.readline()).upper())
            writer.close()

        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go ahead\n"
            await writer.start_tls(theirs, server_hostname="localhost")
            writer.write(b"secret\n")
            assert await reader.readline() == b"SECRET\n"
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_certificate_nobody_vouches_for(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()
        ours, _ = contexts()
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=ours)
        port = server.sockets[0].getsockname()[1]
        try:
            await loop.create_connection(Recorder, "127.0.0.1", port, ssl=ssl.create_default_context())
        except ssl.SSLCertVerificationError as error:
            note(error.verify_code)
        server.close()
        await server.wait_closed()
        for _ in range(10):
            await asyncio.sleep(0)

    compare(body)
