"""What there is to break: every type of the extension, found by walking it, and a live object of each kind."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import rondeau
from rondeau import _core

CERTIFICATE = Path(__file__).parent.parent / "tests" / "localhost.pem"


def types() -> list[type]:
    """The extension's types, whether it names them or not, and the classes that inherit from them."""
    found: dict[str, type] = {}
    stack: list[type] = [object]
    seen: set[type] = set()
    while stack:
        for kind in type.__subclasses__(stack.pop()):
            if kind in seen:
                continue
            seen.add(kind)
            stack.append(kind)
            if any(base.__module__.startswith("rondeau._core") for base in kind.__mro__) and kind.__module__.startswith(
                "rondeau"
            ):
                found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return [found[name] for name in sorted(found)]


# What a forked child or a closing interpreter calls, and what starts a recording into the working directory.
NOT_CALLED = {
    "inspect_forking",
    "inspect_parent",
    "inspect_forked",
    "inspect_leave",
    "record_start",
    "record_block",
    "run_forever",
}


def blocks(kind: type, name: str) -> bool:
    """Whether a method waits for another thread: for ever, where there is none."""
    return kind.__name__ == "JobQueue" and name == "get"


def functions() -> list[Callable[..., Any]]:
    """The extension's functions, and those of asyncio's names that are functions."""
    named = [getattr(_core, name) for name in dir(_core) if name not in NOT_CALLED and not name.startswith("file_")]
    named += [getattr(rondeau, name) for name in ("gather", "wait", "wait_for", "shield", "as_completed", "sleep", "timeout",
              "timeout_at", "ensure_future", "create_task", "to_thread", "run_coroutine_threadsafe", "wrap_future", "isfuture",
              "iscoroutine", "current_task", "all_tasks", "metrics")]  # fmt: skip
    return [function for function in named if callable(function) and not isinstance(function, type)]


class Scene:
    """A running loop and what else a program has: objects are made in it, with others waiting for them."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.tasks: list[asyncio.Task[Any]] = []
        self.sockets: list[socket.socket] = []

    def behind(self, awaitable: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Somebody waits for this."""

        async def wait() -> None:
            try:
                await awaitable
            except (Exception, asyncio.CancelledError):
                pass

        task = self.loop.create_task(wait())
        self.tasks.append(task)
        return task

    def pair(self) -> tuple[socket.socket, socket.socket]:
        a, b = socket.socketpair()
        a.setblocking(False)
        b.setblocking(False)
        self.sockets += [a, b]
        return a, b

    async def streams(self) -> tuple[Any, Any]:
        a, _ = self.pair()
        reader, writer = await rondeau.open_connection(sock=a)
        self.behind(reader.read(10))
        return reader, writer

    async def transport(self, kind: type = asyncio.Protocol) -> Any:
        a, _ = self.pair()
        transport, _ = await self.loop.create_connection(kind, sock=a)
        transport.write(b"x" * 1_000_000)
        return transport

    async def secure(self) -> Any:
        """The protocol between two ends of TLS."""
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.load_cert_chain(CERTIFICATE)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        a, b = self.pair()
        (transport, _), (other, _) = await asyncio.gather(
            self.loop.connect_accepted_socket(asyncio.Protocol, a, ssl=server),
            self.loop.create_connection(asyncio.Protocol, sock=b, ssl=client, server_hostname="x"),
        )
        transport.write(b"x" * 300_000)
        other.write(b"y" * 300_000)
        return transport

    async def entered(self, manager: Any) -> Any:
        started = self.loop.create_future()

        async def within() -> None:
            async with manager:
                started.set_result(None)
                await self.loop.create_future()

        self.behind(within())
        await started
        return manager

    def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        for each in self.sockets:
            each.close()


def _waited(make: Callable[[], Any], *waits: Callable[[Any], Any]) -> Callable[[Scene], Any]:
    async def made(scene: Scene) -> Any:
        thing = make()
        for wait in waits:
            scene.behind(wait(thing))
        await asyncio.sleep(0)
        return thing

    return made


async def _notified(condition: Any) -> None:
    async with condition:
        await condition.wait()


async def _give(value: Any) -> Any:
    return value


async def _begun(scene: Scene, coroutine: Any) -> Any:
    """A coroutine that waits."""
    scene.coroutine = coroutine  # type: ignore[attr-defined]
    try:
        coroutine.send(None)
    except StopIteration:
        pass
    return coroutine


