"""The native primitives are asyncio's, to the attribute: on Rondeau, on asyncio's loop, and asyncio's classes on Rondeau.

CPython's own tests of them run with the native classes in place in `make conformance NATIVE=1`; here is what these do not ask.
"""

import asyncio
import copy
import gc
import inspect
import pickle
import sys
import types
import unittest.mock
import weakref

import pytest

import rondeau
from rondeau import native

NAMES = ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Queue", "LifoQueue", "PriorityQueue"]
BARRIER = {"Barrier": (2,)}


def make(aio, name):
    return getattr(aio, name)(*BARRIER.get(name, ()))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_subclass_of_asyncios(name):
    ours, theirs = getattr(rondeau, name), getattr(asyncio, name)
    assert name in native.NATIVE
    assert ours is not theirs
    assert issubclass(ours, theirs)
    assert isinstance(make(rondeau, name), theirs)
    assert (ours.__name__, ours.__qualname__, ours.__module__) == (name, name, "rondeau")
    assert ours.__doc__ == theirs.__doc__
    for base in theirs.__mro__:
        # `BoundedSemaphore` is a `Semaphore` here as there.
        if base.__name__ in NAMES:
            assert issubclass(ours, getattr(rondeau, base.__name__))


@pytest.mark.parametrize("name", NAMES)
def test_attributes_and_their_first_values_are_asyncios(name):
    def look(thing):
        found = {}
        for attribute in vars(make(asyncio, name)):
            value = getattr(thing, attribute)
            if isinstance(value, types.MethodType | types.BuiltinMethodType):
                value = value.__name__
            elif isinstance(value, asyncio.Lock | asyncio.Event | asyncio.Condition):
                value = type(value).__mro__[-3].__name__
            found[attribute] = value
        return found, set(dir(thing)) - {"__dictoffset__", "__weaklistoffset__", "__slots__"}

    (ours, listed), (theirs, expected) = look(make(rondeau, name)), look(make(asyncio, name))
    assert ours == theirs
    assert expected - listed == set()


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_asyncios(name):
    ours, theirs = getattr(rondeau, name), getattr(asyncio, name)
    for attribute in dir(theirs):
        mine, yours = getattr(ours, attribute), getattr(theirs, attribute)
        if attribute.startswith("__") or not inspect.isfunction(yours):
            continue
        assert mine.__doc__ == yours.__doc__ or sys.version_info < (3, 12)
        if sys.version_info >= (3, 12) and not inspect.isfunction(mine):
            # A builtin method without arguments, called without a detour: its `self` is positional only.
            assert str(inspect.signature(mine)) == "(self, /)", attribute
            assert str(inspect.signature(yours)) == "(self)", attribute
        elif sys.version_info >= (3, 12):
            assert inspect.signature(mine) == inspect.signature(yours), attribute
            assert inspect.iscoroutinefunction(mine) == inspect.iscoroutinefunction(yours), attribute


@pytest.mark.skipif(sys.version_info < (3, 12), reason="methods are builtin there")
def test_mocks_know_which_methods_are_coroutines():
    for name in NAMES:
        ours = unittest.mock.create_autospec(getattr(rondeau, name))
        for attribute in dir(getattr(asyncio, name)):
            if inspect.iscoroutinefunction(getattr(getattr(asyncio, name), attribute)) and not attribute.startswith("__"):
                assert isinstance(getattr(ours, attribute), unittest.mock.AsyncMock), attribute


REFUSED = [
    ("Lock", (1,), {}),
    ("Lock", (), {"loop": None}),
    ("Event", (1,), {}),
    ("Semaphore", (-1,), {}),
    ("Semaphore", ("x",), {}),
    ("Semaphore", (1, 2), {}),
    ("BoundedSemaphore", (-1,), {}),
    ("Barrier", (0,), {}),
    ("Barrier", (), {}),
    ("Queue", (1, 2), {}),
    ("Queue", (), {"size": 1}),
    ("Condition", (1, 2), {}),
    ("Condition", (5,), {}),
]


