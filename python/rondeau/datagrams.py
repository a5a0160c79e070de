"""Datagram endpoints: asyncio's transport, whose packets are received and sent natively.

Made by `EventLoop._make_datagram_transport`, which `create_datagram_endpoint` calls. What runs per packet is `_core.Datagrams`;
closing and pausing are asyncio's code, names as addresses the socket module's.

What differs from asyncio, where some of its versions are wrong: an empty datagram is sent on every Python; what waits counts as
much when it leaves as when it came, so that a paused protocol is resumed; an error of one that waits does not hold back the
others.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import selector_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_Base: Any = selector_events._SelectorDatagramTransport  # type: ignore[attr-defined]
# What a waiting datagram counts beside its bytes.
_HEADER: int = getattr(_Base, "_header_size", 8 if sys.version_info >= (3, 13) else 0)


class DatagramTransport(_Base, asyncio.DatagramTransport):  # type: ignore[misc]
    """A datagram socket on a Rondeau loop."""

    def __init__(self, loop: Any, sock: Any, protocol: Any, address: Any = None, waiter: Any = None, extra: Any = None) -> None:
        super().__init__(loop, sock, protocol, address, waiter, extra)  # type: ignore[call-arg]
        self._packets = loop._datagrams(sock, self._extra["peername"])

    def _read_ready(self) -> None:
        if not self._conn_lost:
            self._packets.receive(self._protocol)

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send `data` as one datagram to `addr`, or to the peer; what there is no room for waits.

        Raises:
            TypeError: `data` is not bytes-like.
            ValueError: `addr` is not the peer's.
        """
        if not (self._buffer or self._conn_lost) and (addr is None or not self._address):
            try:
                if self._packets.send(data, addr):
                    return
            except OSError as error:
                self._protocol.error_received(error)
                return
        self._send_otherwise(data, addr)

    def _send_otherwise(self, data: Any, addr: Any) -> None:
        """What is not sent at once by the transport's own descriptor: it waits, or needs the socket's own methods."""
        if self._conn_lost or not isinstance(data, (bytes, bytearray, memoryview)):
            super().sendto(data, addr)
            return
        if self._address:
            if addr not in (None, self._address):
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = self._address
        if not self._buffer:
            try:
                if self._send(data, addr):
                    return
            except OSError as error:
                self._protocol.error_received(error)
                return
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal write error on datagram transport")
                return
            self._loop._add_writer(self._sock_fd, self._sendto_ready)
        self._buffer.append((bytes(data), addr))
        self._buffer_size += len(data) + _HEADER
        self._maybe_pause_protocol()

    def _send(self, data: Any, addr: Any) -> bool:
        """By the socket's own methods, which know names and every kind of address; whether there was room."""
        try:
            if self._extra["peername"]:
                self._sock.send(data)
            else:
                self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def _sendto_ready(self) -> None:
        while self._buffer:
            try:
                if not self._send(*self._buffer[0]):
                    break
            except OSError as error:
                self._left()
                self._protocol.error_received(error)
                if self._conn_lost:
                    return
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal write error on datagram transport")
                return
            else:
                self._left()
        self._maybe_resume_protocol()  # May add to the buffer.
        if not self._buffer:
            self._loop._remove_writer(self._sock_fd)
            if self._closing and not self._conn_lost:
                self._conn_lost += 1
                self._call_connection_lost(None)

    def _left(self) -> None:
        data, _ = self._buffer.popleft()
        self._buffer_size -= len(data) + _HEADER