def _future(scene: Scene) -> Any:
    return scene.loop.create_future()


async def _with_callbacks(scene: Scene) -> Any:
    future = _future(scene)
    scene.behind(future)
    future.add_done_callback(lambda _: None)
    await asyncio.sleep(0)
    return future


async def _done(scene: Scene) -> Any:
    future = _future(scene)
    future.set_exception(ValueError("x"))
    future.exception()
    return future


async def _value(value: Any) -> Any:
    return value


MAKERS: dict[str, Callable[[Scene], Any]] = {
    "lock": _waited(rondeau.Lock, *[lambda lock: lock.acquire()] * 3),
    "semaphore": _waited(lambda: rondeau.Semaphore(1), *[lambda semaphore: semaphore.acquire()] * 3),
    "bounded semaphore": _waited(lambda: rondeau.BoundedSemaphore(1), *[lambda semaphore: semaphore.acquire()] * 3),
    "event": _waited(rondeau.Event, *[lambda event: event.wait()] * 2),
    "condition": _waited(rondeau.Condition, _notified, _notified),
    "barrier": _waited(lambda: rondeau.Barrier(3), lambda barrier: barrier.wait(), lambda barrier: barrier.wait()),
    "queue": _waited(lambda: rondeau.Queue(1), *[lambda queue: queue.put(1)] * 2, lambda queue: queue.join()),
    "priority queue": _waited(lambda: rondeau.PriorityQueue(1), lambda queue: queue.put(1), lambda queue: queue.put(2)),
    "empty queue": _waited(rondeau.LifoQueue, lambda queue: queue.get(), lambda queue: queue.get()),
    "future": _with_callbacks,
    "failed future": _done,
    "task": lambda scene: _value(scene.behind(_future(scene))),
    "gather": lambda scene: _value(rondeau.gather(_future(scene), scene.behind(_future(scene)))),
    "shield": lambda scene: _value(rondeau.shield(_future(scene))),
    "as_completed": lambda scene: _value(rondeau.as_completed([_future(scene), _give(1)], timeout=100)),
    "handle": lambda scene: _value(scene.loop.call_soon(print)),
    "timer": lambda scene: _value(scene.loop.call_later(1000, int)),
    "sleep": lambda scene: _value(rondeau.sleep(0.001)),
    "sleeping": lambda scene: _begun(scene, rondeau.sleep(0.001)),
    "wait": lambda scene: _begun(scene, rondeau.wait([_future(scene)], timeout=0.01)),
    "wait_for": lambda scene: _begun(scene, rondeau.wait_for(_future(scene), 0.01)),
    "to_thread": lambda scene: _value(rondeau.to_thread(int)),
    "timeout": lambda scene: scene.entered(rondeau.timeout(100)),
    "unused timeout": lambda scene: _value(rondeau.timeout(0)),
    "group": lambda scene: scene.entered(rondeau.TaskGroup()),
    "acquire": lambda scene: _value(rondeau.Lock().acquire()),
    "sock_recv": lambda scene: _begun(scene, scene.loop.sock_recv(scene.pair()[0], 10)),
    "transport": lambda scene: scene.transport(),
    "buffered transport": lambda scene: scene.transport(asyncio.BufferedProtocol),
    "loop": lambda scene: _value(rondeau.new_event_loop()),
    "executor": lambda scene: _value(rondeau.new_event_loop()._default_executor),
}  # fmt: skip


async def _first(scene: Scene) -> Any:
    return (await scene.streams())[0]


async def _second(scene: Scene) -> Any:
    return (await scene.streams())[1]


async def _protocol(scene: Scene) -> Any:
    return (await scene.transport(lambda: rondeau.StreamReaderProtocol(rondeau.StreamReader())))._protocol  # type: ignore[arg-type]


async def _secure_protocol(scene: Scene) -> Any:
    return (await scene.secure())._ssl_protocol


MAKERS |= {
    "reader": _first,
    "writer": _second,
    "stream protocol": _protocol,
    "secure transport": lambda scene: scene.secure(),
    "secure protocol": _secure_protocol,
}


def attributes(thing: Any) -> Iterator[str]:
    """What may be set: what its type or its own dict names, and what asyncio's code sets."""
    names = {name for name in dir(type(thing)) if not name.startswith("__")} | set(getattr(thing, "__dict__", ()))
    return iter(sorted(names))
