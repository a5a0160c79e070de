"""A walk over everything public that Rondeau has in asyncio's place: kinds, signatures, documentation, how arguments bind.

What is compared is each name of `asyncio.__all__` that is ours, and each public method of the classes behind it, also of
those that a program only meets by their instances: handles, transports, protocols. Each difference that is left is in one
of the tables here, with its reason, and in DESIGN.md; a line of theirs that no longer differs fails.
"""

import asyncio
import copy
import inspect
import types
import warnings
from asyncio import selector_events, sslproto
from unittest import mock

import pytest

import rondeau
from rondeau import _core, _tls, datagrams, native

SPECIAL = {"__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__", "__init__", "__iter__"}
HIDDEN = {
    "SocketTransport": (selector_events._SelectorSocketTransport, _core.SocketTransport),
    "TlsTransport": (sslproto._SSLProtocolTransport, _tls._SSLProtocolTransport),
    "DatagramTransport": (selector_events._SelectorDatagramTransport, datagrams.DatagramTransport),
    "Handle": (asyncio.Handle, _core.Handle),
    "TimerHandle": (asyncio.TimerHandle, _core.TimerHandle),
    "SelectorEventLoop": (asyncio.SelectorEventLoop, rondeau.EventLoop),
    "Future": (asyncio.Future, _core.Future),
    "Task": (asyncio.Task, _core.Task),
}

# What runs per callback or per message is a method descriptor: the interpreter calls it without a detour.
QUICK = {
    *((loop, name) for loop in ("SelectorEventLoop", "EventLoop") for name in ("call_at", "call_later", "call_soon")),
    *((loop, name) for loop in ("SelectorEventLoop", "EventLoop") for name in ("call_soon_threadsafe", "time")),
    *((loop, name) for loop in ("SelectorEventLoop", "EventLoop") for name in ("create_future", "create_task")),
    ("Event", "clear"),
    ("Event", "set"),
    ("Handle", "cancel"),
    ("TimerHandle", "cancel"),
    ("SocketTransport", "write"),
    ("TlsTransport", "write"),
    ("StreamReader", "feed_data"),
    ("StreamReaderProtocol", "data_received"),
    ("StreamWriter", "write"),
}
# Slots of the native type.
SLOTS = {
    ("StreamReader", "__aiter__"),
    ("StreamReader", "__anext__"),
    ("StreamReader", "__init__"),
    ("StreamReaderProtocol", "__init__"),
    ("StreamWriter", "__init__"),
    ("TaskGroup", "__init__"),
}
# Parameters that asyncio's form does not have, or has for what is not here.
PARAMETERS = {
    ("EventLoop", ""): "no selector is behind the loop",
    ("EventLoop", "__init__"): "no selector is behind the loop",
    ("SelectorEventLoop", ""): "no selector is behind the loop",
    ("SelectorEventLoop", "__init__"): "no selector is behind the loop",
    ("Runner", ""): "report_failed_tasks and keep_tasks are added",
    ("Runner", "__init__"): "report_failed_tasks and keep_tasks are added",
    ("run", ""): "report_failed_tasks and keep_tasks are added; each Python has 3.13's others",
    ("SocketTransport", ""): "it is made by the loop only",
    ("SocketTransport", "__init__"): "it is made by the loop only",
}
# A coroutine function in front of asyncio's, with asyncio's signature: what does not bind is told when it is awaited.
WHEN_AWAITED = {("EventLoop", "create_connection"), ("SelectorEventLoop", "create_connection")}


# 3.11 leaves TaskGroup out of its list.
NAMES = [name for name in {*asyncio.__all__, *native.NATIVE} if hasattr(asyncio, name)]


def classes() -> dict[str, tuple[type, type]]:
    ours = {name: (getattr(asyncio, name), getattr(rondeau, name)) for name in sorted(NAMES)}
    named = {name: (a, b) for name, (a, b) in ours.items() if a is not b and inspect.isclass(a)}
    return named | HIDDEN


