"""A loop that runs within itself (`rondeau.nest`): results, tasks, contexts, cancellation and exceptions at each depth."""

import asyncio
import contextvars
import gc
import socket
import sys
import threading

import pytest

import rondeau

V = contextvars.ContextVar("V", default="outside")


@pytest.fixture(params=["asyncio's names", "rondeau's names"])
def aio(request):
    return {"asyncio's names": asyncio, "rondeau's names": rondeau}[request.param]


@pytest.fixture
def nested(aio):
    """Runs a coroutine on a loop that may run within itself."""
    return lambda main, **options: rondeau.run(main, nested=True, **options)


def here(main):
    return asyncio.get_running_loop().run_until_complete(main)


async def deep(depth):
    await asyncio.sleep(0.001)
    if not depth:
        return 0
    how = [here, asyncio.run, rondeau.run][depth % 3]
    return how(deep(depth - 1)) + 1


def test_a_loop_runs_within_itself_at_any_depth(nested):
    async def main():
        other = asyncio.create_task(asyncio.sleep(0.001, "meanwhile"))
        assert here(deep(12)) == 12
        return other.done() and other.result()

    assert nested(main()) == "meanwhile"


@pytest.mark.parametrize("what", ["run_until_complete", "run_forever", "another", "asyncio.run"])
def test_what_is_not_asked_for_raises_as_in_asyncio(run, loop_factory, what):
    rondeau.run(asyncio.sleep(0), nested=True)  # Nothing changes for a loop of which it was not asked.

    async def main():
        loop, other = asyncio.get_running_loop(), loop_factory()
        call, message = {
            "run_until_complete": (lambda: loop.run_until_complete(loop.create_future()), "This event loop is already running"),
            "run_forever": (loop.run_forever, "This event loop is already running"),
            "another": (other.run_forever, "Cannot run the event loop while another loop is running"),
            "asyncio.run": (lambda: asyncio.run(main), "asyncio.run() cannot be called from a running event loop"),
        }[what]
        with pytest.raises(RuntimeError) as error:
            call()
        assert str(error.value) == message
        other.close()

    run(main())


def test_nest_is_for_a_loop_or_for_a_block():
    async def main():
        loop = asyncio.get_running_loop()
        assert not loop.nested
        with rondeau.nest():
            assert loop.nested
            assert here(deep(1)) == 1
        assert not loop.nested
        rondeau.nest(loop)
        assert loop.nested

    rondeau.run(main())
    with rondeau.nest():
        loop = rondeau.new_event_loop()
        assert loop.nested
        loop.close()
    assert not rondeau.EventLoop._nested_by_default
    theirs = asyncio.SelectorEventLoop()
    with pytest.raises(TypeError, match="Rondeau's loops"):
        rondeau.nest(theirs)
    theirs.close()


def test_the_current_task_and_the_running_loop_are_those_of_the_depth(nested):
    async def inner(outer, depth):
        me, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert me is not outer
        assert asyncio.current_task(loop) is me
        await asyncio.sleep(0)
        assert asyncio.current_task() is me
        if depth:
            here(inner(me, depth - 1))
        assert asyncio.current_task() is me
        assert asyncio._get_running_loop() is loop
        assert {me, outer} <= asyncio.all_tasks()

    async def main():
        me = asyncio.current_task()
        seen = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(asyncio.current_task()))
        here(inner(me, 2))
        assert seen == [None]
        assert asyncio.current_task() is me
        await asyncio.sleep(0)
        assert asyncio.current_task() is me
        with pytest.raises(RuntimeError, match="cannot await on itself"):
            here(me)
        assert asyncio.current_task() is me

    nested(main())


def test_a_callback_may_enter_too(nested):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        done = loop.create_future()

        def call():
            assert asyncio.current_task() is None
            seen.append(here(deep(2)))
            assert asyncio.current_task() is None
            done.set_result(None)

        loop.call_soon(call)
        await done
        assert seen == [2]

    nested(main())


def test_context_variables_are_each_tasks_own(nested):
    async def inner():
        assert V.get() == "main"  # Copied from whoever called.
        V.set("inner")
        await asyncio.sleep(0)
        return V.get()

    async def main():
        V.set("main")
        assert here(inner()) == "inner"
        assert V.get() == "main"
        await asyncio.sleep(0)
        assert V.get() == "main"

    nested(main())


def test_what_has_the_callers_own_context_runs_when_the_caller_goes_on(nested):
    async def note(seen, what):
        seen.append(what)

    async def main():
        loop, seen = asyncio.get_running_loop(), []
        mine = contextvars.copy_context()

        async def within():
            task = loop.create_task(note(seen, "task"), context=mine)
            loop.call_soon(seen.append, "callback", context=mine)
            assert here(asyncio.sleep(0.001, "inner")) == "inner"
            assert seen == []  # asyncio would have lost both.
            seen.append("caller")
            await task

        await loop.create_task(within(), context=mine)
        assert seen == ["caller", "task", "callback"]

    nested(main())


