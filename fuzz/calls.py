"""Random calls: whatever the extension has, on objects of every type, with junk, from within each other's hooks too."""

import asyncio
import collections
import copy
import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import hostile
import rondeau
import surface
from attributes import ENDLESS

STEPS = 150
NAMED = ("loop", "name", "context", "timeout", "limit", "when", "maxsize", "value", "return_when", "eager_start", "delay",
         "result", "msg", "n", "extra", "coro", "return_exceptions", "sock", "size", "protocol")  # fmt: skip
# They would end what runs the program, or start what outlives it.
SKIPPED = ENDLESS | {"__class__", "run", "_run", "__class_getitem__"}


class World:
    """Up to a few hundred objects, and one step after the other that does something with some of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.things: collections.deque[Any] = collections.deque(maxlen=300)
        self.kinds = surface.types()
        self.functions = surface.functions()
        self.scene = surface.Scene()
        self.hostile = hostile.Hostile(self.chance, self.step)
        self.values = [*hostile.plain(), self.hostile, self.step]
        self.makers = sorted(surface.MAKERS)
        self.depth = 0

    def thing(self) -> Any:
        return self.chance.choice(self.things) if self.things else None

    def value(self) -> Any:
        draw = self.chance.random()
        if draw < 0.4:
            return self.chance.choice(self.values)
        if draw < 0.75:
            return self.thing()
        if draw < 0.8:
            return hostile.Hostile(self.chance, self.step)
        if draw < 0.9:
            return self.chance.choice(
                [self.coroutine, self.waiting, lambda: hostile.bare(self.thing()), lambda: iter([self.thing()])]
            )()
        if draw < 0.95:
            return self.chance.choice([*self.kinds, self.scene.loop])
        return [self.value() for _ in range(self.chance.randint(0, 3))]

    def arguments(self) -> list[Any]:
        return [self.value() for _ in range(self.chance.choice((0, 0, 1, 1, 1, 2, 2, 3, 4)))]

    def named(self) -> dict[str, Any]:
        named = {self.chance.choice(NAMED): self.value() for _ in range(self.chance.choice((0, 0, 0, 1, 2)))}
        return named | ({"loop": self.scene.loop} if self.chance.random() < 0.2 else {})

    async def coroutine(self) -> Any:
        await asyncio.sleep(0)
        return self.thing()

    async def waiting(self) -> Any:
        await self.scene.loop.create_future()

    def subclass(self, kind: type) -> type:
        act = self.hostile._hook
        body: dict[str, Any] = self.chance.choice([
            {"__slots__": ()},
            {"__slots__": ("__dict__",)},
            {"__del__": lambda self: act(None)},
            {"__eq__": lambda self, other: act(True, False), "__hash__": lambda self: 1},
            {self.chance.choice(dir(kind)): self.chance.choice([None, 5, property(lambda _: self.value()), self.step])},
        ])  # fmt: skip
        try:
            return type("Sub", (kind,), body)
        except TypeError:
            return kind

    def step(self, *_: Any, **__: Any) -> Any:
        """One thing more; also what hooks do."""
        if self.depth > 3:
            return None
        self.depth += 1
        try:
            result = self.chance.choices(STEPS_OF_A_WORLD, WEIGHTS)[0](self)
        finally:
            self.depth -= 1
        if not isinstance(result, (int, str, bytes, type(None))) and result is not self.scene.loop:
            self.things.append(result)
        return result

    def make(self) -> Any:
        kind = self.chance.choice(self.kinds)
        if self.chance.random() < 0.3:
            kind = self.subclass(kind)
        if self.chance.random() < 0.3:
            return kind.__new__(kind)
        return kind(*self.arguments(), **self.named())

    def call(self) -> Any:
        return self.chance.choice(self.functions)(*self.arguments(), **self.named())

    def method(self) -> Any:
        thing = self.thing() if self.chance.random() < 0.85 else self.chance.choice(self.kinds)
        if thing is self.scene.loop or type(thing).__module__ in ("_asyncio", "builtins"):
            return None
        name = self.chance.choice(dir(type(thing)))
        if name in SKIPPED or surface.blocks(type(thing), name):
            return None
        hostile.say(type(thing), name)
        method = getattr(thing, name)
        return method(*self.arguments(), **self.named()) if callable(method) and not isinstance(method, type) else method

    def set(self) -> Any:
        thing = self.thing()
        if thing is self.scene.loop or isinstance(thing, type):
            return
        draw = self.chance.random()
        if draw < 0.1:
            thing.__class__ = self.chance.choice(
                [type(self.thing()), self.subclass(type(thing)), self.chance.choice(self.kinds)]
            )
            return
        name = self.chance.choice(dir(type(thing)))
        if draw < 0.35:
            delattr(thing, name)
        else:
            setattr(thing, name, self.value())

    def ask(self) -> Any:
        ask: Callable[[Any], Any] = self.chance.choice([
            repr, hash, bool, copy.copy, copy.deepcopy, weakref.ref, iter, len, dir, next, gc.get_referents,
            lambda thing: thing == self.value(), lambda thing: thing.__sizeof__(), lambda thing: vars(thing).clear(),
            lambda thing: weakref.ref(thing, self.step),
            lambda thing: type(thing).__init__(thing, *self.arguments(), **self.named()),
        ])  # fmt: skip
        thing = self.thing()
        return None if thing is self.scene.loop or thing is asyncio.current_task() else ask(thing)

    def forget(self) -> Any:
        if self.things:
            self.things.rotate(self.chance.randint(0, len(self.things)))
            self.things.pop()
        if self.chance.random() < 0.3:
            gc.collect(self.chance.choice((0, 1, 2)))

    def task(self) -> Any:
        return self.scene.loop.create_task(self.chance.choice((self.coroutine, self.waiting))())


STEPS_OF_A_WORLD = [World.make, World.call, World.method, World.set, World.ask, World.forget, World.task]
WEIGHTS = [18, 8, 45, 7, 6, 5, 4]


async def main(seed: int) -> None:
    world = World(seed)
    loop = world.scene.loop
    for number in range(STEPS):
        try:
            if number % 10 == 0:
                world.things.append(await surface.MAKERS[world.chance.choice(world.makers)](world.scene))
            world.step()
        except (Exception, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            pass
        if number % 5 == 0:
            try:
                await asyncio.sleep(0)
            except (Exception, asyncio.CancelledError):
                pass
        if asyncio._get_running_loop() is not loop:
            asyncio._set_running_loop(loop)
    world.scene.end()


def program(number: int) -> None:
    # Some with a collector that comes at every turn, some in debug mode.
    gc.set_threshold(*((3, 2, 2) if number % 5 == 0 else (700, 10, 10)))
    loop = rondeau.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    loop.set_debug(number % 7 == 0)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main(number))
    except (Exception, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
        pass
    finally:
        asyncio._set_running_loop(None)
        _close(loop)


def _close(loop: Any) -> None:
    try:
        asyncio.set_event_loop(None)
        loop.close()
    except Exception:
        pass
    gc.collect()