def functions() -> dict[str, tuple[object, object]]:
    ours = {name: (getattr(asyncio, name), getattr(rondeau, name)) for name in sorted(NAMES)}
    return {name: (a, b) for name, (a, b) in ours.items() if a is not b and not inspect.isclass(a)}


def methods() -> list[tuple[str, str]]:
    found = []
    for name, (theirs, ours) in classes().items():
        for method in dir(theirs):
            if method.startswith("_") and method not in SPECIAL:
                continue
            a, b = inspect.getattr_static(theirs, method), inspect.getattr_static(ours, method, None)
            if a is not b and callable(getattr(theirs, method)):
                found.append((name, method))
    return found


METHODS = methods()


def kind(value: object) -> str:
    if inspect.iscoroutinefunction(value):
        return "coroutine function"
    if inspect.isasyncgenfunction(value):
        return "asynchronous generator"
    return "function" if inspect.isfunction(value) else "builtin"


def parameters(value: object) -> list[tuple[str, object, object]] | None:
    """Name, kind and default of each; a receiver is by position only in a builtin, which no caller can tell."""
    try:
        found = inspect.signature(value).parameters.values()
    except ValueError:
        return None  # As of `Future.add_done_callback`, whose default has no form in Python.
    return [(each.name, None if each.name == "self" else each.kind, each.default) for each in found]


def both(name: str, method: str) -> tuple[object, object]:
    theirs, ours = classes()[name]
    return getattr(theirs, method), getattr(ours, method)


def test_there_is_much_to_walk_over():
    assert len(METHODS) > 120
    assert {"StreamReader", "StreamWriter", "Queue", "TaskGroup", "Timeout", "SelectorEventLoop"} <= set(classes())


@pytest.mark.parametrize("name", functions())
def test_a_function_is_asyncios_in_all_that_can_be_asked_of_it(name):
    theirs, ours = functions()[name]
    assert kind(ours) == kind(theirs)
    assert (parameters(ours) == parameters(theirs)) == ((name, "") not in PARAMETERS)
    assert (ours.__name__, ours.__qualname__) == (theirs.__name__, theirs.__qualname__)
    assert ours.__doc__ or not theirs.__doc__
    assert ours.__code__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert asyncio.iscoroutinefunction(ours) == asyncio.iscoroutinefunction(theirs)


@pytest.mark.parametrize("name", classes())
def test_a_class_is_made_of_what_asyncios_is_made_of(name):
    theirs, ours = classes()[name]
    assert inspect.isclass(ours)
    assert ours.__doc__
    assert (parameters(ours) == parameters(theirs)) == ((name, "") not in PARAMETERS)


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_is_of_asyncios_kind(name, method):
    theirs, ours = both(name, method)
    left = (name, method) in QUICK | SLOTS
    assert (kind(ours) == kind(theirs)) != left
    assert ours.__name__ == theirs.__name__
    if kind(theirs) != "builtin" and not left:
        assert isinstance(ours, types.FunctionType)
        assert ours.__code__.co_flags & inspect.CO_COROUTINE == theirs.__code__.co_flags & inspect.CO_COROUTINE
    assert ours.__doc__ or not theirs.__doc__


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_takes_what_asyncios_takes(name, method):
    theirs, ours = both(name, method)
    if (name, method) in SLOTS and method == "__init__":
        return  # A slot's own words; the class's signature is compared above.
    assert (parameters(ours) == parameters(theirs)) == ((name, method) not in PARAMETERS)


