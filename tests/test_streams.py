"""asyncio's streams on the loop: reads of every kind, drain, start_server, and the end of a stream."""

import asyncio
import contextlib
import inspect

import pytest


@contextlib.asynccontextmanager
async def serving(handle, **options):
    """A server whose every handler has ended when the block ends (before 3.12, closing it does not wait for them)."""
    handlers = []

    async def kept(reader, writer):
        handlers.append(asyncio.current_task())
        await handle(reader, writer)

    server = await asyncio.start_server(kept, "127.0.0.1", 0, **options)
    yield server.sockets[0].getsockname()[:2]
    await asyncio.gather(*handlers, return_exceptions=True)
    server.close()
    await server.wait_closed()


async def upper(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_lines(run):
    async def main():
        async with serving(upper) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.writelines([b"soup\n", b"roast\nsal", b"ad"])
            writer.write_eof()
            assert [line async for line in reader] == [b"SOUP\n", b"ROAST\n", b"SALAD"]
            assert reader.at_eof()
            writer.close()
            await writer.wait_closed()

    run(main())


def test_reads_of_every_kind(compare):
    async def body(note):
        async def handle(reader, writer):
            writer.write(b"0123456789" * 10 + b"line\nuntil;rest")
            writer.close()
            await writer.wait_closed()

        async with serving(handle) as address:
            reader, writer = await asyncio.open_connection(*address)
            note(await reader.readexactly(95), await reader.readline(), await reader.readuntil(b";"))
            note(await reader.read(2), await reader.read(), await reader.read(), reader.at_eof())
            try:
                await reader.readexactly(1)
            except asyncio.IncompleteReadError as error:
                note(error.partial, error.expected)
            writer.close()
            await writer.wait_closed()

    compare(body)


def test_a_line_over_the_limit(compare):
    async def body(note):
        async def handle(reader, writer):
            try:
                await reader.readline()
            except ValueError as error:
                note(error)
            writer.close()
            await writer.wait_closed()

        async with serving(handle, limit=100) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x" * 1000 + b"\n")
            note(await reader.read())
            writer.close()
            await writer.wait_closed()

    compare(body, debug=False)


@pytest.mark.parametrize("size", [0, 1, 1024, 65_536, 1_048_576])
def test_drain_keeps_memory_bounded(run, size):
    async def main():
        total = bytearray()
        done = asyncio.Event()

        async def handle(reader, writer):
            while chunk := await reader.read(65_536):
                total.extend(chunk)
            writer.close()
            await writer.wait_closed()
            done.set()

        async with serving(handle) as address:
            _, writer = await asyncio.open_connection(*address)
            for _ in range(8):
                writer.write(bytes(size))
                await writer.drain()
                assert writer.transport.get_write_buffer_size() <= 64 * 1024
            writer.close()
            await writer.wait_closed()
            await done.wait()
        return len(total)

    assert run(main()) == 8 * size


def test_many_clients(run):
    async def main():

        async def client(number):
            reader, writer = await asyncio.open_connection(*address)
            answers = []
            for turn in range(5):
                writer.write(b"guest %d turn %d\n" % (number, turn))
                answers.append(await reader.readline())
            writer.close()
            await writer.wait_closed()
            return answers == [b"GUEST %d TURN %d\n" % (number, turn) for turn in range(5)]

        async with serving(upper) as address:
            return all(await asyncio.gather(*(client(number) for number in range(60))))

    assert run(main())


@pytest.mark.skipif(
    "def callback" not in inspect.getsource(asyncio.StreamReaderProtocol),
    reason="this release of 3.11 leaves the connection open",
)
def test_a_handler_that_raises(run, logged):
    async def main():
        async def handle(reader, writer):
            raise ValueError("in the handler")

        async with serving(handle) as address:
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())
    assert len(logged) == 1
    assert "Unhandled exception in client_connected_cb" in logged[0]


def test_cancelling_a_read(compare):
    async def body(note):
        async def handle(reader, writer):
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async with serving(handle) as address:
            reader, writer = await asyncio.open_connection(*address)
            try:
                await asyncio.wait_for(reader.readline(), 0.001)
            except TimeoutError:
                note("nothing came")
            writer.write(b"still works\n")
            note(await reader.readline())
            writer.close()
            await writer.wait_closed()

    compare(body)
