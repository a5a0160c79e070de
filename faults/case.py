"""One run of a scenario under the shim, and the verdict on what it left.

`run` gives what was wrong, as sentences; an empty list is a pass. What is asked of every run, whatever failed in it:

- it ends, by returning or by an error of the system (OSError, EOFError), and nothing else is reported to the exception handler;
- every task has ended, and the loop then still serves a connection;
- every number that was opened is closed, none twice, and none is used after it was closed;
- each byte that came was the connection's own.
"""

import asyncio
import faulthandler
import gc
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from shim import Shim, descriptors
from wire import Wire, close, serving

asyncio.constants.ACCEPT_RETRY_DELAY = 0.01  # A second each would be most of a sweep.

PATIENCE = 2.0
"""Seconds after which a run hangs. It is run a second time before it is said to: the machine may have been busy."""

SYSTEM = (OSError, EOFError, asyncio.CancelledError)


class Hung(Exception):
    """The scenario did not end."""


async def guarded(scenario, wire: Wire) -> None:
    task = asyncio.ensure_future(wire.steps(scenario(wire)))
    await asyncio.wait([task], timeout=PATIENCE)
    if not task.done():
        stack = "".join(f"\n    {name}" for name in waiting(task))
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        raise Hung(f"hangs in {stack}")
    task.result()


def waiting(task: asyncio.Task[Any]) -> list[str]:
    """Where the task and the others wait, innermost last."""
    names = []
    for other in asyncio.all_tasks():
        coro: Any = other.get_coro()
        chain = []
        while coro is not None:
            frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
            if frame is not None:
                chain.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
            coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
        names.append(" > ".join(chain))
    return names


async def still_serves() -> None:
    """The loop after it all: an echo."""

    async def handle(reader, writer):
        writer.write(await reader.readexactly(5))
        await close(writer)

    async with serving(await asyncio.start_server(handle, "127.0.0.1", 0)) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"alive")
        assert await reader.read() == b"alive"
        await close(writer)


def run(
    factory: Callable[[], asyncio.AbstractEventLoop],
    scenario,
    shim: Shim,
    *,
    fault: tuple[str, int, int] | None = None,
    step: Callable[[Any], Any] | None = None,
    invisible: bool = False,
) -> tuple[list[str], dict[str, int]]:
    """What was wrong with the run, and how often each call was made. `invisible`: the scenario must succeed all the same."""
    gc.collect()
    before = descriptors()
    wire = Wire(step)
    wrong: list[str] = []
    reported: list[dict[str, Any]] = []
    faulthandler.dump_traceback_later(300, exit=True)  # What hangs so that no time-out comes.
    warnings.simplefilter("ignore", ResourceWarning)
    unraisable: list[str] = []
    sys.unraisablehook = lambda args: unraisable.append(f"{type(args.exc_value).__name__}: {args.exc_value} in {args.object!r}")
    shim.begin(*fault) if fault else shim.begin()
    loop = None
    try:
        try:
            loop = factory()
            loop.set_exception_handler(lambda _, context: reported.append(context))
            finish(loop, guarded(scenario, wire), shim)
        except SYSTEM as error:
            if invisible and not (isinstance(error, asyncio.CancelledError) and step):
                wrong.append(f"a failure that must be made up for was raised: {error!r}{where(error)}")
        except Hung as error:
            wrong.append(str(error))
        except BaseException as error:
            wrong.append(f"raised {error!r}{where(error)}")
        counts = shim.counts()
        shim.disarm()
        if loop is not None:
            try:
                if left := [task for task in asyncio.all_tasks(loop) if not task.done()]:
                    loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
                if left := [task for task in left if not task.done()]:
                    wrong.append(f"tasks left: {left}")
                loop.run_until_complete(asyncio.wait_for(still_serves(), PATIENCE))
            except BaseException as error:
                wrong.append(f"the loop no longer serves: {error!r}{where(error)}")
            try:
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                loop.close()
        loop = None
        for context in reported:
            error = context.get("exception")
            if not isinstance(error, SYSTEM):
                wrong.append(f"reported: {context['message']}: {error!r}{where(error) if error else ''}")
        del reported[:]
        context = error = None
        gc.collect()
        wrong += [f"unraisable: {text}" for text in unraisable if "Error: [Errno" not in text and "OSError" not in text]
        wrong += wire.wrong
        for use in shim.uses():
            wrong.append(f"{use.call}({use.fd}) after its close:" + "".join(f"\n    {line}" for line in use.stack[2:14]))
    finally:
        shim.end()
        faulthandler.cancel_dump_traceback_later()
        sys.unraisablehook = sys.__unraisablehook__
    after = {number: name for number, name in descriptors().items() if before.get(number) != name}
    after = {number: name for number, name in after.items() if not name.startswith(("/proc/", "/dev/null"))}
    if after:
        wrong.append(f"descriptors left: {after}")
    return wrong, counts


def finish(loop: asyncio.AbstractEventLoop, coro, shim: Shim) -> None:
    """`run_until_complete` that goes on after the loop itself raised, as a host of loops may."""
    task = loop.create_task(coro)
    task.add_done_callback(lambda _: loop.stop())
    for _ in range(3):
        try:
            loop.run_forever()
        except OSError:
            continue
        if task.done():
            break
    if not task.done():
        raise Hung("the loop does not run on")
    task.result()


def where(error: BaseException) -> str:
    return "".join(f"\n    {line.rstrip()}" for line in traceback.format_tb(error.__traceback__)[-3:])