@pytest.mark.parametrize(("name", "arguments", "keywords"), REFUSED)
def test_what_a_constructor_refuses(name, arguments, keywords):
    def refusal(aio):
        with pytest.raises(Exception) as caught:
            getattr(aio, name)(*arguments, **keywords)
        return type(caught.value), str(caught.value)

    assert refusal(rondeau) == refusal(asyncio)


def test_odd_numbers(compare_native):
    async def body(note, aio):
        for value in (True, 2**70, 1.5):
            semaphore = aio.Semaphore(value)
            note(semaphore._value, repr(semaphore).split(" [")[1], semaphore.locked())
            note(await semaphore.acquire(), semaphore._value)
            semaphore.release()
            note(semaphore._value)
        for size in (None, 1.5, float("inf"), -1, 2**70, True):
            queue = aio.Queue(size)
            try:
                note(str(queue), queue.maxsize, queue.full())
                await queue.put(1)
                note(str(queue), queue.full(), await queue.get())
            except TypeError as error:
                note(error)
        queue = aio.Queue(1)
        queue._maxsize = 1.5
        queue.put_nowait(1)
        note(queue.full(), queue.maxsize)
        queue.put_nowait(2)
        note(queue.full(), str(queue))
        queue._maxsize = 3
        note(queue.full(), queue.maxsize)

    compare_native(body)


def test_wrong_arguments_of_methods(compare_native):
    async def body(note, aio):
        queue, lock, event = aio.Queue(), aio.Lock(), aio.Event()
        for call in (
            lambda: queue.put(),
            lambda: queue.put(1, 2),
            lambda: queue.get(1),
            lambda: queue.put_nowait(),
            lambda: queue.get_nowait(block=True),
            lambda: queue.task_done(),
            lambda: lock.release(),
            lambda: lock.release(1),
            lambda: lock.acquire(blocking=False),
            lambda: event.set(True),
            lambda: event.clear(now=True),
            lambda: event.wait(1),
            lambda: aio.Event.set(),
            lambda: aio.Event.clear(5),
            lambda: aio.Queue.get(),
            lambda: aio.Lock.release(5),
        ):
            try:
                call()
            except (TypeError, ValueError, RuntimeError, AttributeError) as error:
                # On 3.11 the methods are builtin, and say it their way.
                note(type(error).__name__ if sys.version_info < (3, 12) else error)
        await queue.put(item=3)
        queue.put_nowait(item=4)
        note(await queue.get(), await queue.get())

    compare_native(body)


def test_unbound_methods_take_asyncios_instances(compare_native):
    async def body(note, aio):
        for classes in ((aio, asyncio), (asyncio, aio), (rondeau, asyncio)):
            functions, objects = classes
            queue = objects.Queue(1)
            await functions.Queue.put(queue, 1)
            note(functions.Queue.full(queue), await functions.Queue.get(queue), functions.Queue.empty(queue))
            lock = objects.Lock()
            note(await functions.Lock.acquire(lock), functions.Lock.locked(lock))
            functions.Lock.release(lock)
            note(lock.locked())
            event = objects.Event()
            for function in (functions.Event.set, functions.Event.clear):
                note(function(event), functions.Event.is_set(event), event.is_set())

    compare_native(body)


def test_subclasses_that_override_the_container(compare_native):
    async def body(note, aio):
        class Unique(aio.Queue):
            def _init(self, maxsize):
                self._queue = {}

            def _put(self, item):
                self._queue[item] = None

            def _get(self):
                item = next(iter(self._queue))
                del self._queue[item]
                return item

        class Longest(aio.PriorityQueue):
            def _put(self, item):
                super()._put((-len(item), item))

            def _get(self):
                return super()._get()[1]

        class Noted(aio.LifoQueue):
            def __init__(self):
                super().__init__(maxsize=2)
                self.notes = []

            async def get(self):
                self.notes.append("get")
                return await super().get()

            def put_nowait(self, item):
                self.notes.append(item)
                super().put_nowait(item)

            def full(self):
                self.notes.append("full")
                return super().full()

        for queue in (Unique(2), Longest(2), Noted()):
            note(type(queue).__name__, queue.empty(), str(queue))
            getter = aio.create_task(queue.get())
            await asyncio.sleep(0)
            note(str(queue))
            await queue.put("a")
            await queue.put("bbb")
            putters = [aio.create_task(queue.put(item)) for item in ("bbb", "cc", "dddd")]
            await asyncio.sleep(0)
            note(await getter, str(queue), queue.qsize())
            note([await queue.get() for _ in range(3)])
            await asyncio.gather(*putters)
            note(str(queue), getattr(queue, "notes", None))

    compare_native(body)


