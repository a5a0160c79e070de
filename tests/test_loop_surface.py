"""The whole of AbstractEventLoop is there, takes what asyncio's takes, and its objects are what asyncio's are."""

import asyncio
import inspect
import socket
from asyncio import base_events, events, selector_events, transports, trsock, unix_events

import pytest

import rondeau

ASYNCIO, OURS = asyncio.SelectorEventLoop, rondeau.EventLoop
PUBLIC = sorted(name for name in set(dir(ASYNCIO)) | set(dir(asyncio.AbstractEventLoop)) if not name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_method_is_there(name):
    abstract = getattr(asyncio.AbstractEventLoop, name, None)
    if getattr(ASYNCIO, name) is not abstract:
        assert getattr(OURS, name) is not abstract
    assert callable(getattr(OURS, name)) == callable(getattr(ASYNCIO, name))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_method_takes_what_asyncios_takes(name):
    theirs = inspect.signature(getattr(ASYNCIO, name)).parameters
    ours = inspect.signature(getattr(OURS, name)).parameters
    rest = inspect.Parameter.VAR_KEYWORD
    named = [name for name, parameter in ours.items() if parameter.kind is not rest]
    takes_any = len(named) < len(ours)
    assert named == [
        name for name, parameter in theirs.items() if parameter.kind is not rest and (name in ours or not takes_any)
    ]
    for parameter in ours.values():
        if parameter.name in theirs and parameter.name != "self":
            assert parameter.kind == theirs[parameter.name].kind, parameter
            assert (parameter.default is parameter.empty) == (theirs[parameter.name].default is parameter.empty)


def test_what_the_loop_is():
    for kind in (
        asyncio.AbstractEventLoop,
        base_events.BaseEventLoop,
        selector_events.BaseSelectorEventLoop,
        unix_events._UnixSelectorEventLoop,
    ):
        assert issubclass(OURS, kind)


def test_arguments_by_name(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.call_soon(callback=lambda: note("soon"))
        loop.call_soon_threadsafe(callback=lambda: note("threadsafe"))
        loop.call_later(0, callback=lambda: note("later"))
        loop.call_later(delay=0, callback=lambda: note("later by name"))
        loop.call_at(when=loop.time(), callback=lambda: note("at"))
        loop.call_at(loop.time(), callback=lambda: note("at, half by name"), context=None)
        await loop.create_task(coro=asyncio.sleep(0.001))
        for call in (
            lambda: loop.call_soon(),
            lambda: loop.call_soon(print, callback=print),
            lambda: loop.call_soon(print, delay=1),
            lambda: loop.call_soon_threadsafe(context=None),
            lambda: loop.call_later(),
            lambda: loop.call_later(1),
            lambda: loop.call_later(delay=1),
            lambda: loop.call_later(callback=print),
            lambda: loop.call_later(print, delay=1),
            lambda: loop.call_later(1, print, callback=print),
            lambda: loop.call_later(1, print, when=2),
            lambda: loop.call_later(None, callback=print),
            lambda: loop.call_at(when=None, callback=print),
            lambda: loop.call_at(callback=print),
            lambda: loop.call_at(1, print, delay=1),
        ):
            try:
                call()
            except TypeError as error:
                note(str(error).replace("BaseEventLoop.", "").partition(". Did you mean")[0])

    compare(body)


def test_what_connections_are(run):
    async def main():
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Peer(asyncio.Protocol):
            def connection_made(self, transport):
                accepted.set_result(transport)

        server = await loop.create_server(Peer, "127.0.0.1", 0)
        assert isinstance(server, asyncio.Server)
        assert isinstance(server, asyncio.AbstractServer)
        assert all(isinstance(sock, trsock.TransportSocket) for sock in server.sockets)
        client, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        for transport in (client, await accepted):
            for kind in (
                asyncio.BaseTransport,
                asyncio.ReadTransport,
                asyncio.WriteTransport,
                asyncio.Transport,
                transports._FlowControlMixin,
            ):
                assert isinstance(transport, kind)
            assert not isinstance(transport, asyncio.DatagramTransport)
            assert transport._start_tls_compatible
            sock = transport.get_extra_info("socket")
            assert type(sock) is trsock.TransportSocket
            assert sock is transport.get_extra_info("socket")
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert sock.gettimeout() == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not hasattr(sock, "close")
            assert not hasattr(sock, "send")
            with pytest.raises(ValueError, match="only 0 timeout is allowed on transport sockets"):
                sock.settimeout(1)
            assert transport.get_extra_info("no such thing", "default") == "default"
            transport.abort()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        assert events._get_running_loop() is loop

    run(main())
