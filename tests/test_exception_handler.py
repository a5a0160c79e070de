"""A callback that raises is reported and the loop goes on; the report reads as asyncio's does."""

import asyncio
import contextvars

import pytest

V = contextvars.ContextVar("V", default="outside")


def fail(text="burnt"):
    raise ValueError(text)


def test_the_loop_goes_on(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.call_soon(fail)
        loop.call_soon(note, "after it")
        loop.call_later(0, fail, "timer")
        loop.call_soon_threadsafe(fail, "threadsafe")
        future = loop.create_future()
        future.add_done_callback(lambda _: fail("done callback"))
        future.set_result(None)
        await asyncio.sleep(0.001)
        note("end")

    assert compare(body) == ["after it", "end"]
    assert len(logged) == 8
    assert sorted(logged[:4]) == sorted(logged[4:])
    assert logged[0].startswith("ERROR Exception in callback fail() at ")
    assert logged[0].endswith("\nValueError: burnt")


def test_the_traceback_starts_in_the_callback(compare, logged):
    async def body(note):
        def handler(loop, context):
            trace = context["exception"].__traceback__
            while trace is not None:
                if "asyncio" not in trace.tb_frame.f_code.co_filename:
                    note(trace.tb_frame.f_code.co_name)
                trace = trace.tb_next

        asyncio.get_running_loop().set_exception_handler(handler)
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    assert compare(body) == ["fail"]


def test_a_handler_of_ones_own(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        def handler(given, context):
            note(given is loop, sorted(context), context["message"], context["exception"])
            note(type(context["handle"]).__name__, V.get())

        note(loop.get_exception_handler())
        loop.set_exception_handler(handler)
        note(loop.get_exception_handler() is handler)
        V.set("inside")
        loop.call_soon(fail)
        loop.call_later(0, fail)
        await asyncio.sleep(0.001)
        for wrong in [1, "text"]:
            try:
                loop.set_exception_handler(wrong)
            except TypeError as error:
                note(error)
        loop.set_exception_handler(None)
        note(loop.get_exception_handler())

    compare(body)


def test_a_handler_that_raises(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: fail("handler"))
        loop.call_soon(fail)
        await asyncio.sleep(0)
        note("alive")

    compare(body)
    assert len(logged) == 2
    assert logged[0] == logged[1]
    assert logged[0].startswith("ERROR Unhandled error in exception handler")


def test_default_exception_handler(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.default_exception_handler({})
        loop.default_exception_handler({"message": "m", "b": 1, "a": [2], "exception": ValueError("e")})
        loop.call_exception_handler({"message": "called"})
        note("end")

    compare(body)
    assert len(logged) == 6
    assert logged[:3] == logged[3:]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_must_not_be_swallowed(loop, kind):
    def leave():
        raise kind

    for schedule in [loop.call_soon, loop.call_soon_threadsafe, lambda call: loop.call_later(0, call)]:
        schedule(leave)
        with pytest.raises(kind):
            loop.run_forever()
    handled = []
    loop.set_exception_handler(lambda *_: handled.append(1) or leave())
    loop.call_soon(fail)
    with pytest.raises(kind):
        loop.run_forever()
    assert handled == [1]


def test_callbacks_behind_one_that_leaves_run_next_time(loop):
    seen = []

    def leave():
        raise KeyboardInterrupt

    loop.call_soon(leave)
    loop.call_soon(seen.append, "kept")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["kept"]


def test_a_cancelled_error_in_a_callback_is_reported_too(compare, logged):
    async def body(note):
        def cancelled():
            raise asyncio.CancelledError("callback")

        asyncio.get_running_loop().call_soon(cancelled)
        await asyncio.sleep(0)

    compare(body)
    assert logged[0] == logged[1]
    assert "CancelledError: callback" in logged[0]