def test_methods_replaced_on_the_instance_or_the_class(compare_native):
    async def body(note, aio):
        queue = aio.Queue()
        queue.put_nowait(1)
        queue.get_nowait = lambda: "mine"
        note(await queue.get(), queue.qsize())
        del queue.get_nowait
        note(await queue.get(), queue.qsize())
        with unittest.mock.patch.object(queue, "put_nowait") as mocked:
            await queue.put(5)
            note(mocked.mock_calls)
        await queue.put(6)
        note(await queue.get())

        lock = aio.Lock()
        lock.acquire = unittest.mock.AsyncMock()
        async with lock:
            note("in", lock.locked())
            lock._locked = True
        note(lock.acquire.mock_calls)

        class Mine(aio.Queue):
            pass

        queue = Mine()
        await queue.put(1)
        note(await queue.get())
        Mine.full = lambda self: False
        Mine._get = lambda self: "changed"
        await queue.put(2)
        note(await queue.get())

        class Traced(aio.Lock):
            async def acquire(self):
                note("acquire")
                return await super().acquire()

            def release(self):
                note("release")
                super().release()

        traced = Traced()
        async with traced:
            note(traced.locked())
        condition = aio.Condition(traced)
        async with condition:
            note(condition.locked(), condition._lock is traced)
        async with aio.Semaphore() as nothing:
            note(nothing)

    compare_native(body)


