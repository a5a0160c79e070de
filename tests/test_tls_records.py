"""TLS: what the program writes arrives, however it is cut into records, and back-pressure is asyncio's."""

import _ssl
import asyncio
import contextlib
import shutil
import socket
import ssl

import pytest

import rondeau
from protocols import Echo, Recorder, connect, served
from tls_peers import HandMade, contexts

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(params=["straight", "methods"])
def through_methods(request):
    """Records go straight to OpenSSL, or through the methods of a program's own SSLObject class."""
    return request.param == "methods"


@contextlib.asynccontextmanager
async def pair(kind=Echo, client=Recorder, through_methods=False, version=None, **options):
    ours, theirs = contexts(through_methods, version)
    async with served(kind, ssl=ours, **options) as (address, made):
        transport, protocol = await connect(address, client, ssl=theirs, server_hostname="localhost")
        try:
            while not hasattr(made[0], "transport"):  # TLS 1.3: the client is done before the server.
                await asyncio.sleep(0)
            yield transport, protocol, made
        except BaseException:
            transport.abort()
            raise
        transport.close()
        await protocol.gone


@contextlib.asynccontextmanager
async def by_hand(kind=Echo, through_methods=False, version=None):
    """A server on the loop, and a client whose records the test sends itself."""
    ours, _ = contexts(through_methods, version)
    _, theirs = contexts(version=version)
    loop = asyncio.get_running_loop()
    async with served(kind, ssl=ours) as (address, made):
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            yield HandMade(sock, theirs), made


def pattern(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 16_384, 16_385, 100_000, 1_048_576])
def test_every_byte_comes_back(run, through_methods, version, size):
    async def main():
        async with pair(through_methods=through_methods, version=VERSIONS[version]) as (transport, protocol, _):
            transport.write(pattern(size))
            await protocol.until(size)
            assert protocol.received == pattern(size)

    run(main())


@pytest.mark.skipif(not hasattr(_ssl, "__file__"), reason="OpenSSL is part of this Python: records go through its methods")
def test_records_go_straight_to_openssl(through_methods):
    async def main():
        async with pair(through_methods=through_methods) as (transport, _, made):
            return [side._ssl_protocol._straight for side in (transport, made[0].transport)]

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        assert runner.run(main()) == [not through_methods] * 2


def test_messages_are_still_told_of(run):
    """Where a program listens to the messages of its sessions, `ssl` reads the records and raises what the listener raises."""

    async def main():
        ours, theirs = contexts()
        heard = []
        theirs._msg_callback = lambda *message: heard.append(message[3])
        async with served(ssl=ours) as (address, _):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            before = len(heard)
            transport.write(b"hello")
            await protocol.until(5)
            assert len(heard) > before
            transport.close()
            await protocol.gone

    run(main())


def test_many_writes_of_all_kinds_keep_their_order(run, through_methods):
    async def main():
        async with pair(through_methods=through_methods) as (transport, protocol, _):
            wanted = b""
            for number in range(400):
                piece = bytes([number % 256]) * (number % 97)
                wanted += piece * 3 + piece + piece
                transport.write(piece)
                transport.write(bytearray(piece))
                transport.write(memoryview(piece))
                transport.writelines([piece, bytearray(piece)] if number % 2 else (memoryview(piece), piece))
            large = pattern(40_000)
            transport.writelines([b"head", large, b"", memoryview(large)[::1], b"tail"])
            transport.writelines(iter([b"one", b"two"]))
            wanted += b"head" + large + large + b"tail" + b"onetwo"
            await protocol.until(len(wanted))
            assert protocol.received == wanted

    run(main())


def test_a_bytearray_may_change_after_the_write(run, through_methods):
    async def main():
        async with pair(through_methods=through_methods) as (transport, protocol, _):
            data = bytearray(b"before")
            transport.write(data)
            data[:] = b"after!"
            await protocol.until(6)
            assert protocol.received == b"before"

    run(main())


def test_what_cannot_be_written(compare):
    async def body(note):
        async with pair() as (transport, protocol, _):
            for data in ("text", 1, None, [b"list"]):
                try:
                    transport.write(data)
                except TypeError as error:
                    note(error)
            for items in (None, 7):
                try:
                    transport.writelines(items)
                except TypeError as error:
                    note(error)
            note(transport.get_write_buffer_size())
            transport.write(b"")
            transport.write(memoryview(b""))
            transport.writelines([])
            try:
                transport.write_eof()
            except NotImplementedError as error:
                note(error, transport.can_write_eof())
            transport.write(b"still here")
            await protocol.until(10)
            note(bytes(protocol.received))

    compare(body)


