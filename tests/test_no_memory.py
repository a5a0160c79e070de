"""Memory that runs out at any allocation of a step: what the step holds is given back."""

import asyncio
import os
import socket

import pytest

import rondeau
from rondeau import _core

testing = pytest.importorskip("_testcapi", reason="this Python has no _testcapi to fail allocations with")


def test_accepting_without_memory():
    """At whichever allocation it fails: the connection is a transport's or is closed."""
    loop = rondeau.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    outcomes = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        number = listener.fileno()
        for count in range(1, 40):
            before = set(os.listdir("/proc/self/fd"))
            with socket.create_connection(listener.getsockname(), timeout=30) as client:
                testing.set_nomemory(count, count + 1)
                try:
                    accepted = loop._accept(number, asyncio.Protocol, None, None)
                finally:
                    testing.remove_mem_hooks()
                assert accepted
                loop.run_until_complete(asyncio.sleep(0))
                found = [loop._transport_of(int(fd)) for fd in os.listdir("/proc/self/fd")]
                (transport, *others) = [transport for transport in found if transport is not None] or [None]
                assert not others
                outcomes.add(transport is None)
                if transport is None:
                    assert client.recv(1) == b""
                else:
                    transport.abort()
                    loop.run_until_complete(asyncio.sleep(0))
                del transport, found
            assert set(os.listdir("/proc/self/fd")) == before
    loop.close()
    assert outcomes == {True, False}


def test_a_line_without_memory():
    """At whichever allocation it fails, `__anext__` gives an awaitable; on none CPython 3.13's `anext` crashes."""
    outcomes = set()
    kept = []
    for count in range(12):
        lines = _core.Lines()
        lines._chunk = "leek\n" * 10
        kept.append(lines.__anext__())  # The one that is kept for reuse is in use.
        testing.set_nomemory(count, count + 1)
        try:
            waiting = anext(lines, None)
        except MemoryError:  # `anext`'s own object.
            waiting = None
        finally:
            testing.remove_mem_hooks()
        if waiting is None:
            outcomes.add("none")
            continue
        try:
            waiting.__await__().__next__()
        except StopIteration as ended:
            outcomes.add(ended.value)
        except MemoryError:
            outcomes.add("no memory")
    assert outcomes >= {"leek\n", "no memory"}
