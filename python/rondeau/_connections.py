"""How a loop's connections are made: the places where asyncio's code would make a Python transport, sent to the native side.

Base of `loop.EventLoop`. Name look-up, the order of addresses, servers and their errors are asyncio's own code, which calls
these methods; a transport is native unless the program's socket has methods of its own to be asked.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from asyncio import constants

from rondeau import _core, _tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio.base_events import Server
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any


def _has_methods_of_its_own(sock: socket.socket) -> bool:
    """Whether the program wants to be asked for each send and receive: the native transport would go to the kernel past it."""
    kind = type(sock)
    if kind is socket.socket:
        return False
    return any(
        getattr(kind, name, None) is not getattr(socket.socket, name) for name in ("recv", "recv_into", "send", "sendmsg")
    )


class Connections(_core.EventLoop, asyncio.SelectorEventLoop):
    """Clients and servers, plain and with TLS, datagrams, and files sent over a connection."""

    __slots__ = ()

    if not TYPE_CHECKING:  # Its signatures are asyncio's.

        @functools.wraps(asyncio.SelectorEventLoop.create_connection)
        async def create_connection(self, *args, **options):
            connecting = super().create_connection(*args, **options)
            if options.get("happy_eyeballs_delay") is None:
                return await connecting
            from . import _connecting  # Few programs race.

            Connections._races = _connecting
            return await _connecting.race(connecting)

    _races: Any = None

    async def _connect_sock(self, *args: Any) -> socket.socket:
        connecting: Any = super()._connect_sock(*args)  # type: ignore[misc]
        del args  # With the list of exceptions, whose tracebacks lead here.
        sock: socket.socket = await connecting
        if self._races is not None:
            self._races.note(sock)
        return sock

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Server | None = None,
        context: Context | None = None,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(sock)
        if _has_methods_of_its_own(sock):
            with_context: dict[str, Any] = {} if context is None else {"context": context}
            return super()._make_socket_transport(  # type: ignore[misc,no-any-return]
                sock, protocol, waiter, extra=extra, server=server, **with_context
            )
        return self._transport_for(sock, protocol, waiter, extra, server, context)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Server | None = None,
        ssl_handshake_timeout: Any = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: Any = constants.SSL_SHUTDOWN_TIMEOUT,
        context: Context | None = None,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(rawsock)
        ssl_protocol = _tls.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, ssl_protocol, extra=extra, server=server, context=context)
        transport: asyncio.Transport = ssl_protocol._app_transport
        return transport

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: Any = None,
        ssl_shutdown_timeout: Any = None,
    ) -> asyncio.Transport | None:
        """Encrypt a connection that is open already; return the transport to use from now on. See asyncio.

        Args:
            transport: of this loop; may be a TLS transport itself.
            protocol: gets the decrypted data.
            sslcontext: an `ssl.SSLContext`.
            server_side: whether the other end is the client.
            server_hostname: the name that the server's certificate must be for.
            ssl_handshake_timeout: seconds; None is asyncio's 60.
            ssl_shutdown_timeout: seconds; None is asyncio's 30.

        Raises:
            TypeError: the context or the transport is of the wrong kind.
            ssl.SSLError, ConnectionError: the handshake failed.
        """
        options: dict[str, Any] = {
            "server_side": server_side,
            "server_hostname": server_hostname,
            "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
        }
        if _tls.serves(transport):
            upper: asyncio.Transport | None = await _tls.start_tls(self, transport, protocol, sslcontext, **options)
            return upper
        return await super().start_tls(transport, protocol, sslcontext, **options)

    def _make_datagram_transport(
        self, sock: socket.socket, protocol: Any, address: Any = None, waiter: Any = None, extra: Any = None
    ) -> asyncio.DatagramTransport:
        from .datagrams import DatagramTransport  # Few programs have any.

        self._ensure_fd_no_transport(sock)
        return DatagramTransport(self, sock, protocol, address, waiter, extra)

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        if not isinstance(transp, _core.SocketTransport):
            return await super()._sendfile_native(transp, file, offset, count)
        reading = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        sock = transp._sock
        if sock is None:
            raise ConnectionError("Connection is closed by peer")
        transp._lend()
        try:
            return await self.sock_sendfile(sock, file, offset, count, fallback=False)
        except (OSError, asyncio.SendfileNotAvailableError) as error:
            if sock.fileno() < 0:  # close() or abort() meanwhile; on asyncio it would wait for ever.
                raise ConnectionError("Connection is closed by peer") from error
            raise
        finally:
            transp._take_back()
            transp._reset_empty_waiter()
            if reading:
                transp.resume_reading()

    # Servers

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: Any = None,
        server: Server | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if isinstance(server, asyncio.base_events.Server):
            from ._clients import Clients  # Few programs serve.

            if not isinstance(getattr(server, "_clients", None), Clients | None):
                server._clients = Clients(self, server)  # type: ignore[attr-defined]
        if sock.fileno() < 0:
            return  # Closed while it waited for descriptors to be had again.
        super()._start_serving(protocol_factory, sock, sslcontext, server, *args, **kwargs)

    def _accept_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: Any = None,
        server: Server | None = None,
        backlog: int = 100,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if sslcontext is None:
            descriptor = sock.fileno()
            # From 3.15 on the server's context comes after the two time-outs of TLS.
            context = args[2] if len(args) > 2 else kwargs.get("context")
            try:
                for _ in range(backlog):
                    if not self._accept(descriptor, protocol_factory, server, context):
                        return
                    if sock.fileno() != descriptor:
                        return  # The factory closed the server.
                return
            except OSError:
                # asyncio's own code meets the same error and does what this Python does about it.
                pass
        super()._accept_connection(protocol_factory, sock, sslcontext, server, backlog, *args, **kwargs)
