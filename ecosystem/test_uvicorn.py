"""uvicorn with Starlette, under h11 and httptools, plain and TLS; asked by httpx and, where bytes matter, by a plain stream."""

import asyncio
import contextlib
import hashlib
import json

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute

MANY = 150


@pytest.fixture(params=["h11", "httptools"])
def parser(request):
    return request.param


@contextlib.asynccontextmanager
async def serving(app, parser, folder=None, certificates=None, **options):
    """uvicorn in this loop; its signal handlers stay out, as for a server inside a program."""
    if certificates:
        key, chain, _ = certificates.write(folder)
        options |= {"ssl_keyfile": key, "ssl_certfile": chain}
    # On a machine that stands still for seconds, an idle connection must not end just when the client asks again.
    options |= {"timeout_keep_alive": 600, "log_config": None, "access_log": False}
    config = uvicorn.Config(app, port=0, http=parser, **options)
    server = uvicorn.Server(config)
    started = asyncio.Event()
    startup = server.startup

    async def and_tell(*arguments, **named):
        await startup(*arguments, **named)
        started.set()

    server.startup, server.capture_signals = and_tell, contextlib.nullcontext
    running = asyncio.create_task(server.serve())
    await started.wait()
    scheme = "https" if certificates else "http"
    try:
        yield f"{scheme}://localhost:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


async def kitchen(log):
    """The application: what starts, ends and goes on behind an answer is written to `log`."""

    @contextlib.asynccontextmanager
    async def lifespan(app):
        log.append("opened")
        yield {"oven": "hot"}
        log.append("closed")

    async def echo(request):
        body = await request.json()
        digest = hashlib.sha256(body["text"].encode()).hexdigest()
        return JSONResponse({"number": body["number"], "digest": digest, "oven": request.state.oven})

    class Turn:  # Raw ASGI: StreamingResponse listens for a disconnect, and takes the request's pieces away with it.
        async def __call__(self, scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            more = True
            while more:
                event = await receive()
                more = event["more_body"]
                await send({"type": "http.response.body", "body": event["body"][::-1], "more_body": more})

    async def later(request):
        return PlainTextResponse("served", background=BackgroundTask(log.append, "washed up"))

    async def talk(socket):
        await socket.accept(subprotocol="soup")
        async for text in socket.iter_text():
            if text == "end":
                await socket.close(4001)
                return
            await socket.send_json({"text": text.upper()})

    return Starlette(
        routes=[
            Route("/echo", echo, methods=["POST"]),
            Route("/turn", Turn(), methods=["POST"]),
            Route("/later", later),
            WebSocketRoute("/talk", talk),
        ],
        lifespan=lifespan,
    )


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_many_requests_with_bodies_at_once(compare, parser, tls, certificates, tmp_path):
    async def body():
        log = []
        app = await kitchen(log)
        limits = httpx.Limits(max_connections=50)
        async with serving(app, parser, tmp_path, certificates if tls else None) as url:
            async with httpx.AsyncClient(verify=certificates.client(), limits=limits, timeout=60) as client:

                async def one(number):
                    text = chr(65 + number % 26) * (number * 311)
                    answer = await client.post(f"{url}/echo", json={"number": number, "text": text})
                    found = answer.json()
                    right = found.pop("digest") == hashlib.sha256(text.encode()).hexdigest()
                    return answer.status_code, found, right

                found = await asyncio.gather(*(one(number) for number in range(MANY)))
                background = await client.get(f"{url}/later")
        return found, background.text, log

    found, text, log = compare(body)
    assert found == [(200, {"number": number, "oven": "hot"}, True) for number in range(MANY)]
    assert (text, log) == ("served", ["opened", "washed up", "closed"])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_bodies_stream_both_ways(compare, parser, tls, certificates, tmp_path):
    count, size = 40, 70_000

    async def body():
        app = await kitchen([])
        async with serving(app, parser, tmp_path, certificates if tls else None) as url:
            async with httpx.AsyncClient(verify=certificates.client(), timeout=60) as client:

                async def one(letter):
                    async def upload():
                        for _ in range(count):
                            yield letter * size

                    total, seen = 0, set()
                    async with client.stream("POST", f"{url}/turn", content=upload()) as answer:
                        async for piece in answer.aiter_raw():
                            total += len(piece)
                            seen.update(piece)
                    return total, seen

                return await asyncio.gather(*(one(bytes([letter])) for letter in range(65, 71)))

    assert compare(body) == [(count * size, {letter}) for letter in range(65, 71)]


def test_a_client_that_leaves_is_noticed(compare, parser):
    async def body():
        gone = asyncio.Queue()

        async def app(scope, receive, send):
            if scope["type"] != "http":
                return
            await receive()
            if scope["path"] == "/stream":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            gone.put_nowait((scope["path"], (await receive())["type"]))

        async with serving(app, parser, lifespan="off") as url, httpx.AsyncClient() as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"{url}/silent", timeout=0.2)
            first = await gone.get()
            async with client.stream("GET", f"{url}/stream", timeout=60) as answer:
                begun = await anext(answer.aiter_raw())
            second = await gone.get()
        return first, begun, second

    assert compare(body) == (("/silent", "http.disconnect"), b"begun", ("/stream", "http.disconnect"))


def test_pipelined_requests_and_one_byte_at_a_time(compare, parser):
    async def body():
        async with serving(await kitchen([]), parser) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            payload = json.dumps({"number": 1, "text": "s"}).encode()
            head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(payload)
            writer.write((head + payload) * 5)
            for place in range(len(head + payload)):
                writer.write((head + payload)[place : place + 1])
                await asyncio.sleep(0)
            statuses = []
            for _ in range(6):
                answer = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in answer.splitlines() if line.startswith(b"content-length"))
                statuses.append((answer.split()[1], json.loads(await reader.readexactly(length))["number"]))
            writer.write(b"NONSENSE\r\n\r\n")
            refused = (await reader.readline()).split()[1]
            await reader.read()
            writer.close()
            await writer.wait_closed()
        return statuses, refused

    assert compare(body) == ([(b"200", 1)] * 6, b"400")


@pytest.mark.parametrize("protocol", ["websockets-sansio", "wsproto"])
def test_forty_websockets(compare, protocol):
    import aiohttp

    async def body():
        async with serving(await kitchen([]), "httptools", ws=protocol) as url, aiohttp.ClientSession() as session:

            async def one(number):
                async with session.ws_connect(f"{url}/talk", protocols=["soup"]) as socket:
                    for turn in range(10):
                        await socket.send_str(f"pot {number} " * (1 + turn * 300))
                        text = (await socket.receive_json())["text"]
                    await socket.send_str("end")
                    last = await socket.receive()
                    return socket.protocol, text.split()[1], len(text) > 10_000, last.data

            return await asyncio.gather(*(one(number) for number in range(40)))

    assert compare(body) == [("soup", str(number), True, 4001) for number in range(40)]
