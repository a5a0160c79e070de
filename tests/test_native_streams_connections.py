"""Native streams over what carries them: TCP, Unix sockets, TLS, pipes, transports that are not ours; drain, and the end."""

import asyncio
import contextlib
import gc
import inspect
import logging
import os
import ssl
import sys
import warnings
import weakref
from functools import partial
from pathlib import Path

import pytest

CERTIFICATE = Path(__file__).with_name("localhost.pem")


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error


@contextlib.asynccontextmanager
async def serving(aio, handle, *where, unix=False, **options):
    """A server whose every handler has ended when the block ends."""
    handlers = []

    async def kept(reader, writer):
        handlers.append(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError):
                await handle(reader, writer)
        finally:
            writer.close()
            await outcome(writer.wait_closed())

    start = aio.start_unix_server if unix else aio.start_server
    server = await start(kept, *(where or ("127.0.0.1", 0)), **options)
    yield server.sockets[0].getsockname()
    await asyncio.gather(*handlers, return_exceptions=True)
    server.close()
    await server.wait_closed()


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with contextlib.suppress(OSError):  # The peer is gone already.
            writer.write_eof()


async def talk(note, reader, writer, half_close=True):
    writer.write(b"soup\n")
    writer.writelines([b"ro", bytearray(b"ast\n"), memoryview(b"salad\n")])
    await writer.drain()
    note(await reader.readline(), await reader.readuntil(b"st\n"), await reader.readexactly(3), await reader.read(2))
    writer.write(b"x" * 300_000 + b"\n")
    note(await reader.readline(), len(await asyncio.gather(reader.readexactly(300_000), writer.drain())))
    if half_close:
        writer.write_eof()
        note(await reader.read(), reader.at_eof(), await reader.read(1))
    note(
        writer.is_closing(),
        writer.can_write_eof(),
        writer.transport is writer._transport,
        reader._transport is writer.transport,
    )
    writer.close()
    note(writer.is_closing(), await outcome(writer.wait_closed()))


def test_tcp(compare_native):
    async def body(note, aio):
        async with serving(aio, echo) as address:
            reader, writer = await aio.open_connection(*address)
            note(
                type(reader).__name__, isinstance(writer, asyncio.StreamWriter), isinstance(writer._protocol, asyncio.Protocol)
            )
            note(
                writer.get_extra_info("peername") == address,
                writer.get_extra_info("nothing"),
                writer.get_extra_info("nothing", default=3),
            )
            await talk(note, reader, writer)

    compare_native(body)


def test_unix(compare_native, tmp_path):
    async def body(note, aio):
        path = str(tmp_path / "socket")
        async with serving(aio, echo, path, unix=True):
            await talk(note, *await aio.open_unix_connection(path))
        Path(path).unlink(missing_ok=True)

    compare_native(body)


def test_tls(compare_native):
    async def body(note, aio):
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=CERTIFICATE)
        server.load_cert_chain(CERTIFICATE)
        async with serving(aio, echo, ssl=server) as address:
            reader, writer = await aio.open_connection(*address, ssl=client, server_hostname="localhost")
            note(writer._protocol._over_ssl, writer.get_extra_info("cipher") is not None)
            await talk(note, reader, writer, half_close=False)

    compare_native(body)


def test_start_tls(compare_native):
    async def body(note, aio):
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=CERTIFICATE)
        server.load_cert_chain(CERTIFICATE)

        async def handle(reader, writer):
            note(await reader.readline())
            writer.write(b"go on\n")
            await writer.start_tls(server)
            note(writer._protocol._over_ssl)
            await echo(reader, writer)

        async with serving(aio, handle) as address:
            reader, writer = await aio.open_connection(*address)
            writer.write(b"STARTTLS\n")
            note(await reader.readline())
            await writer.start_tls(client, server_hostname="localhost")
            await talk(note, reader, writer, half_close=False)

    compare_native(body)


def test_a_subprocess_and_its_pipes(compare_native):
    async def body(note, aio):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read().upper())", stdin=-1, stdout=-1
        )
        note(await process.communicate(b"soup\n" * 1000))

    compare_native(body)


def test_pipes(compare_native):
    async def body(note, aio):
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        reader = aio.StreamReader()
        protocol = aio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(read_end, "rb", 0))
        os.write(write_end, b"through a pipe\nrest")
        note(await reader.readline())
        os.close(write_end)
        note(await reader.read())
        transport.close()
        await protocol._get_close_waiter(None)

    compare_native(body)


class Transport(asyncio.Transport):
    """A double that writes down what it is told."""

    def __init__(self, note):
        super().__init__()
        self.note = note
        self.closing = False

    def write(self, data):
        self.note("write", data)

    def is_closing(self):
        return self.closing

    def close(self):
        self.note("close")
        self.closing = True

    def __repr__(self):
        return "<Transport>"