@pytest.mark.parametrize("items", [[memoryview(bytes(100))[::2]], ["text"], [b"first", 1]], ids=["gaps", "text", "number"])
def test_what_ssl_cannot_take_ends_the_connection(compare, logged, items):
    async def body(note):
        ours, theirs = contexts()
        async with served(ssl=ours) as (address, _):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            try:
                transport.writelines(items)
                transport.write(b"more")
            except TypeError as error:
                note(error)
                transport.write(b"more")
            note(type(await protocol.gone).__name__, protocol.events)

    compare(body)
    assert "Fatal error on SSL protocol" in logged[0]


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("version", VERSIONS)
def test_records_that_come_in_pieces(run, through_methods, version, piece):
    async def main():
        async with by_hand(through_methods=through_methods, version=VERSIONS[version]) as (peer, made):
            await peer.step(peer.session.do_handshake, piece=piece)
            for size in (1, 100, 3000):
                peer.session.write(pattern(size))
                await peer.send(piece)
                assert await peer.read(size) == pattern(size)
            assert bytes(made[0].received) == pattern(1) + pattern(100) + pattern(3000)

    run(main())


def test_many_records_in_one_segment(run, through_methods):
    async def main():
        async with by_hand(through_methods=through_methods) as (peer, _):
            await peer.step(peer.session.do_handshake)
            for number in range(200):
                peer.session.write(bytes([number]) * 50)
            await peer.send()
            assert await peer.read(200 * 50) == b"".join(bytes([number]) * 50 for number in range(200))

    run(main())


def test_data_right_behind_the_handshake(run, through_methods):
    async def main():
        async with by_hand(through_methods=through_methods) as (peer, _):
            while True:
                try:
                    peer.session.do_handshake()
                except ssl.SSLWantReadError:
                    await peer.send()
                    await peer.receive()
                else:
                    break
            peer.session.write(b"in the same segment as Finished")
            await peer.send()
            assert await peer.read(31) == b"in the same segment as Finished"

    run(main())


def test_data_and_the_end_in_one_segment(compare, through_methods):
    async def body(note):
        async with by_hand(Recorder, through_methods=through_methods) as (peer, made):
            await peer.step(peer.session.do_handshake)
            peer.session.write(b"last words")
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.session.unwrap()
            await peer.send()
            note(await made[0].gone)
            note(bytes(made[0].received), made[0].events)

    compare(body)


class Buffered(asyncio.BufferedProtocol):
    """Takes so many bytes at a time, and echoes them."""

    room = 100

    def __init__(self):
        self.gone = asyncio.get_running_loop().create_future()
        self.buffer = bytearray(self.room)
        self.hints = []

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, hint):
        self.hints.append(hint)
        return memoryview(self.buffer)

    def buffer_updated(self, count):
        assert 0 < count <= self.room
        self.transport.write(bytes(self.buffer[:count]))

    def connection_lost(self, error):
        self.gone.set_result(error)


@pytest.mark.parametrize("room", [1, 100, 16_384, 1_000_000])
@pytest.mark.parametrize("size", [1, 5_000, 70_000])
def test_buffered_protocols(run, through_methods, room, size):
    if room == 1 and size > 5_000:
        pytest.skip("a turn of the loop for each of 70,000 bytes")

    class Sized(Buffered):
        pass

    Sized.room = room

    async def main():
        async with pair(Sized, through_methods=through_methods) as (transport, protocol, made):
            transport.write(pattern(size))
            await protocol.until(size)
            assert protocol.received == pattern(size)
            assert all(hint >= 0 for hint in made[0].hints)

    run(main())


def test_a_buffer_asked_for_while_another_socket_is_read(run):
    """`get_buffer` reads from a socket of its own, by a coroutine stepped by hand: the records under way stay as they are."""
    one, two = socket.socketpair()
    one.setblocking(False)
    two.setblocking(False)

    class Reads(Buffered):
        def get_buffer(self, hint):
            one.send(b"\0" * 1000)
            coroutine = asyncio.get_running_loop().sock_recv(two, 1000)
            with pytest.raises(StopIteration) as stopped:
                coroutine.send(None)
            assert len(stopped.value.value) == 1000
            return super().get_buffer(hint)

    async def main():
        async with pair(Reads) as (transport, protocol, _):
            transport.write(pattern(5000))
            await protocol.until(5000)
            assert protocol.received == pattern(5000)

    with one, two:
        run(main())


