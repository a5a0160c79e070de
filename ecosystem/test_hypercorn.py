"""hypercorn over TLS with HTTP/2 and HTTP/1.1, asked by httpx; a websocket over HTTP/1.1."""

import asyncio
import contextlib

import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from servers import free_port


@contextlib.asynccontextmanager
async def serving(app, folder, certificates):
    key, chain, _ = certificates.write(folder)
    port = free_port()
    config = Config.from_mapping(
        bind=[f"127.0.0.1:{port}"], keyfile=key, certfile=chain, accesslog=None, errorlog=None, keep_alive_timeout=600
    )
    stop, started = asyncio.Event(), asyncio.Event()

    async def and_lifespan(scope, receive, send):
        if scope["type"] != "lifespan":
            return await app(scope, receive, send)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        started.set()
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})

    running = asyncio.create_task(serve(and_lifespan, config, shutdown_trigger=stop.wait))
    await started.wait()
    try:
        yield f"https://localhost:{port}"
    finally:
        stop.set()
        await running


async def connected(client, url):
    """hypercorn tells of its start before it listens."""
    while True:
        try:
            return await client.get(url)
        except httpx.ConnectError:
            await asyncio.sleep(0.01)


async def echo(scope, receive, send):
    length, more = 0, True
    while more:
        event = await receive()
        length, more = length + len(event.get("body", b"")), event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"version", scope["http_version"].encode())]})
    for _ in range(4):
        await send({"type": "http.response.body", "body": b"%d;" % length, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_hundred_requests_at_once(compare, certificates, tmp_path, version):
    async def body():
        async with serving(echo, tmp_path, certificates) as url:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(
                verify=certificates.client(), http2=version == "2", limits=limits, timeout=60
            ) as client:
                await connected(client, url)
                answers = await asyncio.gather(*(client.post(url, content=b"x" * (n * 1009)) for n in range(100)))
                return [(answer.headers["version"], answer.text) for answer in answers]

    assert compare(body) == [(version, f"{n * 1009};" * 4) for n in range(100)]


def test_streams_share_a_connection_and_end_with_it(compare, certificates, tmp_path):
    async def body():
        gone = asyncio.Queue()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["path"].encode(), "more_body": True})
            if scope["path"] == "/endless":
                while (event := await receive())["type"] != "http.disconnect":
                    pass
                gone.put_nowait(event["type"])
            await send({"type": "http.response.body", "body": b" done"})

        async with serving(app, tmp_path, certificates) as url:
            async with httpx.AsyncClient(verify=certificates.client(), http2=True, timeout=60) as client:
                await connected(client, url)
                async with client.stream("GET", f"{url}/endless") as answer:
                    first = await anext(answer.aiter_raw())
                    beside = [(await client.get(f"{url}/{number}")).text for number in range(20)]
                    waiting = gone.empty()
            left = await gone.get()
        return first, beside, waiting, left

    assert compare(body) == (b"/endless", [f"/{number} done" for number in range(20)], True, "http.disconnect")


def test_a_websocket_beside_requests(compare, certificates, tmp_path):
    import websockets

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await echo(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"][::-1]})

    async def body():
        async with serving(app, tmp_path, certificates) as url:
            async with httpx.AsyncClient(verify=certificates.client()) as client:
                await connected(client, url)
            where = url.replace("https", "wss")

            async def one(number):
                async with websockets.connect(where, ssl=certificates.client()) as socket:
                    for _ in range(10):
                        await socket.send(f"{number} eels " * 100)
                        found = await socket.recv()
                    return found[:6]

            return await asyncio.gather(*(one(number) for number in range(10, 40)))

    assert compare(body) == [" slee "] * 30
