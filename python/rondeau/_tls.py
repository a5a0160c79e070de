"""TLS: the native record pump in front of asyncio's own protocol, as the loop is in front of asyncio's loop.

Used by `loop.py`. What happens once a connection (handshake, shutdown, time-outs, errors, extra information) is the code
of `asyncio.sslproto` in the form that this Python has; what happens per record is `_core.TlsProtocol` and `_core.TlsTransport`.
Both work on the same fields: those that asyncio's code names lie in the native half.
"""

from __future__ import annotations

from asyncio import base_events, sslproto
from types import FunctionType, SimpleNamespace

from rondeau import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SSLProtocol(_core.TlsProtocol, sslproto.SSLProtocol):
    """Between a native transport and the program's protocol."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # asyncio makes a buffer of this size to read into, 256 KiB a connection; records are read where the driver has them.
        # Should something else than a native transport read, asyncio's `get_buffer` makes one then.
        self.max_size = 0  # type: ignore[misc]
        super().__init__(*args, **kwargs)
        del self.max_size

    def _get_app_transport(self) -> _SSLProtocolTransport:
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating _SSLProtocolTransport twice")
            self._app_transport = _SSLProtocolTransport(self._loop, self)
            self._app_transport_created = True
        return self._app_transport  # type: ignore[return-value]


class _SSLProtocolTransport(_core.TlsTransport, sslproto._SSLProtocolTransport):
    """What the program writes to."""


def serves(transport: Any) -> bool:
    """Whether the pump can be put over this transport: a native one, or TLS over a native one."""
    return isinstance(transport, _core.SocketTransport | _SSLProtocolTransport)


def _with_our_protocol(function: Any) -> Any:
    """A function of asyncio's, with our protocol where it says `sslproto.SSLProtocol`.

    What `start_tls` does differs between Pythons, and between their patch releases; so it is asyncio's own code that runs, in
    a copy of its module's names.
    """
    names = {**function.__globals__, "sslproto": SimpleNamespace(SSLProtocol=SSLProtocol)}
    ours = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    ours.__kwdefaults__ = function.__kwdefaults__
    return ours


start_tls = _with_our_protocol(base_events.BaseEventLoop.start_tls)
