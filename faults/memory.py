"""`make faults`, third part: each allocation of CPython's fails in turn, under programs that use what is native.

A program is run once to count its allocations, then once for each of them, which fails. What is asked of every run:

- the process lives;
- the program ends as it should, or with MemoryError, or with what follows from one that was reported (where a callback failed,
  whoever waits for it hangs: asyncio has no other answer). Never a wrong result, never "SystemError: returned NULL without
  setting an exception", which is what code does that overlooks a failure;
- every task can be cancelled then and ends, and the loop serves on;
- nothing is left once the loop is closed: no descriptor, task, future, handle, transport, and not the loop itself.

On a debug interpreter each run is made several times and must leave no reference behind: a leak on an error's path.

Each program runs in a child of its own, for a crash to be seen as what it is; the next child goes on behind it. Where there are
many allocations, the first AT_MOST are taken and an even choice of the others, unless --all.

    python faults/memory.py [--only NAME] [--sample N] [--asyncio] [--all] [--in-a-row N] [--at N]
"""

import argparse
import asyncio
import ctypes
import faulthandler
import gc
import itertools
import logging
import pathlib
import random
import re
import subprocess
import sys
import time
import warnings
import weakref
from typing import Any

import case
import rondeau
from shim import descriptors
from starved import PROGRAMS, Given

HERE = pathlib.Path(__file__).parent
AT_MOST = 150
PATIENCE = 1.0
"""Seconds after which a program hangs; it is run again before it is said to."""
REPEATS = 5
FOR_MEMORY = re.compile("can't allocate lock|can't start new thread")
"""What CPython says in a MemoryError's place."""
FORGOTTEN = re.compile(
    "error return without exception set|<(function|built-in method) .*> returned NULL without setting an exception"
    "|the coroutine of a task failed without an exception"
)
"""What is said where 3.11 and 3.12 had no memory for a frame's object and forgot over it what was raised: the frame of a
function that ends with an error while somebody has its object keeps its caller's object as well, and where that cannot be made
`take_ownership` in CPython's Python/frame.c clears what is set ("Nothing we can do about it"). No loop is needed: a coroutine's
send() says it. From 3.13 on the hook spares that. Such a run is counted as known if what failed can have been a frame's object,
and is wrong otherwise."""
FORGETS = sys.version_info < (3, 13)
KNOWN = {
    # threading keeps a Thread that it could not start, and with it the pool's queue.
    "workers": ("the loop is kept", "left: ['<Future pending>']"),
}
"""What may be seen in these programs, and why."""
WATCHED = (asyncio.Future, asyncio.Handle, asyncio.BaseTransport)


def build(folder: pathlib.Path) -> pathlib.Path:
    """The hook, compiled by `cc` into `folder` unless it is there and newer than its source."""
    folder.mkdir(parents=True, exist_ok=True)
    source, made = HERE / "memory.c", folder / "faults-memory.so"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-g", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, source], check=True)
    return made


class Hook:
    """memory.c in this process."""

    def __init__(self, made: pathlib.Path) -> None:
        self._library = library = ctypes.PyDLL(str(made))
        library.memory_arm.argtypes = [ctypes.c_long, ctypes.c_long]
        library.memory_arm.restype = library.memory_disarm.restype = None
        library.memory_count.restype = ctypes.c_long
        library.memory_in.argtypes = [ctypes.c_char_p]
        library.memory_install()

    def arm(self, index: int, rows: int) -> None:
        self._library.memory_arm(index, index + rows)

    def disarm(self) -> None:
        while True:  # Calling it allocates.
            try:
                return self._library.memory_disarm()
            except MemoryError:
                pass

    @property
    def count(self) -> int:
        return self._library.memory_count()

    @property
    def fired(self) -> bool:
        return bool(self._library.memory_fired())

    @property
    def of_frame(self) -> bool:
        """Whether what failed may have been a frame's object: an object of variable size."""
        return bool(self._library.memory_in(b"_PyObject_GC_NewVar"))

    def tell(self) -> None:
        """Prints the stack of what failed."""
        sys.stdout.flush()
        self._library.memory_tell(1)


