"""Each method of each type: on what is not its own, on what was never or half initialised, with junk, with itself."""

import asyncio
import random
from typing import Any

import hostile
import rondeau
import surface
from attributes import ENDLESS

SKIPPED = ENDLESS | {"__class__", "__subclasshook__", "__init_subclass__", "__getattribute__", "__dir__", "__class_getitem__"}


def half(kind: type) -> Any:
    """Objects of a subclass whose `__init__` never ran, or stopped in the middle."""

    class Loop:
        def get_debug(self) -> bool:
            raise ValueError

        def __getattr__(self, name: str) -> Any:
            raise ValueError

    made: list[Any] = []
    for make in (lambda: type("Sub", (kind,), {}), lambda: type("Sub", (kind,), {"__slots__": ()}), lambda: kind):
        try:
            made.append(make().__new__(make()))
        except (TypeError, RuntimeError):
            continue
        for named in ({"loop": Loop()}, {"loop": 5}, {"maxsize": Loop()}, {"value": Loop()}, {"coro": 5, "loop": None}):
            try:
                thing = make().__new__(make())
                made.append(thing)
                thing.__init__(**named)
            except (Exception, asyncio.CancelledError):
                pass
    return made


async def one(number: int) -> None:
    chance = random.Random(number)
    scene = surface.Scene()
    every = surface.types()
    number, which = divmod(number, len(every))
    kind = every[which]
    names = sorted(name for name in set(dir(kind)) - SKIPPED if not surface.blocks(kind, name))
    name = names[number % len(names)]
    others: list[Any] = [scene.loop.create_future(), scene.loop]
    for maker in chance.sample(sorted(surface.MAKERS), 2):
        others.append(await surface.MAKERS[maker](scene))
    receivers = [*half(kind), *others, None, 5, object(), kind, chance.choice(every)]
    for receiver in receivers:
        values = [hostile.Hostile(chance, scene.loop.create_future), receiver, *hostile.plain()]
        if hashable(receiver):
            values += hostile.about(receiver, others)
        for count in (0, 1, 1, 1, 2, 2, 3):
            arguments = [chance.choice(values) for _ in range(count)]
            hostile.say(kind, name, type(receiver), [type(each).__name__ for each in arguments])
            try:
                # As a subclass would call it, past the instance's own; a descriptor is asked for its value too.
                method = getattr(kind, name)
                result = method(receiver, *arguments) if callable(method) else type(method).__get__(method, receiver)
                if callable(method) and chance.random() < 0.3:
                    result = getattr(receiver, name)(*arguments)
                if hasattr(result, "send") and chance.random() < 0.7:
                    await asyncio.wait([asyncio.ensure_future(result)], timeout=0)
            except (Exception, asyncio.CancelledError):
                pass
        try:
            repr(receiver)
        except (Exception, asyncio.CancelledError):
            pass
    await asyncio.sleep(0)
    scene.end()


def hashable(thing: Any) -> bool:
    try:
        hash(thing)
    except Exception:
        return False
    return True


def program(number: int) -> None:
    loop = rondeau.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        loop.run_until_complete(asyncio.wait_for(one(number), 2))
    except Exception:
        pass
    finally:
        try:
            loop.close()
        except Exception:
            pass
