"""TLS echo as a Protocol, one write per `data_received`, with OpenSSL's defaults: TLS 1.3."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

from harness.workload import CERTIFICATE, Case, Echo
from workloads.echo_protocol import EchoProtocol


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, _: Case) -> AsyncIterator[None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server = await asyncio.get_running_loop().create_server(EchoProtocol, sock=listener, backlog=1024, ssl=context)
    yield
    server.close()


WORKLOAD = Echo(
    name="echo TLS",
    operation="one message over TLS, echoed by data_received and one write",
    serve=serve,
    tls=True,
    sizes=(1024, 65_536),
)