def streams(aio, transport):
    reader = aio.StreamReader()
    protocol = aio.StreamReaderProtocol(reader)
    writer = aio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    protocol.connection_made(transport)
    return reader, protocol, writer


def test_drain_waits_while_the_protocol_is_paused(compare_native):
    async def body(note, aio):
        transport = Transport(note)
        _reader, protocol, writer = streams(aio, transport)
        await writer.drain()
        protocol.pause_writing()
        note(protocol._paused, len(protocol._drain_waiters))
        drains = [asyncio.create_task(outcome(writer.drain())) for _ in range(3)]
        await asyncio.sleep(0)
        note(len(protocol._drain_waiters), [drain.done() for drain in drains])
        drains[1].cancel()
        note(await drains[1], len(protocol._drain_waiters))
        protocol.resume_writing()
        note(await drains[0], await drains[2], len(protocol._drain_waiters), protocol._paused)
        for wrong in (protocol.resume_writing, lambda: (protocol.pause_writing(), protocol.pause_writing())):
            try:
                wrong()
            except AssertionError as error:
                note(error)
        transport.closing = True

    compare_native(body)


@pytest.mark.parametrize("make_error", [lambda: None, lambda: ConnectionResetError("by the peer")])
def test_the_connection_is_lost(compare_native, make_error):
    async def body(note, aio):
        error = make_error()
        transport = Transport(note)
        reader, protocol, writer = streams(aio, transport)
        protocol.pause_writing()
        read = asyncio.create_task(outcome(reader.read(1)))
        drain = asyncio.create_task(outcome(writer.drain()))
        closed = asyncio.create_task(outcome(writer.wait_closed()))
        await asyncio.sleep(0)
        transport.closing = True
        protocol.connection_lost(error)
        note(await read, await drain, await closed, reader.at_eof(), reader.exception())
        note(protocol._stream_reader, protocol._transport, protocol._connection_lost, protocol._task)
        note(await outcome(writer.drain()), await outcome(writer.wait_closed()), protocol._closed.done())
        protocol.data_received(b"late")
        note(protocol.eof_received())

    compare_native(body)


def test_lost_before_anyone_asked(compare_native):
    async def body(note, aio):
        for error in (None, OSError("unseen")):
            transport = Transport(note)
            reader, protocol, writer = streams(aio, transport)
            transport.closing = True
            protocol.connection_lost(error)
            if error is None:
                note(await outcome(writer.wait_closed()))
            del reader, protocol, writer
            gc.collect()

    compare_native(body)


def test_drain_gives_way_once_when_closing(compare_native):
    async def body(note, aio):
        transport = Transport(note)
        _, protocol, writer = streams(aio, transport)
        transport.closing = True
        drain = writer.drain()
        note(drain.send(None))
        with pytest.raises(StopIteration):
            drain.send(None)
        asyncio.get_running_loop().call_soon(protocol.connection_lost, None)
        note(await outcome(writer.drain()))

    assert compare_native(body)[0] is None


def test_drain_raises_the_readers_exception(compare_native):
    async def body(note, aio):
        transport = Transport(note)
        reader, _, writer = streams(aio, transport)
        reader.set_exception(ValueError("reader"))
        note(await outcome(writer.drain()))
        transport.closing = True
        note(await outcome(writer.drain()))

    compare_native(body)


def test_a_writer_of_another_protocol(compare_native):
    async def body(note, aio):
        class Other(asyncio.streams.FlowControlMixin, asyncio.Protocol):
            async def _drain_helper(self):
                note("helper")
                await super()._drain_helper()

            def _get_close_waiter(self, stream):
                note("waiter", stream is writer)
                return asyncio.sleep(0)

        transport = Transport(note)
        protocol = Other(loop=asyncio.get_running_loop())
        writer = aio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())
        note(await writer.drain(), await writer.wait_closed(), repr(writer))
        protocol.pause_writing()
        drain = asyncio.create_task(writer.drain())
        await asyncio.sleep(0)
        protocol.resume_writing()
        note(await drain)
        protocol.pause_writing()
        drain = asyncio.create_task(outcome(writer.drain()))
        await asyncio.sleep(0)
        drain.cancel()
        note(await drain)
        transport.closing = True
        try:
            aio.StreamWriter(transport, protocol, object(), None)
        except AssertionError as error:
            note(error)

    compare_native(body)


def test_subclasses_of_the_protocol(compare_native):
    async def body(note, aio):
        class Counting(aio.StreamReaderProtocol):
            def data_received(self, data):
                note("data", data)
                super().data_received(data)

            def eof_received(self):
                note("eof")
                return super().eof_received()

            def connection_lost(self, error):
                note("lost", error)
                super().connection_lost(error)

            async def _drain_helper(self):
                note("drain")
                await super()._drain_helper()

        async with serving(aio, echo) as address:
            loop = asyncio.get_running_loop()
            reader = aio.StreamReader()
            transport, protocol = await loop.create_connection(lambda: Counting(reader), *address)
            writer = aio.StreamWriter(transport, protocol, reader, loop)
            writer.write(b"soup\n")
            await writer.drain()
            note(await reader.readline())
            writer.write_eof()
            note(await reader.read())
            writer.close()
            await writer.wait_closed()

    compare_native(body)