def test_programs_that_look_inside_and_change_what_they_find(compare_native):
    async def body(note, aio):
        queue = aio.Queue(3)
        for number in (1, 2, 3):
            queue.put_nowait(number)
        note(list(queue._queue), 2 in queue._queue, len(queue._queue))
        queue._queue.remove(2)
        queue._queue.appendleft(0)
        note([await queue.get() for _ in range(queue.qsize())])
        queue._queue.append("straight in")
        note(await queue.get(), queue._unfinished_tasks, queue._finished.is_set())
        queue._unfinished_tasks = 0
        note(queue._finished.is_set())
        queue._finished.set()
        await queue.join()
        waiting = [aio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        note(len(queue._getters), [getter.done() for getter in queue._getters], str(queue))
        waiting[1].cancel()
        await asyncio.sleep(0)
        note(len(queue._getters))
        queue._getters[0].set_result(None)
        await asyncio.sleep(0)
        note(len(queue._getters), str(queue))
        for task in waiting:
            task.cancel()
        note(await asyncio.gather(*waiting, return_exceptions=True))

        lock = aio.Lock()
        note(lock._waiters, lock._loop is None)
        await lock.acquire()
        waiter = aio.create_task(lock.acquire())
        await asyncio.sleep(0)
        note(len(lock._waiters), isinstance(lock._waiters[0], asyncio.Future), lock._loop is asyncio.get_running_loop())
        lock._locked = False
        lock._wake_up_first()
        note(await waiter, lock.locked(), len(lock._waiters))

        semaphore = aio.Semaphore(3)
        semaphore._value = 0
        note(semaphore.locked(), repr(semaphore).split(" [")[1])
        event = aio.Event()
        waiter = aio.create_task(event.wait())
        await asyncio.sleep(0)
        note(len(event._waiters), event._value)
        event._value = True
        note(event.is_set())
        event.set()
        event._waiters[0].set_result("by hand")
        note(await waiter)

    compare_native(body)


def test_coroutines_are_taken_for_what_they_are(compare_native):
    async def body(note, aio):
        queue, lock = aio.Queue(), aio.Lock()
        waiting = queue.get()
        note(asyncio.iscoroutine(waiting), inspect.isawaitable(waiting), waiting.__name__, waiting.__qualname__)
        note(isinstance(waiting, asyncio.Future), hasattr(waiting, "__next__"))
        queue.put_nowait(1)
        note(await waiting)
        try:
            await waiting
        except RuntimeError as error:
            note(error)
        note(await asyncio.gather(queue.get(), queue.put(2), lock.acquire()))
        note(await asyncio.wait_for(queue.put(3), 1), await asyncio.wait_for(queue.get(), None))
        done, _ = await asyncio.wait([asyncio.ensure_future(queue.put(4)), asyncio.create_task(queue.get())])
        note(sorted(str(task.result()) for task in done))
        note(await asyncio.shield(queue.put(5)), await asyncio.create_task(queue.get(), name="mine"))

        closed = queue.get()
        closed.close()
        thrown = queue.get()
        try:
            thrown.throw(KeyError("k"))
        except KeyError as error:
            note(error)

        started = queue.get()
        future = started.send(None)
        note(isinstance(future, asyncio.Future), len(queue._getters))
        try:
            started.throw(ValueError("into the wait"))
        except ValueError as error:
            note(error, len(queue._getters), future.cancelled())
        started = lock.acquire()
        started.send(None)
        note(len(lock._waiters))
        started.close()
        note(len(lock._waiters))

    compare_native(body)


def test_a_coroutine_that_nobody_awaited(compare_native):
    async def body(note, aio):
        for make in (aio.Queue().get, aio.Lock().acquire, aio.Event().wait, lambda: aio.Queue().put(1)):
            with pytest.warns(RuntimeWarning) as caught:
                make()
            note([str(warning.message) for warning in caught])

    compare_native(body)


@pytest.mark.parametrize("name", NAMES)
def test_weak_references_and_attributes_of_ones_own(name):
    thing = make(rondeau, name)
    seen = weakref.ref(thing)
    thing.mine = thing  # A cycle.
    assert seen() is thing
    assert vars(thing)["mine"] is thing
    del thing
    gc.collect()
    assert seen() is None


def test_generic_aliases():
    for name in ("Queue", "LifoQueue", "PriorityQueue"):
        ours = getattr(rondeau, name)
        assert ours[int].__origin__ is ours
        assert ours[int](3).maxsize == 3


@pytest.mark.parametrize("name", ["Lock", "Event", "Semaphore", "BoundedSemaphore", "Queue", "LifoQueue", "PriorityQueue"])
def test_copies(name):
    for how in (copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))):
        ours, theirs = how(make(rondeau, name)), how(make(asyncio, name))
        assert type(ours) is getattr(rondeau, name)
        for attribute, value in vars(theirs).items():
            if attribute != "_finished":
                assert getattr(ours, attribute) == value, attribute


def test_what_waits_cannot_be_pickled(compare_native):
    async def body(note, aio):
        event = aio.Event()
        waiting = aio.create_task(event.wait())
        await asyncio.sleep(0)
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(event)
        event.set()
        await waiting

    compare_native(body)


def test_bound_to_one_loop(compare_native):
    async def body(note, aio):
        async def wait_elsewhere(start):
            def run():
                loop = asyncio.SelectorEventLoop()
                try:
                    loop.run_until_complete(start())
                except RuntimeError as error:
                    return str(error).split(" [")[-1]
                finally:
                    loop.close()

            return await asyncio.to_thread(run)

        lock, event, semaphore, queue = aio.Lock(), aio.Event(), aio.Semaphore(0), aio.Queue()
        await lock.acquire()
        waiting = [aio.create_task(start()) for start in (lock.acquire, event.wait, semaphore.acquire, queue.get)]
        await asyncio.sleep(0)
        for start in (lock.acquire, event.wait, semaphore.acquire):
            note(await wait_elsewhere(start))
        note("is bound to a different event loop" in (await wait_elsewhere(queue.get)))
        note(len(lock._waiters), len(event._waiters), len(semaphore._waiters), len(queue._getters))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    compare_native(body)


