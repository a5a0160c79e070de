"""websockets: server and client of the same library, plain, TLS and over a Unix socket."""

import asyncio
import contextlib
import logging

import pytest
from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import broadcast, serve, unix_serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus


def address(server, tls=False):
    return f"ws{'s' if tls else ''}://localhost:{server.sockets[0].getsockname()[1]}"


async def echo(socket):
    async for message in socket:
        await socket.send(message)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_hundred_clients(compare, certificates, tls):
    async def body():
        context = {"ssl": certificates.client()} if tls else {}
        async with serve(echo, "127.0.0.1", 0, ssl=certificates.server() if tls else None) as server:

            async def one(number):
                async with connect(address(server, tls), **context) as socket:
                    right = 0
                    for size in (1, 125, 126, 65_535, 65_536, 200_000):
                        await socket.send(bytes([number % 256]) * size)
                        right += await socket.recv() == bytes([number % 256]) * size
                        await socket.send("ü" * (size // 100))
                        right += await socket.recv() == "ü" * (size // 100)
                    latency = await (await socket.ping())
                    return right, latency >= 0

            return await asyncio.gather(*(one(number) for number in range(100)))

    assert compare(body) == [(12, True)] * 100


def test_one_message_to_many(compare):
    async def body():
        members, all_there = set(), asyncio.Event()

        async def join(socket):
            members.add(socket)
            if len(members) == 80:
                all_there.set()
            await socket.wait_closed()

        async with serve(join, "127.0.0.1", 0) as server:
            async with contextlib.AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(connect(address(server))) for _ in range(80)]
                await all_there.wait()
                for number in range(20):
                    broadcast(members, f"dinner {number}")
                return [[await client.recv() for _ in range(20)][-1] for client in clients]

    assert compare(body) == ["dinner 19"] * 80


def test_fragments_and_a_slow_reader(compare):
    async def body():
        sizes = []

        async def collect(socket):
            await asyncio.sleep(0.1)  # Meanwhile the client meets a full socket.
            async for message in socket:
                sizes.append(len(message))
            sizes.append(socket.close_code)

        async with serve(collect, "127.0.0.1", 0, max_size=None, max_queue=2) as server:
            async with connect(address(server), compression=None) as socket:

                async def pieces():
                    for _ in range(50):
                        yield b"x" * 40_000

                await socket.send(pieces())
                for _ in range(30):
                    await socket.send(b"y" * 100_000)
            await asyncio.wait_for(socket.wait_closed(), 20)
        return sizes

    assert compare(body) == [2_000_000, *[100_000] * 30, 1000]


def test_each_way_to_end(compare, certificates):
    async def body():
        log, gone = [], asyncio.Queue()

        async def handler(socket):
            try:
                command = await socket.recv()
                if command == "close":
                    await socket.close(4002, "enough")
                elif command == "abort":
                    socket.transport.abort()
                elif command == "raise":
                    raise ValueError("burnt")
                await socket.wait_closed()
            except BaseException as error:
                gone.put_nowait(type(error).__name__)
                raise
            gone.put_nowait((command, socket.close_code))

        def only_soup(connection, request):
            return None if request.path == "/soup" else connection.respond(403, "soup only")

        silent = logging.getLogger("ecosystem.websockets")
        silent.disabled = True
        async with serve(handler, "127.0.0.1", 0, process_request=only_soup, logger=silent) as server:
            for command in ("close", "abort", "raise", "leave", "cancel"):
                async with connect(address(server) + "/soup") as socket:
                    await socket.send(command)
                    if command == "leave":
                        await socket.close(1001)
                    elif command == "cancel":
                        reading = asyncio.create_task(socket.recv())
                        await asyncio.sleep(0)
                        reading.cancel()
                        log.append(type((await asyncio.gather(reading, return_exceptions=True))[0]).__name__)
                        socket.transport.abort()
                    try:
                        await socket.recv()
                    except (ConnectionClosedOK, ConnectionClosedError) as error:
                        log.append((command, type(error).__name__, socket.close_code))
                log.append(await gone.get())
            with pytest.raises(InvalidStatus) as refused:
                await connect(address(server) + "/roast")
            log.append(("refused", refused.value.response.status_code))
            with pytest.raises(OSError):  # A plain server: SSLError or a reset, whoever notices first.
                await connect(address(server, tls=True) + "/soup", ssl=certificates.client())
        return log

    found = compare(body)
    assert [entry for entry in found if entry[0] == "close"] == [("close", "ConnectionClosedError", 4002), ("close", 4002)]
    assert "ValueError" in found
    assert found[-1] == ("refused", 403)


def test_shutdown_says_going_away_over_a_unix_socket(compare, tmp_path):
    async def body():
        path = tmp_path / "socket"
        path.unlink(missing_ok=True)
        async with unix_serve(echo, str(path)) as server:
            clients = [await unix_connect(str(path)) for _ in range(10)]
            await clients[0].send("hello")
            first = await clients[0].recv()
            server.close()
            await server.wait_closed()
        codes = []
        for client in clients:
            await client.wait_closed()
            codes.append(client.close_code)
        return first, codes

    assert compare(body) == ("hello", [1001] * 10)


def test_a_handshake_that_never_ends_is_given_up(compare):
    async def body():
        heads = []

        async def mute(reader, writer):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        with pytest.raises(TimeoutError):
            await connect(address(server), open_timeout=0.2)
        server.close()
        await server.wait_closed()
        return [head.split()[0] for head in heads]

    assert compare(body) == [b"GET"]