def starved(error: BaseException | None) -> bool:
    """Whether it is a MemoryError or comes of one."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, MemoryError) or FOR_MEMORY.fullmatch(str(one)) or forgotten(one):
            return True
        todo += [one.__context__, one.__cause__, *getattr(one, "exceptions", ())]
    return False


def forgotten(error: BaseException) -> bool:
    """Whether this is what is said when CPython itself lost an exception."""
    return FORGETS and isinstance(error, SystemError) and FORGOTTEN.fullmatch(str(error)) is not None


def refused(error: BaseException) -> bool:
    """Whether this is wrong whatever happened."""
    if FOR_MEMORY.fullmatch(str(error)):
        return False
    return isinstance(error, SystemError | AssertionError) or type(error).__name__ == "PanicException"


class Run:
    """One run of a program, and what was wrong with it."""

    def __init__(self, names, program, hook: Hook, index: int | None, rows: int) -> None:
        self.names = names
        self.wrong: list[str] = []
        self.hung = False
        self.reported: list[str] = []
        self.lack = False
        self.forgot = False
        gc.collect()
        gc.freeze()
        gc.disable()  # Its moments would differ.
        before = descriptors()
        sys.unraisablehook = self.unraisable
        given = Given()
        loop = asyncio.SelectorEventLoop() if names is asyncio else rondeau.new_event_loop()
        loop.set_exception_handler(self.report)
        loop.run_until_complete(asyncio.sleep(0))  # The first run makes the signals' socket pair, as CPython does it.
        try:
            self.drive(loop, program, given, hook, index, rows)
            self.afterwards(loop)
        finally:
            given.close()
            gc.enable()
            sys.unraisablehook = sys.__unraisablehook__
        loop = watch(loop)
        gc.collect()
        gc.collect()
        if loop() is not None:
            self.wrong.append("the loop is kept")
        left = [repr(thing) for thing in gc.get_objects() if issubclass(type(thing), WATCHED)]
        if left:
            self.wrong.append(f"left: {left}")
        after = {number: name for number, name in descriptors().items() if before.get(number) != name}
        after = {number: name for number, name in after.items() if not name.startswith(("/proc/", "/dev/null"))}
        if after:
            self.wrong.append(f"descriptors left: {after}")
        if self.forgot and not hook.of_frame:
            self.wrong.append("an exception was lost, and what failed was no frame's object")

    def report(self, loop, context: dict[str, Any]) -> None:
        self.note(context["message"], context.get("exception"))

    def unraisable(self, args) -> None:
        self.note("unraisable", args.exc_value)

    def note(self, text: str, error: BaseException | None) -> None:
        self.lack = self.lack or starved(error)
        self.reported.append(f"{text}: {error!r}")
        if error is not None and self.refuses(error):
            self.wrong.append(f"reported: {text}: {error!r}{case.where(error)}")

    def refuses(self, error: BaseException) -> bool:
        self.forgot = self.forgot or forgotten(error)
        return not forgotten(error) and refused(error)

    def drive(self, loop, program, given: Given, hook: Hook, index: int | None, rows: int) -> None:
        task = loop.create_task(program(self.names, given))

        def stop(_) -> None:
            loop.stop()

        task.add_done_callback(stop)
        limit = loop.call_later(PATIENCE, loop.stop)
        error = self.armed(loop, hook, index, rows)
        while error is not None and not task.done():  # The loop itself had no memory: a host may run it again.
            self.note("raised by run_forever", error)
            error = self.again(loop)
        limit.cancel()
        task.remove_done_callback(stop)
        if not task.done():
            self.hung = not self.lack
            if not self.lack:
                self.wrong.append(f"hangs in {task!r}")
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            follows = self.fired and (starved(error) or (self.lack and isinstance(error, case.SYSTEM)))
            if self.refuses(error) or not follows:
                self.wrong.append(f"ended with {error!r}{case.where(error)}")
            error.__traceback__ = None
            del error
        elif task.cancelled() and not self.lack:
            self.wrong.append("was cancelled")

    @staticmethod
    def again(loop) -> BaseException | None:
        try:
            loop.run_forever()
        except BaseException as error:
            return error
        return None

    def armed(self, loop, hook: Hook, index: int | None, rows: int) -> BaseException | None:
        """Runs the loop with the hook on, and nothing else: what is allocated here would fail here."""
        failed = None
        index, rows = (0, 0) if index is None else (index, rows)
        try:
            hook.arm(index, rows)
            loop.run_forever()
        except BaseException as error:
            failed = error
        finally:
            hook.disarm()
            if (
                asyncio._get_running_loop() is not None
            ):  # Up to 3.11 it takes memory to say so: asyncio's own end fails there as well.
                asyncio._set_running_loop(None)
                sys.set_asyncgen_hooks(None, None)
        self.count, self.fired = hook.count, hook.fired
        return failed

    def afterwards(self, loop) -> None:
        """Ends what is left, and asks whether the loop serves."""
        try:
            for _ in range(5):  # What is cancelled may start something to clean up.
                left = list(asyncio.all_tasks(loop))
                if not left:
                    break
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
            if left := [task for task in left if not task.done()]:
                self.wrong.append(f"tasks left: {left}")
            loop.run_until_complete(asyncio.wait_for(case.still_serves(), PATIENCE))
        except BaseException as error:
            self.wrong.append(f"the loop no longer serves: {error!r}{case.where(error)}")
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


def watch(loop):
    return weakref.ref(loop)


def indices(count: int, every: bool) -> list[int]:
    if every or count <= 2 * AT_MOST:
        return list(range(count))
    return [*range(AT_MOST), *range(AT_MOST, count, max(1, (count - AT_MOST) // AT_MOST))]


def references() -> int:
    gc.unfreeze()
    gc.collect()
    sys._clear_type_cache()
    return sys.gettotalrefcount()  # type: ignore[attr-defined]


def child(options: argparse.Namespace) -> int:
    """Runs one program from the `options.place`-th failure on; says where it is on standard output."""
    logging.getLogger("asyncio").disabled = True
    warnings.simplefilter("ignore")
    faulthandler.enable()
    faulthandler.dump_traceback_later(600, exit=True)
    names = asyncio if options.asyncio else rondeau
    name = options.child
    program = PROGRAMS[name]
    hook = Hook(build(options.build))
    count = 0
    for turn in range(5):
        run = Run(names, program, hook, None, 0)
        if run.wrong or run.reported:
            print(f"wrong {name} without a failure: {run.wrong} {run.reported}", flush=True)
            return 1
        if turn >= 2:  # The first ones fill caches.
            count = max(count, run.count)
    chosen = indices(count, options.all)
    if options.sample and len(chosen) > options.sample:
        chosen = sorted(random.Random(options.seed).sample(chosen, options.sample))
    if options.at is not None:
        chosen = [options.at]
    counted = hasattr(sys, "gettotalrefcount")
    fired = known = 0
    for place in range(options.place, len(chosen)):
        print(f"at {place} {chosen[place]}", flush=True)
        totals = [0] * REPEATS
        for turn in range(REPEATS):
            run = Run(names, program, hook, chosen[place], options.in_a_row)
            if turn == 0:
                fired += run.fired
                forgot = run.forgot
            if not counted and not run.hung:
                break
            if run.wrong and not run.hung:
                break
            if counted:
                found, run = run.wrong, None
                totals[turn] = references()
                if turn == REPEATS - 1:
                    deltas = [after - before for before, after in itertools.pairwise(totals[1:])]
                    if min(deltas) > 0:
                        found.append(f"references left: {deltas}")
            elif turn:
                break
        wrong = run.wrong if run is not None else found
        excused = all(text.startswith(KNOWN.get(name, ())) for text in wrong)
        if excused and (wrong or forgot):
            known += 1
        elif wrong:
            print(f"wrong {name}, allocation {chosen[place]}:", *wrong, sep="\n  ", flush=True)
            hook.tell()
    print(f"end {len(chosen)} {fired} {known} {count}", flush=True)
    return 0


def sweep(options: argparse.Namespace) -> int:
    ran = fired = failed = known = crashes = 0
    for name in PROGRAMS:
        if options.only and name not in options.only:
            continue
        begun = time.monotonic()
        bad = place = 0
        while True:
            command = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--child", name, "--place", str(place)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert process.stdout is not None
            said: list[str] = []
            at, end = "", None
            for line in process.stdout:
                word, *rest = line.split()[:5] or [""]
                if word == "at":
                    place, at = int(rest[0]) + 1, rest[1]
                    said = []
                elif word == "end":
                    end = [int(number) for number in rest]
                else:
                    bad += word == "wrong"
                    said.append(line)
                    if word == "wrong" or bad:
                        print(line, end="", flush=True)
            code = process.wait()
            if end is not None:
                break
            if not at and code >= 0:
                failed += 1
                print(f"{name}: the child ended with {code}", "".join(said))
                end = [0, 0, 0, 0]
                break
            bad += 1
            crashes += 1
            print(f"{name}, allocation {at}: the process ended with {code}", "".join(said), flush=True)
        ran, fired, known, failed = ran + end[0], fired + end[1], known + end[2], failed + bad
        print(
            f"{name}: {end[3]} allocations, {end[0]} failures, {bad} wrong, {time.monotonic() - begun:.1f} s",
            flush=True,
        )
    print(
        f"{ran} runs, in {fired} of which the allocation was made again and failed; {known} wrong as known, {failed} wrong, "
        f"{crashes} of these crashes"
    )
    return 1 if failed or not ran else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="this program (may be given several times)")
    parser.add_argument("--sample", type=int, help="so many failures of each program, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    parser.add_argument("--asyncio", action="store_true", help="the oracle's arm")
    parser.add_argument("--all", action="store_true", help="every allocation")
    parser.add_argument("--in-a-row", type=int, default=1, help="how many allocations fail")
    parser.add_argument("--at", type=int, help="this allocation only")
    parser.add_argument("--build", type=pathlib.Path, default=HERE / ".build", help="where the hook is made")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    return child(options) if options.child else sweep(options)


if __name__ == "__main__":
    sys.exit(main())