def test_a_woken_getter_that_is_cancelled_wakes_the_next(compare_native):
    async def body(note, aio):
        queue = aio.Queue()
        first, second = (aio.create_task(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        queue.put_nowait("item")
        first.cancel()
        note(await asyncio.gather(first, second, return_exceptions=True), str(queue))
        queue = aio.Queue(1)
        queue.put_nowait(0)
        first, second = (aio.create_task(queue.put(item)) for item in "ab")
        await asyncio.sleep(0)
        note(queue.get_nowait())
        first.cancel()
        note(await asyncio.gather(first, second, return_exceptions=True), str(queue))

    compare_native(body)


def test_comparisons_of_items_may_come_back_and_may_raise(compare_native):
    async def body(note, aio):
        queue = aio.PriorityQueue()

        class Item:
            def __init__(self, number):
                self.number = number

            def __lt__(self, other):
                if self.number == 0:
                    note(queue.qsize(), queue.empty())
                return self.number < other.number

        for number in (2, 1, 0, 3):
            await queue.put(Item(number))
        note([(await queue.get()).number for _ in range(4)])
        await queue.put(1)
        try:
            await queue.put("one")
        except TypeError as error:
            note(error, queue._unfinished_tasks)
        note(queue.qsize())

    compare_native(body)


def test_waiting_on_many(compare_native):
    async def body(note, aio):
        event, order = aio.Event(), []

        async def wait(number):
            await event.wait()
            order.append(number)

        tasks = [aio.create_task(wait(number)) for number in range(300)]
        await asyncio.sleep(0)
        tasks[7].cancel()
        event.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        note(order)

    compare_native(body)


def test_the_result_dies_with_its_last_reference():
    class Item:
        pass

    async def main():
        queue = rondeau.Queue()
        queue.put_nowait(Item())
        seen = weakref.ref(await queue.get())
        assert seen() is None

    rondeau.run(main())


def test_a_dead_coroutine_that_somebody_found_is_not_used_again():
    async def body():
        lock = rondeau.Lock()
        many = [lock.acquire() for _ in range(100)]
        kind = type(many[0])
        while many:  # The newest first, which no `gc.freeze()` has put away.
            many.pop().close()
        found = [thing for thing in gc.get_objects() if type(thing) is kind]
        assert found
        seen = weakref.ref(found[0])
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await found[0]
        del found[1:]
        fresh = [lock.acquire() for _ in range(100)]
        assert all(one is not found[0] for one in fresh)
        for one in fresh:
            one.close()
        # Nor one of which a weak reference is left.
        del found[:]
        gc.collect()
        fresh = [lock.acquire() for _ in range(100)]
        assert all(one is not seen() for one in fresh)
        for one in fresh:
            one.close()

    rondeau.run(body())


def test_in_debug_mode(compare_native):
    async def body(note, aio):
        queue, lock = aio.Queue(1), aio.Lock()

        async def producer():
            for number in range(3):
                await queue.put(number)

        task = aio.create_task(producer())
        async with lock:
            note([await queue.get() for _ in range(3)])
        await task

    compare_native(body, debug=True)


@pytest.mark.parametrize("aio", [asyncio, rondeau], ids=["asyncio", "rondeau"])
@pytest.mark.parametrize("what", ["itself", "another", "junk"])
def test_a_conditions_methods_stay_those_of_the_lock_that_it_was_made_with(aio, what):
    async def main():
        condition = aio.Condition()
        first = condition._lock
        condition._lock = {"itself": condition, "another": aio.Lock(), "junk": 5}[what]
        await condition.acquire()
        assert first.locked()
        assert condition.locked()
        condition.release()
        assert not first.locked()

    rondeau.run(main())
