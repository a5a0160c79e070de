"""call_soon, call_later and call_at: order, cancellation, handles and contexts."""

import asyncio
import contextvars
import functools
import sys

import pytest

V = contextvars.ContextVar("V", default="outside")


def turn(loop):
    """Exactly what is ready now."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_call_soon_is_first_in_first_out(loop):
    seen = []
    for number in range(1000):
        loop.call_soon(seen.append, number)
    turn(loop)
    assert seen == list(range(1000))


def test_what_a_callback_schedules_waits_for_the_next_turn(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        def spread(depth):
            note(depth)
            if depth < 4:
                loop.call_soon(spread, depth + 1)
                loop.call_soon(spread, depth + 2)

        spread(0)
        for _ in range(8):
            note("turn")
            await asyncio.sleep(0)

    compare(body)


@pytest.mark.parametrize("count", range(7))
def test_arguments(loop, count):
    seen = []
    loop.call_soon(lambda *args: seen.append(args), *range(count))
    loop.call_later(0, lambda *args: seen.append(args), *range(count))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == [tuple(range(count))] * 2


def test_callables_of_every_kind(loop):
    seen = []

    class Callable:
        def __call__(self, *args):
            seen.append(args)

        def method(self, *args):
            seen.append(args)

        @staticmethod
        def static(*args):
            seen.append(args)

    loop.call_soon(Callable(), 1)
    loop.call_soon(Callable().method, 2)
    loop.call_soon(Callable.static, 3)
    loop.call_soon(functools.partial(lambda *args, end: seen.append((*args, end)), 4, end=5), 6)
    loop.call_soon(seen.append, (7,))
    turn(loop)
    assert seen == [(1,), (2,), (3,), (4, 6, 5), (7,)]


def test_timers_run_in_the_order_of_their_times(loop):
    seen = []
    now = loop.time()
    for delay in [0.004, 0.001, 0.003, 0.0, 0.002]:
        loop.call_at(now + delay, seen.append, delay)
    loop.call_at(now + 0.005, loop.stop)
    loop.run_forever()
    assert seen == [0.0, 0.001, 0.002, 0.003, 0.004]


def test_ready_callbacks_run_before_timers_that_are_due(loop):
    seen = []
    loop.call_later(-1, seen.append, "timer")
    loop.call_soon(seen.append, "soon")
    turn(loop)
    turn(loop)
    assert seen == ["soon", "timer"]


def test_a_timer_never_runs_early(loop):
    seen = []
    due = loop.time() + 0.01
    loop.call_at(due, lambda: (seen.append(loop.time()), loop.stop()))
    loop.run_forever()
    # asyncio rounds to the clock's resolution; so may we.
    assert seen[0] >= due - 1e-6


@pytest.mark.parametrize("delay", [0, -1, 0.0, -0.001, 1e-9, False])
def test_short_delays(loop, delay):
    seen = []
    loop.call_later(delay, seen.append, "ran")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == ["ran"]


@pytest.mark.parametrize("delay", [1e9, 1e12, 1e18, float("inf"), 1e300])
def test_long_delays_do_not_run(loop, delay):
    handle = loop.call_later(delay, lambda: pytest.fail("too early"))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert handle.when() >= 1e9
    handle.cancel()


def test_delay_must_be_a_number(loop):
    with pytest.raises(TypeError):
        loop.call_later(None, print)
    with pytest.raises(TypeError):
        loop.call_at(None, print)
    with pytest.raises(TypeError):
        loop.call_later("1", print)


def test_cancel(loop):
    seen = []
    soon = loop.call_soon(seen.append, "soon")
    later = loop.call_later(0.001, seen.append, "later")
    threadsafe = loop.call_soon_threadsafe(seen.append, "threadsafe")
    for handle in [soon, later, threadsafe]:
        assert not handle.cancelled()
        handle.cancel()
        handle.cancel()
        assert handle.cancelled()
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert seen == []


def test_cancel_from_a_callback_of_the_same_turn(loop):
    seen = []
    handles = []
    loop.call_soon(lambda: [handle.cancel() for handle in handles])
    handles.append(loop.call_soon(seen.append, "cancelled"))
    handles.append(loop.call_later(0, seen.append, "cancelled"))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == []


def test_cancel_a_timer_when_both_are_due(loop):
    seen = []
    now = loop.time()
    loop.call_at(now + 0.001, lambda: second.cancel())
    second = loop.call_at(now + 0.002, seen.append, "cancelled")
    while loop.time() < now + 0.003:  # Both are due when the loop comes to them.
        pass
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == []


def test_cancel_after_it_ran(loop):
    handle = loop.call_soon(int)
    timer = loop.call_later(0, int)
    turn(loop)
    turn(loop)
    handle.cancel()
    timer.cancel()
    assert handle.cancelled()
    assert timer.cancelled()


def test_cancelling_most_of_many_timers_keeps_the_order(loop):
    seen = []
    now = loop.time()
    handles = [loop.call_at(now + n * 1e-6, seen.append, n) for n in range(2000)]
    for number, handle in enumerate(handles):
        if number % 100:
            handle.cancel()
    loop.call_at(now + 0.005, loop.stop)
    loop.run_forever()
    assert seen == list(range(0, 2000, 100))


def test_cancelled_handles_let_go_of_their_callback(loop):
    import weakref

    class Thing:
        def method(self, other):
            pass

    thing, other = Thing(), Thing()
    references = [weakref.ref(thing), weakref.ref(other)]
    handles = [loop.call_soon(thing.method, other), loop.call_later(10, thing.method, other)]
    for handle in handles:
        handle.cancel()
    del thing, other
    assert [reference() for reference in references] == [None, None]


def test_handles_look_like_asyncios(loop):
    soon, later = loop.call_soon(print, "x"), loop.call_later(1, print, "x")
    assert isinstance(soon, asyncio.Handle)
    assert isinstance(later, asyncio.TimerHandle)
    assert isinstance(later.when(), float)
    assert later.when() == pytest.approx(loop.time() + 1, abs=0.5)
    assert "print" in repr(soon)
    assert "Handle" in repr(soon)
    assert "TimerHandle" in repr(later)
    assert "when=" in repr(later)
    later.cancel()
    soon.cancel()
    assert "cancelled" in repr(soon)
    assert "cancelled" in repr(later)
    if sys.version_info >= (3, 12):
        assert isinstance(soon.get_context(), contextvars.Context)


def test_when_is_what_call_at_was_given(loop):
    when = loop.time() + 1.25
    handle = loop.call_at(when, print)
    assert handle.when() == when
    handle.cancel()


def test_timer_handles_compare_by_time(loop):
    a, b, c = loop.call_at(10, print), loop.call_at(20, print), loop.call_at(10, print)
    assert a < b
    assert b > a
    assert a <= c
    assert a >= c
    assert a != b
    assert len({a, b}) == 2
    for handle in [a, b, c]:
        handle.cancel()


def test_context_is_copied_when_scheduled(loop):
    seen = []
    V.set("scheduled")
    loop.call_soon(lambda: seen.append(V.get()))
    loop.call_later(0, lambda: seen.append(V.get()))
    loop.call_soon_threadsafe(lambda: seen.append(V.get()))
    V.set("changed afterwards")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    V.set("outside")
    assert seen == ["scheduled"] * 3


def test_context_can_be_given(loop):
    seen = []
    context = contextvars.copy_context()
    context.run(V.set, "given")

    def look(how):
        seen.append((how, V.get()))
        V.set(how)

    loop.call_soon(look, "soon", context=context)
    loop.call_later(0, look, "later", context=context)
    loop.call_soon_threadsafe(look, "threadsafe", context=context)
    loop.call_later(0.001, loop.stop, context=contextvars.Context())
    loop.run_forever()
    assert seen == [("soon", "given"), ("threadsafe", "soon"), ("later", "threadsafe")]
    assert context[V] == "later"
    assert V.get() == "outside"


def test_context_changes_of_a_callback_stay_in_it(loop):
    seen = []
    loop.call_soon(lambda: V.set("inside"))
    loop.call_soon(lambda: seen.append(V.get()))
    turn(loop)
    assert seen == ["outside"]


def test_a_context_that_is_already_entered(loop, logged):
    context = contextvars.copy_context()
    loop.call_soon(print, context=context)
    context.run(turn, loop)
    assert len(logged) == 1
    assert "cannot enter context" in logged[0]


def test_debug_rejects_coroutines(loop):
    loop.set_debug(True)

    async def coroutine():
        pass

    for wrong in [coroutine, coroutine()]:
        with pytest.raises(TypeError, match=r"coroutines cannot be used with call_soon\(\)"):
            loop.call_soon(wrong)
        with pytest.raises(TypeError, match=r"coroutines cannot be used with call_at\(\)"):
            loop.call_later(0, wrong)
        with pytest.raises(TypeError, match=r"coroutines cannot be used with call_soon_threadsafe\(\)"):
            loop.call_soon_threadsafe(wrong)
    wrong.close()


def test_debug_rejects_what_cannot_be_called(loop):
    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"a callable object was expected by call_soon\(\), got 1"):
        loop.call_soon(1)


def test_debug_remembers_where_a_handle_was_made(loop):
    loop.set_debug(True)
    handle = loop.call_soon(print)
    assert "test_callbacks.py" in repr(handle)
    assert handle._source_traceback
    handle.cancel()


def test_debug_reports_slow_callbacks(loop, logged):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    loop.call_soon(sum, [1, 2, 3])
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert any("Executing <Handle" in line and "sum" in line and "took" in line for line in logged), logged


def test_ready_work_does_not_starve_timers(loop):
    seen = []
    loop.call_later(0.002, seen.append, "timer")
    loop.call_later(0.003, loop.stop)

    def busy():
        loop.call_soon(busy)

    busy()
    loop.run_forever()
    assert seen == ["timer"]


def test_a_handle_made_by_hand_with_a_list_of_arguments(loop):
    called = []
    loop._add_callback(asyncio.Handle(lambda *arguments: called.append(arguments), [1, 2], loop))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert called == [(1, 2)]
