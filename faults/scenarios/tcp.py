"""Stream sockets over loopback: streams, protocols, the sock_* calls."""

import asyncio
import contextlib
import socket

from wire import Wire, all_of, close, serving

SIZE = 3000


def echo(wire: Wire, size: int):
    """A handler for start_server that gives back what it gets, and checks it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = bytearray()
        try:
            while data := await reader.read(1 << 16):
                got += data
                wire.check_any(size, got, "server")
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            await close(writer)

    return lambda reader, writer: wire.steps(handle(reader, writer))


async def client(wire: Wire, number: int, size: int, opened) -> None:
    """Sends its pattern through a stream and expects it back."""
    reader, writer = await opened
    got = bytearray()
    try:
        pattern = wire.pattern(number, size)
        writer.write(pattern[:10])
        await writer.drain()
        writer.write(pattern[10:])
        while len(got) < size:
            data = await reader.read(1 << 16)
            if not data:
                raise EOFError
            got += data
            wire.check(number, size, got, "client")
    finally:
        await close(writer)


async def streams(wire: Wire) -> None:
    """Connect, echo, close."""
    async with serving(await asyncio.start_server(echo(wire, SIZE), "127.0.0.1", 0)) as address:
        await wire.steps(client(wire, 1, SIZE, asyncio.open_connection(*address)))


async def twenty_clients(wire: Wire) -> None:
    """A server with twenty clients at once."""
    size = 40_000
    async with serving(await asyncio.start_server(echo(wire, size), "127.0.0.1", 0)) as address:
        await all_of(*(wire.steps(client(wire, number, size, asyncio.open_connection(*address))) for number in range(20)))


async def told_together(wire: Wire) -> None:
    """Six connections are written to in one callback, so that what is due leaves in one system call; three rounds."""
    size, ours, all_are_here = 3_000, [], asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours.append(writer)
        if len(ours) == 6:
            all_are_here.set()
        try:
            await reader.read()
        finally:
            await close(writer)

    async def tell() -> None:
        await all_are_here.wait()
        for part in range(3):
            for writer in ours:
                writer.write(wire.pattern(0, size)[part * 1000 : part * 1000 + 1000])
            await asyncio.sleep(0)

    async def one(address) -> None:
        reader, writer = await asyncio.open_connection(*address)
        try:
            wire.check(0, size, await reader.readexactly(size), "client")
        finally:
            await close(writer)

    async with serving(await asyncio.start_server(handle, "127.0.0.1", 0)) as address:
        await all_of(wire.steps(tell()), *(wire.steps(one(address)) for _ in range(6)))


class Peer(asyncio.Protocol):
    """One end of a connection. `done` ends with the connection, as it ended."""

    def __init__(self, wire: Wire, size: int, number: int | None = None) -> None:
        self.wire, self.size, self.number = wire, size, number
        self.got = bytearray()
        self.done = asyncio.get_running_loop().create_future()
        self.all = asyncio.get_running_loop().create_future()
        self.going = True

    def connection_made(self, transport) -> None:
        self.transport = transport
        if self.number is not None:
            pattern = self.wire.pattern(self.number, self.size)
            transport.writelines([pattern[:5], pattern[5:500], pattern[500:]])

    def data_received(self, data) -> None:
        self.got += data
        self.wire.check_any(self.size, self.got, "server" if self.number is None else "client")
        if self.number is None:
            self.transport.write(data)
        elif len(self.got) == self.size and not self.all.done():
            self.all.set_result(None)

    def connection_lost(self, error) -> None:
        if not self.done.done():
            self.done.set_result(error)
        if not self.all.done():
            self.all.set_result(error or EOFError())


class BufferedPeer(Peer, asyncio.BufferedProtocol):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.buffer = bytearray(700)

    def get_buffer(self, hint):
        return self.buffer

    def buffer_updated(self, count) -> None:
        self.data_received(bytes(self.buffer[:count]))


class HalfClosingPeer(Peer):
    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        if self.number is not None:
            transport.write_eof()


async def peers(wire: Wire, kind: type[Peer], size: int, abort: bool = False) -> None:
    loop = asyncio.get_running_loop()
    made: list[Peer] = []

    def factory() -> Peer:
        made.append(kind(wire, size))
        return made[-1]

    async with serving(await loop.create_server(factory, "127.0.0.1", 0)) as address:

        async def one(number: int) -> None:
            transport, peer = await loop.create_connection(lambda: kind(wire, size, number), *address)
            try:
                if not abort and (error := await peer.all):
                    raise error
            finally:
                if abort:
                    transport.abort()
                else:
                    transport.close()
                await peer.done

        await all_of(*(wire.steps(one(number)) for number in (1, 2)))
        # What the kernel still has in its backlog would be closed unseen with the server: fine. What was accepted ends.
        for peer in made:
            await peer.done


async def protocols(wire: Wire) -> None:
    """Protocols, with more to send than a socket takes."""
    await peers(wire, Peer, 5_000_000)


async def buffered(wire: Wire) -> None:
    await peers(wire, BufferedPeer, 20_000)


async def half_close(wire: Wire) -> None:
    await peers(wire, HalfClosingPeer, 20_000)


async def aborted(wire: Wire) -> None:
    """abort() while much is on its way in both directions."""
    await peers(wire, Peer, 3_000_000, abort=True)


async def sock_calls(wire: Wire) -> None:
    """sock_connect, sock_accept, sock_sendall, sock_recv, sock_recv_into."""
    loop = asyncio.get_running_loop()
    size = 300_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def serve() -> None:
            sock, _ = await loop.sock_accept(listener)
            with sock:
                got = bytearray()
                room = bytearray(60_000)
                while count := await loop.sock_recv_into(sock, room):
                    got += room[:count]
                    wire.check_any(size, got, "server")
                    await loop.sock_sendall(sock, room[:count])

        async def ask() -> None:
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, listener.getsockname())

                async def receive() -> None:
                    got = bytearray()
                    while len(got) < size:
                        data = await loop.sock_recv(sock, 1 << 16)
                        if not data:
                            raise EOFError
                        got += data
                        wire.check(7, size, got, "client")

                await all_of(loop.sock_sendall(sock, wire.pattern(7, size)), receive())

        await all_of(wire.steps(serve()), wire.steps(ask()))


async def handed_over(wire: Wire) -> None:
    """Sockets that the program made: create_connection(sock=...) and connect_accepted_socket."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    first = Peer(wire, SIZE, 3)
    second = Peer(wire, SIZE)
    try:
        one, _ = await loop.create_connection(lambda: first, sock=ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    try:
        try:
            other, _ = await loop.connect_accepted_socket(lambda: second, theirs)
        except BaseException:
            theirs.close()
            raise
        try:
            one.get_extra_info("socket").getsockname()
            if error := await wire.steps(_wait(first.all)):
                raise error
        finally:
            other.close()
            await second.done
    finally:
        one.close()
        await first.done
        with contextlib.suppress(OSError):
            theirs.close()


async def _wait(future):
    return await future