def test_methods_replaced_on_one_object(compare_native):
    async def body(note, aio):
        async with serving(aio, echo) as address:
            reader, writer = await aio.open_connection(*address)
            feed = reader.feed_data
            reader.feed_data = lambda data: (note("feed", data), feed(data))
            writer.write(b"one\n")
            note(await reader.readline())
            receive = writer._protocol.data_received
            writer._protocol.data_received = lambda data: (note("receive", data), receive(data))
            writer.write(b"two\n")
            note(await reader.readline())
            writer.close()
            await writer.wait_closed()
            vars(reader).clear()
            vars(writer._protocol).clear()

    compare_native(body)


@pytest.mark.skipif(
    "def callback" not in inspect.getsource(asyncio.StreamReaderProtocol),
    reason="this release of 3.11 leaves the connection open",
)
def test_a_handler_that_fails(compare_native, logged):
    async def body(note, aio):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: note(context["message"], context.get("exception"), sorted(context)))

        async def fails(reader, writer):
            await reader.read(1)
            raise ValueError("soup is cold")

        for handle in (fails, lambda reader, writer: None):
            server = await aio.start_server(handle, "127.0.0.1", 0)
            reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            if handle is fails:
                note(await reader.read())
            writer.close()
            await writer.wait_closed()
            server.close()
            if handle is fails:
                await server.wait_closed()
            await asyncio.sleep(0.01)
            gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        compare_native(body)


def test_a_writer_that_is_dropped_warns_and_closes(compare_native):
    async def body(note, aio):
        if not hasattr(asyncio.StreamWriter, "__del__"):
            return
        transport = Transport(note)
        _reader, _protocol, writer = streams(aio, transport)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gone = weakref.ref(writer)
            del writer
            gc.collect()
        note(gone() is None, [(str(each.message), each.category.__name__) for each in caught], transport.closing)

    compare_native(body)


def test_debug_mode_logs_back_pressure(compare_native, logged):
    async def body(note, aio):
        logger = logging.getLogger("asyncio")
        logger.setLevel(logging.DEBUG)
        transport = Transport(note)
        _, protocol, _writer = streams(aio, transport)
        protocol.pause_writing()
        protocol.resume_writing()
        transport.closing = True
        logger.setLevel(logging.WARNING)

    compare_native(body, debug=True)
    assert sum("pauses writing" in line for line in logged) == sum("resumes writing" in line for line in logged) == 4


def test_private_attributes_of_protocol_and_writer(compare_native):
    async def body(note, aio):
        transport = Transport(note)
        reader, protocol, writer = streams(aio, transport)
        note(protocol._stream_reader is reader, protocol._stream_reader_wr() is reader, protocol._client_connected_cb)
        note(protocol._reject_connection, protocol._over_ssl, protocol._transport is transport, protocol._task)
        note(
            writer._complete_fut.done(), writer._reader is reader, writer._protocol is protocol, writer._loop is protocol._loop
        )
        note(type(protocol._drain_waiters).__name__, protocol._closed.done(), repr(writer))
        other = Transport(note)
        writer._transport = other
        writer.write(b"other")
        note(writer.transport is other)
        protocol._stream_reader_wr = None
        protocol.data_received(b"nobody")
        protocol._stream_reader_wr = lambda: reader
        protocol.data_received(b"somebody")
        note(await reader.read(10))
        transport.closing = other.closing = True

    compare_native(body)


def test_data_for_a_reader_that_is_gone_is_dropped(compare_native):
    async def body(note, aio):
        loop = asyncio.get_running_loop()
        async with serving(aio, echo) as address:
            reader = aio.StreamReader()
            transport, protocol = await loop.create_connection(partial(aio.StreamReaderProtocol, reader), *address)
            gone = weakref.ref(reader)
            writer = aio.StreamWriter(transport, protocol, None, loop)
            del reader
            gc.collect()
            note(gone() is None, protocol._stream_reader)
            writer.write(b"x")
            writer.write_eof()
            writer.close()
            await writer.wait_closed()

    compare_native(body)


def test_a_connection_leaves_no_cycle(compare_native):
    async def body(note, aio):
        async with serving(aio, echo) as address:
            reader, writer = await aio.open_connection(*address)
            await talk(lambda *what: None, reader, writer)
            gone = [weakref.ref(thing) for thing in (reader, writer, writer._protocol)]
            del reader, writer
            note([each() is None for each in gone])

    compare_native(body)
