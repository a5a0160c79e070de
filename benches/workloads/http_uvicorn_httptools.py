"""HTTP/1.1 requests to uvicorn, parsed by httptools (C), answered by the smallest ASGI application."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Literal

from harness.workload import Case, Http


async def app(scope: Any, receive: Any, send: Any) -> None:
    path = scope["raw_path"]
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(path))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": path})


@contextlib.asynccontextmanager
async def uvicorn_server(listener: socket.socket, parser: Literal["h11", "httptools"]) -> AsyncIterator[None]:
    import uvicorn  # Here, since a suite without it should still list and run the rest.

    config = uvicorn.Config(app, http=parser, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0)
    yield
    server.should_exit = True
    await serving


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, _: Case) -> AsyncIterator[None]:
    async with uvicorn_server(listener, "httptools"):
        yield


WORKLOAD = Http(
    name="HTTP uvicorn httptools",
    operation="one GET through uvicorn and httptools, on a connection that is kept alive",
    serve=serve,
    requests=6000,
)
