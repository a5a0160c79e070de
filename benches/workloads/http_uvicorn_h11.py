"""HTTP/1.1 requests to uvicorn, parsed by h11 (Python), answered by the smallest ASGI application."""

import contextlib
import socket
from collections.abc import AsyncIterator

from harness.workload import Case, Http
from workloads.http_uvicorn_httptools import uvicorn_server


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, _: Case) -> AsyncIterator[None]:
    async with uvicorn_server(listener, "h11"):
        yield


WORKLOAD = Http(
    name="HTTP uvicorn h11",
    operation="one GET through uvicorn and h11, on a connection that is kept alive",
    serve=serve,
    requests=1500,
)