def wrong_calls(theirs: object) -> list[tuple[tuple[object, ...], dict[str, object]]]:
    """Calls that no signature binds: too few, too many, a name twice, a name that is not there."""
    known = [each for each in inspect.signature(theirs).parameters.values() if each.name != "self"]
    plain = [each for each in known if each.kind is each.POSITIONAL_OR_KEYWORD]
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    if any(each.default is each.empty for each in plain):
        calls.append(((), {}))
    if not any(each.kind is each.VAR_POSITIONAL for each in known):
        calls.append(((object(),) * (len(plain) + 1), {}))
    if plain:
        calls.append(((object(),) * len(plain), {plain[0].name: object()}))
    if not any(each.kind is each.VAR_KEYWORD for each in known):
        calls.append(((object(),) * len(plain), {"no_such_argument": object()}))
    return calls


def answer(method: object, args: tuple[object, ...], keywords: dict[str, object]) -> str:
    """What is raised; binding fails before the receiver, no instance of anything, is looked at."""
    with pytest.raises(TypeError) as error:
        method(object(), *args, **keywords)
    return str(error.value)


OF_PYTHON = [(name, method) for name, method in METHODS if inspect.isfunction(both(name, method)[0])]


@pytest.mark.parametrize(("name", "method"), [each for each in OF_PYTHON if each not in SLOTS | set(PARAMETERS)])
def test_wrong_arguments_are_told_in_asyncios_words(name, method):
    theirs, ours = both(name, method)
    if (name, method) in WHEN_AWAITED:
        ours(object(), no_such_argument=1).close()
        return
    for args, keywords in wrong_calls(theirs):
        said = answer(theirs, args, keywords)
        assert answer(ours, args, keywords).partition("() ")[2] == said.partition("() ")[2]


@pytest.mark.parametrize("name", [name for name, (_, ours) in functions().items() if (name, "") not in PARAMETERS])
def test_wrong_arguments_of_a_function_too(name):
    theirs, ours = functions()[name]
    for args, keywords in wrong_calls(theirs):
        with pytest.raises(TypeError) as said:
            theirs(*args, **keywords)
        with pytest.raises(TypeError) as error:
            ours(*args, **keywords)
        assert str(error.value) == str(said.value)


@pytest.mark.parametrize(
    "name", ["StreamReader", "StreamWriter", "TaskGroup", "Timeout", "Queue", "Lock", "Event", "Condition"]
)
def test_a_mock_of_the_class_is_asynchronous_where_asyncios_is(name):
    theirs, ours = classes()[name]
    for made in (mock.MagicMock, mock.create_autospec):
        a = made(spec=theirs) if made is mock.MagicMock else made(theirs, instance=True)
        b = made(spec=ours) if made is mock.MagicMock else made(ours, instance=True)
        for method in dir(theirs):
            if method.startswith("_") or not callable(getattr(theirs, method)):
                continue
            assert isinstance(getattr(b, method), mock.AsyncMock) == isinstance(getattr(a, method), mock.AsyncMock), method


@pytest.mark.parametrize(("name", "method"), [each for each in OF_PYTHON if not each[1].startswith("__")])
def test_a_patched_method_is_asynchronous_where_asyncios_is(name, method):
    theirs, ours = both(name, method)
    holder, other = type("Holder", (), {"method": theirs}), type("Holder", (), {"method": ours})
    with mock.patch.object(holder, "method") as a, mock.patch.object(other, "method") as b:
        assert isinstance(b, mock.AsyncMock) == isinstance(a, mock.AsyncMock)


@pytest.mark.parametrize(("name", "method"), OF_PYTHON)
def test_a_function_of_ours_binds_copies_and_has_room_for_attributes(name, method):
    theirs, ours = both(name, method)
    if not inspect.isfunction(ours):
        return
    assert copy.copy(ours) is ours
    assert copy.deepcopy(ours) is ours
    receiver = object()
    assert ours.__get__(receiver).__self__ is receiver
    assert types.MethodType(ours, receiver).__func__ is ours
    a, b = mock.create_autospec(theirs), mock.create_autospec(ours)
    assert inspect.iscoroutinefunction(b) == inspect.iscoroutinefunction(a)
