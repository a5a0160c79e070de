"""Which tasks can never go on: they wait for one another in a circle, or for something that nobody else knows.

Called by `ps` and `pstree`. A claim must be right, so it is made only of what was read at one moment. A first look at all
tasks, which takes some slices of the program's time, picks candidates; these are read again, all at once, and judged again; and
where some have moved, what is left is read once more.

A task is given up only if nothing that was found could wake it: each task that it waits for is given up too, or what it waits
on (a future, an event, a queue …) is referred to by such tasks alone, by no other object and by no weak reference. A task that
runs or is ready, waits for a timer, a connection, a thread or a process, or has a time-out, goes on. What is left out is a
cancellation from outside, which would end any wait.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asking import Program
    from .snapshot import Snapshot, Task

# What somebody else has to do something to.
OBJECTS = {"lock", "semaphore", "event", "condition", "barrier", "queue get", "queue put", "queue join", "future"}
# More than these are not read at one moment, since that would take more than a few milliseconds of the program's time.
MOST = 2000


class Stuck:
    """The verdict.

    Attributes:
        circles: the tasks of each circle, in the order in which they wait for each other.
        orphans: tasks that wait on something that nobody else knows.
        behind: tasks that wait for one of these.
        snapshot: the moment that it is about; None where there was nothing to look at.
        left_out: tasks that were too many to be looked at.
    """

    def __init__(self) -> None:
        self.circles: list[list[Task]] = []
        self.orphans: list[Task] = []
        self.behind: list[Task] = []
        self.snapshot: Snapshot | None = None
        self.left_out = 0

    def __bool__(self) -> bool:
        return bool(self.circles or self.orphans)

    def lines(self) -> list[str]:
        """What there is to say, a line each."""
        found = []
        snapshot = self.snapshot
        if snapshot is None:
            return []
        for circle in self.circles:
            names = " waits for ".join(task.name for task in [*circle, circle[0]])
            found.append(f"deadlock: {names}")
            found += [f"    {task.name} ({snapshot.place(task)}): {snapshot.describe(task)}" for task in circle]
        for task in self.orphans:
            found.append(
                f"stuck: {task.name} ({snapshot.place(task)}) waits for ever: nobody else knows of {_what(snapshot, task)}"
            )
        if self.behind:
            names = ", ".join(task.name for task in self.behind[:8])
            found.append(f"    behind these: {names}{' …' if len(self.behind) > 8 else ''}")
        if self.left_out:
            found.append(f"({self.left_out} tasks wait on things that so many share that they were not looked into)")
        return found


def _what(snapshot: Snapshot, task: Task) -> str:
    assert task.wait is not None
    return f"the {task.wait.kind.split()[0]} that it waits on, {snapshot.thing(task.wait.object)}"


def find(program: Program, first: Snapshot) -> Stuck:
    """Judge; asks the program again where there are candidates."""
    verdict = Stuck()
    shared: dict[int, int] = {}
    for task in first.tasks:
        if _leaf(first, task):
            shared[task.wait.object] = shared.get(task.wait.object, 0) + 1  # type: ignore[union-attr]
    crowded = {address for address, count in shared.items() if count > 100}
    candidates = _given_up(first, lambda address: address not in crowded)
    verdict.left_out = sum(shared[address] for address in crowded)
    if len(candidates) > MOST:
        verdict.left_out += len(candidates)
        candidates = _given_up(first, lambda _: False)
        if len(candidates) > MOST:
            return verdict
    while candidates:
        objects = {task.wait.object for task in candidates.values() if _leaf(first, task) and task.wait}
        addresses = [" ".join(f"{address:x}" for address in line) for line in (candidates, objects)]
        now = type(first)(program.ask("\n".join(["some", *addresses])))
        now.times = first.times

        def unknown(address: int, now: Snapshot = now) -> bool:
            every, seen, weak = now.references.get(address, (1, 0, 0))
            return every == seen and weak == 0

        left = _given_up(now, unknown)
        if left.keys() == candidates.keys():
            verdict.snapshot = now
            _sort(now, left, verdict)
            return verdict
        candidates = left
    return verdict


def _leaf(snapshot: Snapshot, task: Task) -> bool:
    """Whether the task waits on an object, and no task is known that would have to act."""
    wait = task.wait
    if wait is None or wait.kind not in OBJECTS or not wait.object:
        return False
    return not (wait.kind == "lock" and snapshot.holders.get(wait.object))


def _given_up(snapshot: Snapshot, unknown) -> dict[int, Task]:  # type: ignore[no-untyped-def]
    """The tasks that nothing wakes, if nobody else knows the objects of which `unknown` says so."""
    waiting_for: dict[int, list[Task]] = {}
    alive: list[int] = []
    left: dict[int, Task] = {}
    for task in snapshot.tasks:
        needed = _needed(snapshot, task)
        if needed is None or (not needed and not unknown(task.wait.object)):  # type: ignore[union-attr]
            alive.append(task.address)
            continue
        left[task.address] = task
        for address in needed:
            if address in snapshot.by_address:
                waiting_for.setdefault(address, []).append(task)
            else:
                alive.append(task.address)  # It ended while we looked.
    while alive:
        address = alive.pop()
        left.pop(address, None)
        for task in waiting_for.pop(address, ()):
            if task.address in left:
                alive.append(task.address)
    return left


def _needed(snapshot: Snapshot, task: Task) -> list[int] | None:
    """The tasks without which it does not go on; empty: it waits on an object; None: it goes on, or may."""
    wait = task.wait
    if wait is None or task.state != "waiting" or task.until is not None or wait.open:
        return None
    if wait.tasks:
        return wait.tasks
    if _leaf(snapshot, task):
        return []
    if wait.kind == "lock" and wait.object:
        return [holder.address for holder in snapshot.holders[wait.object]]
    return None


def _sort(snapshot: Snapshot, left: dict[int, Task], verdict: Stuck) -> None:
    """Tell circles from orphans from who stands behind."""
    named: set[int] = set()
    for task in left.values():
        if _leaf(snapshot, task):
            verdict.orphans.append(task)
            named.add(task.address)
    done = set(named)
    for task in left.values():
        path: list[Task] = []
        at: Task | None = task
        while at is not None and at.address not in done:
            if at in path:
                circle = path[path.index(at) :]
                verdict.circles.append(circle)
                named.update(member.address for member in circle)
                break
            path.append(at)
            needed = _needed(snapshot, at) or []
            at = next((left[address] for address in needed if address in left), None)
        done.update(member.address for member in path)
    verdict.behind = [task for task in left.values() if task.address not in named]
