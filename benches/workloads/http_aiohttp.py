"""HTTP/1.1 requests to aiohttp's server, routed to a handler that answers with the path."""

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from harness.workload import Case, Http


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, _: Case) -> AsyncIterator[None]:
    from aiohttp import web  # Here, since a suite without it should still list and run the rest.

    async def answer(request: Any) -> web.Response:
        return web.Response(text=request.path)

    app = web.Application()
    app.add_routes([web.get("/{stamp}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield
    await runner.cleanup()


WORKLOAD = Http(
    name="HTTP aiohttp",
    operation="one GET through aiohttp's server, on a connection that is kept alive",
    serve=serve,
    requests=4000,
)