def test_a_task_of_asyncios_own_kind_enters(nested):
    async def main(kind):
        loop = asyncio.get_running_loop()

        async def caller():
            me = asyncio.current_task()
            assert here(deep(2)) == 2
            assert asyncio.current_task() is me
            await asyncio.sleep(0)
            return type(me)

        task = kind(caller(), loop=loop)
        assert await task is kind
        if kind is asyncio.tasks._PyTask:
            task = kind(here_for_ever(), loop=loop)
            loop.call_later(0.005, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task

    async def here_for_ever():
        here(asyncio.sleep(1000))

    if sys.version_info < (3, 14):  # There asyncio's own two kinds do not know of each other either.
        nested(main(asyncio.tasks._PyTask))
    nested(main(asyncio.tasks._CTask))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks_enter_and_are_entered(nested):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)

        async def at_once():
            return here(asyncio.sleep(0.001, asyncio.current_task()))

        task = loop.create_task(at_once())
        assert task.done()
        assert task.result() is task
        assert here(deep(3)) == 3

    nested(main())


def test_asynchronous_generators_are_the_loops_at_each_depth(nested):
    finished = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            finished.append(asyncio.current_task() is not None)

    async def begin():
        async for _ in numbers():
            break
        gc.collect()
        await asyncio.sleep(0.001)

    async def main():
        hooks = sys.get_asyncgen_hooks()
        here(begin())
        assert finished == [True]
        assert sys.get_asyncgen_hooks() == hooks

    nested(main())


def test_debug_mode_goes_on_after_an_inner_run(nested):
    async def main():
        depth = sys.get_coroutine_origin_tracking_depth()
        assert depth > 0
        here(asyncio.sleep(0))
        assert sys.get_coroutine_origin_tracking_depth() == depth
        asyncio.run(asyncio.sleep(0), debug=False)
        assert asyncio.get_running_loop().get_debug()

    nested(main(), debug=True)


def test_threads_and_executors_reach_the_inner_run(nested, aio):
    async def main():
        loop = asyncio.get_running_loop()
        assert here(aio.to_thread(threading.get_ident)) != threading.get_ident()
        future = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "told"))
        thread.start()
        assert here(future) == "told"
        thread.join()

        def refused():
            with pytest.raises(RuntimeError, match="already running"):
                loop.run_forever()

        here(aio.to_thread(refused))  # Of another thread it is not asked for.

    nested(main())


def test_another_loop_runs_meanwhile(nested):
    async def main():
        loop, me = asyncio.get_running_loop(), asyncio.current_task()

        async def on_another():
            assert asyncio.get_running_loop() is not loop
            assert asyncio.current_task() is not me
            return await asyncio.sleep(0.001, "another's")

        assert asyncio.run(on_another(), loop_factory=rondeau.new_event_loop) == "another's"
        other = rondeau.new_event_loop()
        assert other.run_until_complete(on_another()) == "another's"
        other.close()
        assert asyncio.current_task() is me
        assert asyncio.get_running_loop() is loop
        seen = []
        loop.call_soon(seen.append, "held")
        assert asyncio.run(asyncio.sleep(0.01, 1), loop_factory=rondeau.new_event_loop) == 1
        assert seen == []  # This loop stood still.
        await asyncio.sleep(0)
        return seen

    assert nested(main()) == ["held"]


def test_data_comes_in_while_its_own_callback_waits(nested, aio):
    class Waiting(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport, self.seen = transport, []

        def data_received(self, data):
            self.seen.append(data)
            if len(self.seen) == 1:
                self.transport.write(b"more")
                here(self.all_there())
                self.seen.append("done")

        async def all_there(self):
            while len(self.seen) < 3:
                await asyncio.sleep(0.001)

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        transport, protocol = await loop.create_connection(Waiting, sock=ours)
        await loop.sock_sendall(theirs, b"first")
        assert await loop.sock_recv(theirs, 100) == b"more"  # It left before the inner run waited.
        await loop.sock_sendall(theirs, b"second")
        while len(protocol.seen) < 2:
            await asyncio.sleep(0.001)
        await loop.sock_sendall(theirs, b"third")
        while protocol.seen != [b"first", b"second", b"third", "done"]:
            await asyncio.sleep(0.001)
        transport.close()
        theirs.close()

    nested(main())


def test_a_loop_is_not_blocked_while_it_runs_within_itself(nested):
    async def main():
        loop = asyncio.get_running_loop()
        turns = loop._metrics()["turns"]
        here(asyncio.sleep(0.01))
        figures = loop._metrics()
        assert figures["turns"] > turns
        assert figures["ran"] < 60

    nested(main())
