"""Unix sockets, datagrams, pipes and subprocesses."""

import asyncio
import contextlib
import itertools
import os
import socket

from wire import Wire, all_of, serving

from .tcp import SIZE, client, echo

_names = itertools.count()


def abstract() -> str:
    """An address without a file, so that only the sockets' own calls can fail."""
    return f"\0rondeau-faults-{os.getpid()}-{next(_names)}"


async def unix_streams(wire: Wire) -> None:
    path = abstract()
    async with serving(await asyncio.start_unix_server(echo(wire, SIZE), path)):
        await all_of(
            *(wire.steps(client(wire, number, SIZE, asyncio.open_unix_connection(path))) for number in (1, 2, 3)),
        )


class Post(asyncio.DatagramProtocol):
    """Answers each datagram, or expects each of its own back, by its number."""

    def __init__(self, wire: Wire, answers: bool) -> None:
        self.wire, self.answers = wire, answers
        loop = asyncio.get_running_loop()
        self.done, self.came = loop.create_future(), loop.create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, addr) -> None:
        self.wire.check_any(100, data, "datagram")
        if len(data) != 100:
            self.wire.wrong.append(f"a datagram of {len(data)} bytes")
        if self.answers:
            self.transport.sendto(data, addr)
        elif not self.came.done():
            self.came.set_result(data)

    def error_received(self, error) -> None:
        if not self.came.done():
            self.came.set_result(error)

    def connection_lost(self, error) -> None:
        if not self.done.done():
            self.done.set_result(error)


async def posts(wire: Wire, local, family, remote) -> None:
    loop = asyncio.get_running_loop()
    server, answering = await loop.create_datagram_endpoint(lambda: Post(wire, True), local_addr=local, family=family)
    try:
        address = server.get_extra_info("sockname")
        if address is None:
            raise OSError("getsockname failed when the transport was made")
        if isinstance(address, bytes):
            address = os.fsdecode(address)
        transport, asking = await loop.create_datagram_endpoint(
            lambda: Post(wire, False), local_addr=remote, remote_addr=address, family=family
        )
        try:
            # A datagram may be lost (here by a failure): it is sent until an answer comes.
            for _ in range(20):
                transport.sendto(wire.pattern(11, 100))
                done, _ = await asyncio.wait([asking.came, asking.done], timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
        finally:
            transport.close()
            await asking.done
    finally:
        server.close()
        await answering.done


async def datagrams(wire: Wire) -> None:
    await wire.steps(posts(wire, ("127.0.0.1", 0), socket.AF_INET, None))


async def unix_datagrams(wire: Wire) -> None:
    await wire.steps(posts(wire, abstract(), socket.AF_UNIX, abstract()))


async def pipes(wire: Wire) -> None:
    """connect_read_pipe and connect_write_pipe, with more than a pipe takes."""
    loop = asyncio.get_running_loop()
    size = 200_000
    read_end, write_end = os.pipe()
    with open(read_end, "rb", 0) as source, open(write_end, "wb", 0) as target:
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        try:
            writing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, target)
            writer = asyncio.StreamWriter(writing, protocol, None, loop)
            try:

                async def send() -> None:
                    pattern = wire.pattern(5, size)
                    for at in range(0, size, 50_000):
                        writer.write(pattern[at : at + 50_000])
                        await writer.drain()
                    writer.close()

                async def receive() -> None:
                    got = bytearray()
                    while data := await reader.read(1 << 16):
                        got += data
                        wire.check(5, size, got, "pipe")
                    if len(got) != size:
                        raise EOFError

                await all_of(wire.steps(send()), wire.steps(receive()))
            finally:
                if not writing.is_closing():
                    writing.abort()
        finally:
            reading.close()
            await asyncio.sleep(0)


async def subprocess_pipes(wire: Wire) -> None:
    """A child that gives back what it gets."""
    child = await asyncio.create_subprocess_exec(
        "/bin/cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    size = 100_000
    try:
        out, _ = await wire.steps(child.communicate(wire.pattern(6, size)))
        wire.check(6, size, out, "child")
        if len(out) != size:
            raise EOFError
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        try:
            await child.wait()
        finally:
            child._transport.close()
        await asyncio.sleep(0)
