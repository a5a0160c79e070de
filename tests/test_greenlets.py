"""A process whose threads are greenlets (gevent, eventlet): the loop waits by their `select`; what needs threads says so.

The real libraries are met in ecosystem/test_greenlets.py. Here one of them is said to be there, with threads that are threads.
"""

import asyncio
import concurrent.futures
import select
import sys
import threading
import types

import pytest

import rondeau


@pytest.fixture(params=["gevent.monkey", "eventlet.patcher"])
def library(request, monkeypatch):
    """Says that the library has patched threads; counts the waits in `select.select`."""
    if request.param == "gevent.monkey":
        module = types.SimpleNamespace(is_module_patched=lambda name: name == "threading")
    else:
        module = types.SimpleNamespace(is_monkey_patched=lambda name: name == "thread")
    monkeypatch.setitem(sys.modules, request.param, module)
    waits = []
    original = select.select

    def counting(*arguments):
        waits.append(arguments[3])
        return original(*arguments)

    monkeypatch.setattr(select, "select", counting)
    return waits


def test_all_waits_are_the_librarys(library):
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.01)
        assert any(timeout and timeout <= 0.01 for timeout in library)
        assert await rondeau.to_thread(threading.get_ident) != threading.get_ident()
        assert type(loop._default_executor) is concurrent.futures.ThreadPoolExecutor
        future = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, "told"))
        thread.start()
        assert await future == "told"
        thread.join()
        assert await rondeau.gather(rondeau.sleep(0.001, 1), rondeau.wait_for(rondeau.sleep(0, 2), 10)) == [1, 2]
        with pytest.raises(TimeoutError):
            async with rondeau.timeout(0.001):
                await loop.create_future()
        assert await rondeau.Path(__file__).read_bytes()
        assert None in library

    rondeau.run(main())


def test_a_connection_is_served(library):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    async def main():
        server = await rondeau.start_server(serve, "127.0.0.1", 0)
        reader, writer = await rondeau.open_connection(*server.sockets[0].getsockname())
        writer.write(b"soup\n")
        assert await reader.readline() == b"SOUP\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    rondeau.run(main())


def test_what_needs_threads_says_so(library):
    with pytest.raises(
        RuntimeError, match=r"^the watchdog needs a thread beside the loop's, and (gevent|eventlet) has replaced"
    ):
        rondeau.watchdog().start()


def test_a_library_that_has_not_patched_threads_changes_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gevent.monkey", types.SimpleNamespace(is_module_patched=lambda name: False))
    loop = rondeau.new_event_loop()
    assert not loop._own_turns
    assert loop.run_until_complete(asyncio.sleep(0, "done")) == "done"
    loop.close()
