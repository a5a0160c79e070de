"""`explore`: many simulated runs, and the first failure made as plain as it goes."""

from __future__ import annotations

import mmap
import multiprocessing
import traceback
import warnings
from dataclasses import dataclass, field

from ._run import Result, attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from typing import Any

    Main = Callable[..., Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class Failure:
    """A run that failed.

    Attributes: seed: what repeats it: `run(main, seed=seed)` with the same `order`. order: how the
    ready were ordered. error: what was raised. found: steps, and decisions that were not zero, of
    the run with the seed. result: the plainest run found that fails in the same way; `run(main,
    decisions=result.decisions)` repeats it. shrinks: runs that were tried to find it.
    """

    seed: int
    order: str
    error: BaseException = field(repr=False)
    found: tuple[int, int]
    result: Result
    shrinks: int

    def __str__(self) -> str:
        steps, decided = self.found
        left = sum(map(bool, self.result.decisions))
        lines = [
            f"seed {self.seed} fails: {type(self.error).__name__}: {self.error}",
            f"  repeat it: simulation.run(main, seed={self.seed}, order={self.order!r})",
            f"  {steps} steps and {decided} decisions, of which {left} are needed ({self.shrinks} runs to find that)",
            "  the last events of the plainest run:",
        ]
        lines += [f"    {line}" for line in self.result.events[-12:]]
        lines += ["    " + line for part in traceback.format_exception(self.error) for line in part.rstrip().split("\n")]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """What came of many runs.

    Attributes:
        runs: how many were made.
        failure: the first that failed, in the order of the seeds; None: none did.
    """

    runs: int
    failure: Failure | None

    def __bool__(self) -> bool:
        """Whether all went well."""
        return self.failure is None

    def __str__(self) -> str:
        if self.failure is None:
            return f"{self.runs} runs, none failed"
        return f"{self.runs} runs, then {self.failure}"

    def check(self) -> None:
        """Raise what failed, with the story as a note; nothing if nothing did."""
        if self.failure is not None:
            self.failure.error.add_note(str(self).partition("\n    Traceback")[0])
            raise self.failure.error


def explore(
    main: Main,
    *,
    seeds: Iterable[int] = range(1000),
    jobs: int = 1,
    order: str | Sequence[str] = ("random", "pct"),
    changes: float = 0.01,
    shrinks: int = 500,
    most_steps: int = 10_000_000,
    wall: float = 1_767_225_600.0,
) -> Report:
    """Run a program with many seeds until one fails, and make that failure as plain as it goes.

    Args:
        main: as for `run`.
        seeds: one run each.
        jobs: processes that share the work: forks of this one.
        order: as for `run`; of several, each seed's is the one whose turn it is.
        changes: as for `run`.
        shrinks: runs that may be tried to make a failure plainer; 0 leaves it as it was found.
        most_steps: as for `run`.
        wall: as for `run`.

    Returns: A report. It is true if nothing failed; `report.check()` raises what did; printed, it
    tells the story.

    Raises:
        ValueError: there is no such `order`, or `jobs` is no number from 1 on.

    >>> import asyncio, rondeau.simulation as simulation
    >>> async def transfer(account):
    ...     before = account["sum"]
    ...     await asyncio.sleep(0)
    ...     account["sum"] = before + 1
    >>> async def main():
    ...     account = {"sum": 0}
    ...     await asyncio.gather(transfer(account), transfer(account))
    ...     assert account["sum"] == 2, account
    >>> simulation.explore(main, seeds=range(10)).failure.seed
    0
    """
    if jobs < 1:
        raise ValueError(f"jobs is a number of processes, from 1 on, and not {jobs!r}")
    orders = (order,) if isinstance(order, str) else tuple(order)
    every = list(seeds)

    def one(at: int, events: bool = False, decisions: list[int] | None = None) -> Result:
        return attempt(main, every[at], orders[at % len(orders)], changes, decisions, events, most_steps, wall)

    if jobs == 1 or len(every) < 2:
        at = next((at for at in range(len(every)) if one(at).error is not None), None)
    else:
        at = _together(lambda at: one(at).error is not None, len(every), jobs)
    if at is None:
        return Report(len(every), None)
    found = one(at, events=True)
    if found.error is None:
        raise RuntimeError(
            f"seed {every[at]} failed, and did not when it was run again: the program depends on something that the simulation "
            f"does not decide (threads of its own, addresses of objects, the order of a set, what an earlier run left behind)"
        )
    plainest, tried = _shrink(found, lambda decisions, events: one(at, events, decisions), shrinks)
    failure = Failure(
        seed=every[at],
        order=orders[at % len(orders)],
        error=found.error,
        found=(found.steps, sum(map(bool, found.decisions))),
        result=plainest,
        shrinks=tried,
    )
    return Report(at + 1, failure)


# Many processes


def _together(fails: Callable[[int], bool], count: int, jobs: int) -> int | None:
    """The first number below `count` that fails; each process takes every `jobs`-th."""
    jobs = min(jobs, count)
    # Each process has a place of its own in shared memory for what it has found: 0 for nothing, else the number and one.
    with mmap.mmap(-1, _PLACE * jobs) as found:
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=_work, args=(fails, count, jobs, job, found)) for job in range(jobs)]
        with warnings.catch_warnings():
            # A simulated program runs no threads, so the child misses none of those that the fork leaves behind.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            for worker in workers:
                worker.start()
        for worker in workers:
            worker.join()
            worker_ended = worker.exitcode
            worker.close()
            if worker_ended:
                raise RuntimeError(f"a process of the exploration ended with {worker_ended}")
        first = _first(found, count)
        return None if first == count else first


def _work(fails: Callable[[int], bool], count: int, jobs: int, job: int, found: mmap.mmap) -> None:
    for number in range(job, count, jobs):
        if number >= _first(found, count):
            return
        if fails(number):
            found[_PLACE * job : _PLACE * (job + 1)] = (number + 1).to_bytes(_PLACE, "little")
            return


def _first(found: mmap.mmap, count: int) -> int:
    places = [int.from_bytes(found[at : at + _PLACE], "little") for at in range(0, len(found), _PLACE)]
    return min((place - 1 for place in places if place), default=count)


_PLACE = 8


# Plainer failures


def _shrink(found: Result, again: Callable[[list[int], bool], Result], most: int) -> tuple[Result, int]:
    """Set ever smaller parts of the decisions to zero, as long as the run fails in the same way.

    Zero is the plainest decision each time: the first in line, no delay, no fault.
    """
    decisions, tried = found.decisions, 0
    kind = _kind(found.error)

    def fails(candidate: list[int]) -> bool:
        nonlocal tried
        tried += 1
        return bool(_kind(again(candidate, False).error) == kind)

    if most and fails(decisions):
        size = len(decisions)
        while size and tried < most:
            at = 0
            while at < len(decisions) and tried < most:
                part = decisions[at : at + size]
                if any(part):
                    candidate = decisions[:at] + [0] * len(part) + decisions[at + size :]
                    while candidate and not candidate[-1]:
                        candidate.pop()
                    if fails(candidate):
                        decisions = candidate
                at += size
            size //= 2
    plainest = again(decisions, True)
    return (plainest if _kind(plainest.error) == kind else found), tried


def _kind(error: BaseException | None) -> Any:
    """What makes two failures the same: the type, and the line that raised it."""
    if error is None:
        return None
    trace = traceback.extract_tb(error.__traceback__)
    place = (trace[-1].filename, trace[-1].lineno) if trace else None
    return type(error), place
