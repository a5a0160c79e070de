"""The native Task and Future stand in front of asyncio's C types: nothing of the base may show through.

Their storage in the base is never initialised, so every attribute that the C type defines must be overridden.
"""

import _asyncio
import asyncio
import inspect

import pytest

import rondeau
from rondeau import _core

# What a type object itself provides, and what only describes the class: there is nothing to override in these.
OF_THE_TYPE = {"__doc__", "__module__", "__new__", "__init__", "__getattribute__", "__class_getitem__"}
PAIRS = [("Future", _asyncio.Future), ("Task", _asyncio.Task)]


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_everything_is_overridden(name, base):
    native = getattr(_core, name)
    missing = {attribute for attribute in vars(base) if attribute not in vars(native)} - OF_THE_TYPE
    # A Task inherits from Future, in C too: what _asyncio.Future has and Task has not must come from us as well.
    inherited = {attribute for attribute in vars(_asyncio.Future) if attribute not in vars(native)} - OF_THE_TYPE
    assert missing == set()
    assert inherited == set()


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_they_are_asyncios(name, base):
    native = getattr(_core, name)
    assert issubclass(native, base)
    assert issubclass(native, getattr(asyncio, name))


def test_the_loop_makes_them():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        assert type(future) is _core.Future
        assert type(asyncio.current_task()) is _core.Task
        assert asyncio.isfuture(future)
        future.cancel()

    rondeau.run(main())


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_signatures_agree(name, base):
    native = getattr(_core, name)
    for attribute, theirs in vars(base).items():
        if attribute.startswith("__") or not callable(theirs):
            continue
        try:
            expected = inspect.signature(theirs)
        except ValueError:
            continue
        assert inspect.signature(getattr(native, attribute)) == expected, attribute


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_never_initialised_instances_do_no_harm(name, base):
    native = getattr(_core, name)
    bare = native.__new__(native)
    for attribute in sorted(set(vars(base)) - {"__init__", "__new__", "__class_getitem__", "__del__"}):
        try:
            value = getattr(bare, attribute)
        except Exception:
            continue
        if callable(value) and attribute not in {"__init_subclass__", "set_name", "_make_cancelled_error"}:
            for arguments in [(), (None,), (1, 2)]:
                try:
                    value(*arguments)
                except Exception:
                    pass
    repr(type(bare))
    del bare


def test_generic_aliases():
    assert _core.Future[int].__origin__ is _core.Future
    assert _core.Task[int].__origin__ is _core.Task


def test_the_loop_is_an_asyncio_loop():
    loop = rondeau.new_event_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert isinstance(loop, asyncio.BaseEventLoop)
    assert isinstance(loop, rondeau.EventLoop)
    loop.close()


@pytest.mark.parametrize("name", ["register", "unregister", "modify"])
def test_what_is_not_there_says_what_to_use(name):
    loop = rondeau.new_event_loop()
    with pytest.raises(
        NotImplementedError, match=r"^the native loop watches descriptors itself: loop\.(add|remove)_reader or "
    ):
        getattr(loop._selector, name)(*[1] * (1 if name == "unregister" else 2))
    loop.close()


def test_nothing_of_the_abstract_loop_is_missing():
    abstract = asyncio.AbstractEventLoop
    for name, theirs in vars(abstract).items():
        if not name.startswith("_") and callable(theirs):
            assert getattr(rondeau.EventLoop, name) is not theirs, name
