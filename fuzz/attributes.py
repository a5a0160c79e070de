"""Each attribute of each object set to each piece of junk, or deleted; then everything on the object is called.

A program is one of them: object, attribute and junk follow from its number. `python attributes.py` lists how many there are.
"""

import asyncio
import random
from typing import Any

import hostile
import rondeau
import surface

JUNK = len(hostile.plain()) + 10
# What the interpreter calls without a name in the source.
HOOKS = ("__repr__", "__iter__", "__await__", "__aenter__", "__aexit__", "__aiter__", "__anext__", "__len__", "__bool__",
         "__sizeof__", "__next__", "__del__", "__contains__")  # fmt: skip
# These run or end the loop itself; `_run` of a handle is asked with the others.
ENDLESS = {"run_forever", "run_until_complete", "work", "serve_forever"}


async def exercise(thing: Any, most: int) -> None:
    """Calls all that it has, with arguments that fit a few of its methods."""
    for name in dir(type(thing)):
        if (name.startswith("__") and name not in HOOKS) or name in ENDLESS or surface.blocks(type(thing), name):
            continue
        for arguments in ((), (1,), (thing,), (None, None, None), (lambda *_: 1,), (b"xyz",))[:most]:
            try:
                method = getattr(thing, name)
                result = method(*arguments) if callable(method) else method
                if hasattr(result, "send") or hasattr(result, "__await__"):
                    task = asyncio.ensure_future(result)
                    if not task.done():
                        await asyncio.wait([task], timeout=0)
                    task.cancel()
            except (Exception, asyncio.CancelledError):
                pass
    await asyncio.sleep(0)


async def one(number: int) -> None:
    chance = random.Random(number)
    scene = surface.Scene()
    names = sorted(surface.MAKERS)
    number, which = divmod(number, len(names))
    name = names[which]
    thing = await surface.MAKERS[name](scene)
    await asyncio.sleep(0)
    attributes = list(surface.attributes(thing))
    number, which = divmod(number, len(attributes))
    attribute = attributes[which]

    def act() -> object:
        return getattr(thing, chance.choice(["cancel", "close", "release"]), int)()

    special: list[Any] = [None, hostile.Hostile(chance, act), *hostile.about(thing, [scene.loop, scene.loop.create_future()])]
    junk = special + hostile.plain()
    which = number % len(junk)
    hostile.say(name, attribute, "deleted" if which == 0 else "=", type(junk[which]).__name__)
    try:
        if which == 0:
            delattr(thing, attribute)
        else:
            setattr(thing, attribute, junk[which])
    except (AttributeError, TypeError, ValueError, OverflowError, RuntimeError):
        pass
    del junk, special
    await exercise(thing, 6)
    await asyncio.sleep(0.001)
    scene.end()


def program(number: int) -> None:
    loop = rondeau.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        loop.run_until_complete(asyncio.wait_for(one(number), 2))
    except Exception:
        pass
    finally:
        loop.close()


def count() -> int:
    """How many different ones there are, about."""
    return len(surface.MAKERS) * 40 * JUNK


if __name__ == "__main__":
    print(count())
