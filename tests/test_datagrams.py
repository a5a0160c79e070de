"""Datagrams: endpoints on UDP and on Unix sockets."""

import asyncio
import os
import socket
import sys

import pytest


class Mailbox(asyncio.DatagramProtocol):
    def __init__(self):
        self.letters = asyncio.Queue()
        self.errors = asyncio.Queue()
        self.gone = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, address):
        self.letters.put_nowait((data, address))

    def error_received(self, error):
        self.errors.put_nowait(error)

    def connection_lost(self, error):
        self.gone.set_result(error)


async def closed(*endpoints):
    for transport, mailbox in endpoints:
        transport.close()
        await mailbox.gone


@pytest.mark.parametrize("size", [1, 1400, 50_000] + [0] * (sys.version_info >= (3, 14)))  # asyncio lost empty ones
def test_udp(run, size):
    async def main():
        loop = asyncio.get_running_loop()
        a = await loop.create_datagram_endpoint(Mailbox, local_addr=("127.0.0.1", 0))
        address = a[0].get_extra_info("sockname")
        b = await loop.create_datagram_endpoint(Mailbox, remote_addr=address)
        b[0].sendto(bytes(size))
        data, sender = await a[1].letters.get()
        assert data == bytes(size)
        assert sender == b[0].get_extra_info("sockname")
        a[0].sendto(b"back", sender)
        assert await b[1].letters.get() == (b"back", address)
        await closed(a, b)

    run(main())


def test_nobody_there(run):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            address = sock.getsockname()
        loop = asyncio.get_running_loop()
        endpoint = await loop.create_datagram_endpoint(Mailbox, remote_addr=address)
        endpoint[0].sendto(b"hello?")
        assert isinstance(await endpoint[1].errors.get(), ConnectionRefusedError)
        await closed(endpoint)

    run(main())


def test_unix_datagrams(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        name = f"\0rondeau-datagrams-{os.getpid()}"
        a = await loop.create_datagram_endpoint(Mailbox, local_addr=name, family=socket.AF_UNIX)
        b = await loop.create_datagram_endpoint(Mailbox, remote_addr=name, family=socket.AF_UNIX)
        b[0].sendto(b"letter")
        data, _ = await a[1].letters.get()
        assert data == b"letter"
        await closed(a, b)

    run(main())
