"""aiohttp's server and client, each against the other on one loop: plain, TLS, websocket, a TLS proxy."""

import asyncio
import contextlib
import hashlib

import aiohttp
import pytest
from aiohttp import web

MANY = 200


@contextlib.asynccontextmanager
async def serving(*routes, tls=None, **options):
    app = web.Application(client_max_size=8 << 20)
    app.add_routes(routes)
    runner = web.AppRunner(app, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls and tls.server())
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def client(tls=None, **options):
    connector = aiohttp.TCPConnector(ssl=tls.client() if tls else True, limit=64)
    async with aiohttp.ClientSession(connector=connector, **options) as session:
        yield session


@pytest.fixture(params=["plain", "tls"])
def tls(request, certificates):
    return certificates if request.param == "tls" else None


def test_two_hundred_requests_with_bodies_at_once(compare, tls):
    async def echo(request):
        body = await request.json()
        return web.json_response({"number": body["number"], "sha": hashlib.sha256(body["text"].encode()).hexdigest()})

    async def body():
        async with serving(web.post("/echo", echo), tls=tls) as url, client(tls) as session:

            async def one(number):
                text = chr(65 + number % 26) * (number * 331)
                async with session.post(f"{url}/echo", json={"number": number, "text": text}) as answer:
                    found = await answer.json()
                    return answer.status, found["number"], found["sha"] == hashlib.sha256(text.encode()).hexdigest()

            return await asyncio.gather(*(one(number) for number in range(MANY)))

    assert compare(body) == [(200, number, True) for number in range(MANY)]


def test_bodies_stream_both_ways_at_once(compare, tls):
    pieces, size = 64, 96 * 1024

    async def turn(request):
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        async for piece in request.content.iter_chunked(64 * 1024):
            await answer.write(piece[::-1])
        await answer.write_eof()
        return answer

    async def body():
        async with serving(web.post("/turn", turn), tls=tls) as url, client(tls) as session:

            async def one(letter):
                async def upload():
                    for _ in range(pieces):
                        yield letter * size

                total, seen = 0, set()
                async with session.post(f"{url}/turn", data=upload()) as answer:
                    async for piece in answer.content.iter_any():
                        total += len(piece)
                        seen.update(piece)
                return total, sorted(seen)

            return await asyncio.gather(*(one(bytes([letter])) for letter in range(8)))

    assert compare(body) == [(pieces * size, [letter]) for letter in range(8)]


def test_a_client_that_gives_up_cancels_its_handler(compare, tls):
    async def body():
        log = []
        cancelled = asyncio.Queue()

        async def wait(request):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.put_nowait(request.query["by"])
                raise

        async with serving(web.get("/wait", wait), tls=tls, handler_cancellation=True) as url, client(tls) as session:
            with pytest.raises(asyncio.TimeoutError) as raised:
                async with session.get(f"{url}/wait?by=timeout", timeout=aiohttp.ClientTimeout(total=0.2)):
                    pass
            log.append(type(raised.value).__name__)
            log.append(await cancelled.get())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await session.get(f"{url}/wait?by=cancel")
            log.append(await cancelled.get())
        return log

    assert compare(body) in (["ServerTimeoutError", "timeout", "cancel"], ["TimeoutError", "timeout", "cancel"])


def test_a_connection_that_breaks_is_an_error_and_not_a_short_answer(compare, tls):
    async def body():
        seen = asyncio.Event()

        async def broken(request):
            answer = web.StreamResponse(headers={"Content-Length": "1000"})
            await answer.prepare(request)
            await answer.write(b"x" * 10)
            await seen.wait()
            request.transport.abort()
            return answer

        async with serving(web.get("/", broken), tls=tls) as url, client(tls) as session:
            async with session.get(url) as answer:
                first = await answer.content.readany()
                seen.set()
                with pytest.raises(aiohttp.ClientError) as raised:
                    await answer.read()
            return first, type(raised.value).__name__

    assert compare(body) == (b"x" * 10, "ClientPayloadError")


def test_a_file_is_sent_and_a_form_is_uploaded(compare, tls, tmp_path):
    path = tmp_path / "big"
    path.write_bytes(bytes(range(256)) * 8192)

    async def form(request):
        fields = await request.post()
        return web.json_response({"name": fields["name"], "length": len(fields["file"].file.read())})

    async def file(request):
        return web.FileResponse(path)

    async def body():
        async with serving(web.get("/file", file), web.post("/form", form), tls=tls) as url, client(tls) as session:
            async with session.get(f"{url}/file", headers={"Range": "bytes=10-1000009"}) as answer:
                part = answer.status, await answer.read() == path.read_bytes()[10:1000010]
            with path.open("rb") as opened:
                async with session.post(f"{url}/form", data={"name": "pot", "file": opened}) as answer:
                    return part, await answer.json()

    assert compare(body) == ((206, True), {"name": "pot", "length": 256 * 8192})


def test_fifty_websockets(compare, tls):
    async def talk(request):
        socket = web.WebSocketResponse(heartbeat=30)
        await socket.prepare(request)
        async for message in socket:
            if message.data == "end":
                await socket.close(code=4001, message=b"as you wish")
            elif message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
            else:
                await socket.send_bytes(message.data[::-1])
        return socket

    async def body():
        async with serving(web.get("/talk", talk), tls=tls) as url, client(tls) as session:

            async def one(number):
                async with session.ws_connect(f"{url}/talk", compress=15 if number % 2 else 0) as socket:
                    seen = []
                    for turn in range(10):
                        await socket.send_str(f"soup {number} {turn}")
                        await socket.send_bytes(bytes([number, turn]) * 20_000)
                        seen.append(await socket.receive_str())
                        seen.append((await socket.receive_bytes())[:2] == bytes([turn, number]))
                    await socket.send_str("end")
                    last = await socket.receive()
                    return seen[-2:], last.type.name, socket.close_code

            return await asyncio.gather(*(one(number) for number in range(50)))

    assert compare(body) == [([f"SOUP {number} 9", True], "CLOSE", 4001) for number in range(50)]


def test_a_stranger_certificate_is_refused(compare, certificates):
    async def body():
        async with serving(tls=certificates) as url, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError) as raised:
                await session.get(url)
            return str(raised.value.certificate_error).partition("(_ssl")[0]

    assert "CERTIFICATE_VERIFY_FAILED" in compare(body)


def test_tls_through_a_tls_proxy(compare, certificates):
    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def proxy(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        host, _, port = request.split()[1].decode().rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            both.create_task(pump(reader, there[1]))
            both.create_task(pump(there[0], writer))

    async def hello(request):
        return web.Response(body=b"h" * 300_000)

    async def body():
        listener = await asyncio.start_server(proxy, "127.0.0.1", 0, ssl=certificates.server())
        port = listener.sockets[0].getsockname()[1]
        async with serving(web.get("/", hello), tls=certificates) as url:
            async with client(certificates) as session:
                async with session.get(url, proxy=f"https://127.0.0.1:{port}") as answer:
                    result = answer.status, len(await answer.read())
        listener.close()
        await listener.wait_closed()
        return result

    assert compare(body) == (200, 300_000)


def test_shutdown_waits_for_requests_under_way(compare):
    async def body():
        arrived, log = asyncio.Event(), []

        async def slow(request):
            arrived.set()
            await asyncio.sleep(0.2)
            return web.Response(text="late")

        async with client() as session:
            async with serving(web.get("/", slow)) as url:
                answer = asyncio.create_task(session.get(url))
                await arrived.wait()
            async with await answer as found:
                log.append((found.status, await found.text()))
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)
        return log

    assert compare(body) == [(200, "late")]