def test_a_buffer_that_cannot_be_written(compare, logged, through_methods):
    class ReadOnly(Buffered):
        def get_buffer(self, hint):
            return b"bytes"

    async def body(note):
        ours, theirs = contexts(through_methods)
        async with served(ReadOnly, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            transport.write(b"data")
            note(type(await made[0].gone).__name__)
            transport.close()
            await protocol.gone

    compare(body)
    assert "Fatal error on SSL protocol" in logged[0]


class Slow(Recorder):
    """Does not read until it is told."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()


def test_pause_and_resume_at_the_exact_marks(run, through_methods):
    async def main():
        async with pair(Slow, through_methods=through_methods) as (transport, protocol, made):
            transport.set_write_buffer_limits(high=100_000, low=10_000)
            assert transport.get_write_buffer_limits() == (10_000, 100_000)
            size = 0
            while "pause" not in protocol.events:
                assert transport.get_write_buffer_size() < 100_000
                transport.write(pattern(30_000))
                size += 30_000
                await asyncio.sleep(0)
            assert transport.get_write_buffer_size() >= 100_000
            made[0].transport.resume_reading()
            await made[0].until(size)
            while "resume" not in protocol.events:
                await asyncio.sleep(0)
            assert protocol.events == ["made", "pause", "resume"]
            assert transport.get_write_buffer_size() <= 10_000

    run(main())


def test_tiny_marks_and_a_megabyte_each_way(run, through_methods):
    class Careful(Recorder):
        """Writes a piece whenever it may."""

        def __init__(self):
            super().__init__()
            self.left = pattern(1_048_576)
            self.may = True

        def connection_made(self, transport):
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=1)
            transport.set_read_buffer_limits(high=1)
            self.go()

        def go(self):
            while self.left and self.may:
                self.transport.write(self.left[:3001])
                self.left = self.left[3001:]

        def pause_writing(self):
            assert self.may
            self.may = False

        def resume_writing(self):
            assert not self.may
            self.may = True
            asyncio.get_running_loop().call_soon(self.go)

    async def main():
        async with pair(Careful, Careful, through_methods=through_methods) as (_, protocol, made):
            await protocol.until(1_048_576)
            await made[0].until(1_048_576)
            assert protocol.received == made[0].received == pattern(1_048_576)

    run(main())


def test_reading_paused_holds_the_peer_back(run, through_methods):
    async def main():
        async with pair(Slow, through_methods=through_methods) as (transport, protocol, made):
            assert not made[0].transport.is_reading()
            size = 0
            while "pause" not in protocol.events:
                transport.write(pattern(65_536))
                size += 65_536
                await asyncio.sleep(0)
            assert not made[0].received
            # As much is kept as the mark says, and what one read brings on top.
            assert made[0].transport.get_read_buffer_size() < 2 * 262_144
            made[0].transport.resume_reading()
            assert made[0].transport.is_reading()
            await made[0].until(size)
            assert bytes(made[0].received) == pattern(65_536) * (size // 65_536)

    run(main())


def test_pausing_inside_data_received(run, through_methods):
    class Gulps(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main():
        async with pair(Gulps, through_methods=through_methods) as (transport, _, made):
            for _ in range(30):
                transport.write(pattern(20_000))
                await asyncio.sleep(0)
            await made[0].until(600_000)
            assert bytes(made[0].received) == pattern(20_000) * 30

    run(main())


def test_marks_of_both_buffers(compare):
    async def body(note):
        async with pair() as (transport, protocol, _):
            for name in ("write", "read"):
                get = getattr(transport, f"get_{name}_buffer_limits")
                change = getattr(transport, f"set_{name}_buffer_limits")
                note(name, get(), getattr(transport, f"get_{name}_buffer_size")())
                for options in ({"high": 5}, {"low": 7}, {"high": 10, "low": 10}, {"high": 2**70}, {"high": 1.5}, {}):
                    change(**options)
                    note(get(), list(protocol.events))
                for options in ({"high": 1, "low": 2}, {"low": -1}, {"high": "x"}):
                    try:
                        change(**options)
                    except (ValueError, TypeError) as error:
                        note(error)
                note(get())

    compare(body)


@pytest.mark.skipif(not shutil.which("openssl"), reason="asks the command line tool of OpenSSL for new keys")
def test_keys_that_change_under_way(run, through_methods):
    async def main():
        ours, _ = contexts(through_methods, ssl.TLSVersion.TLSv1_3)
        async with served(ssl=ours) as (address, made):
            client = await asyncio.create_subprocess_exec(
                "openssl",
                "s_client",
                *("-connect", f"{address[0]}:{address[1]}"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert client.stdin is not None
            assert client.stdout is not None
            assert client.stderr is not None
            # A line that begins with K asks for new keys on both sides, one with k for new ones of its own.
            for word, command in ((b"first", b"K"), (b"second", b"k"), (b"third", b"K")):
                client.stdin.write(word + b"\n")
                while (await client.stdout.readline()).strip() != word:
                    pass
                client.stdin.write(command + b"\n")
                while not (await client.stderr.readline()).startswith(b"KEYUPDATE"):
                    pass
            client.stdin.write(b"last\n")
            while (await client.stdout.readline()).strip() != b"last":
                pass
            client.stdin.write(b"Q\n")
            await client.communicate()
            await made[0].gone
            assert made[0].received == b"first\nsecond\nthird\nlast\n"

    run(main())
