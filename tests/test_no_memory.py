"""Memory that runs out at any allocation of a step: what the step holds is given back."""

import asyncio
import os
import resource
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


@pytest.mark.parametrize(("mode", "options"), [("rb", {}), ("rb", {"buffering": 0}), ("r", {"encoding": "latin-1"})])
@pytest.mark.parametrize("driver", ["", "epoll"])
def test_a_read_that_memory_is_too_small_for_moves_nothing(tmp_path, monkeypatch, mode, options, driver):
    """More than may be allocated: MemoryError, and the file goes on where it was; text that could not be decoded is lost."""
    if driver:
        monkeypatch.setenv("RONDEAU_DRIVER", driver)
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.write(b"0123456789soup")
        file.truncate(8 << 30)

    async def main():
        async with rondeau.open(path, mode, **options) as file:
            start = await file.read(10)
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            with open("/proc/self/statm") as statm:
                now = int(statm.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20), hard))
            try:
                with pytest.raises(MemoryError):
                    await file.read()
                for count in (1 << 30, 7 << 30):
                    with pytest.raises(MemoryError):
                        await file.read(count)
                with pytest.raises(MemoryError):
                    await file.pread(1 << 30, 0)
                with pytest.raises(MemoryError):
                    await rondeau.Path(path).read_bytes()
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            if "b" in mode:
                assert await file.tell() == 10
                assert start + await file.read(4) == b"0123456789soup"
            else:
                await file.seek(10)
                assert start + await file.read(4) == "0123456789soup"

    rondeau.run(main())
