"""What `pstree PID` prints: who waits for whom, from the tasks that nobody waits for down to what holds them up."""

from __future__ import annotations

from .listing import TOGETHER, head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .snapshot import Snapshot, Task
    from .stuck import Stuck


def report(pid: int, snapshot: Snapshot, verdict: Stuck) -> Iterator[str]:
    """All of `pstree PID`."""
    yield from head(pid, snapshot)
    yield from verdict.lines()
    yield ""
    waited_for = {address for task in snapshot.tasks for address in _below(snapshot, task) if address != task.address}
    drawn: set[int] = set()
    roots = [task for task in snapshot.tasks if task.address not in waited_for]
    yield from _forest(snapshot, roots, drawn)
    # What is left goes round in circles: each is entered where it was first met.
    for task in snapshot.tasks:
        if task.address not in drawn:
            yield from _forest(snapshot, [task], drawn)


def _below(snapshot: Snapshot, task: Task) -> list[int]:
    """For which tasks this one waits: those that it awaits, or who holds the lock."""
    if task.wait is None:
        return []
    if task.wait.kind == "lock":
        return [holder.address for holder in snapshot.holders.get(task.wait.object, ())]
    return task.wait.tasks


def _forest(snapshot: Snapshot, roots: list[Task], drawn: set[int]) -> Iterator[str]:
    """Trees, one below the other. Roots that wait alike are told of together."""
    alike: dict[object, list[Task]] = {}
    for task in roots:
        leaf = not _below(snapshot, task)
        key = (task.stack, task.state, task.wait and task.wait[0]) if leaf else task.address
        alike.setdefault(key, []).append(task)
    for group in alike.values():
        shown = group if len(group) <= TOGETHER else group[:2]
        for task in shown:
            yield from _tree(snapshot, task, drawn)
        if len(group) > len(shown):
            drawn.update(task.address for task in group)
            yield f"… and {len(group) - len(shown)} more with this stack, to {group[-1].name}"


def _tree(snapshot: Snapshot, root: Task, drawn: set[int]) -> Iterator[str]:
    """One tree. An explicit stack, since tasks may wait for each other to any depth."""
    todo: list[tuple[Task, str, str]] = [(root, "", "")]
    while todo:
        task, first, rest = todo.pop()
        again = task.address in drawn
        yield f"{first}{_label(snapshot, task)}{' (see above)' if again and _below(snapshot, task) else ''}"
        if again:
            continue
        drawn.add(task.address)
        below = [snapshot.by_address[address] for address in _below(snapshot, task) if address in snapshot.by_address]
        shown = below if len(below) <= TOGETHER else below[: TOGETHER - 1]
        lines = [(child, f"{rest}├── ", f"{rest}│   ") for child in shown]
        if len(below) > len(shown):
            yield f"{rest}│   … and {len(below) - len(shown)} more"
            for child in below[len(shown) :]:
                if not _below(snapshot, child):
                    drawn.add(child.address)
        elif lines:
            child, _, _ = lines[-1]
            lines[-1] = (child, f"{rest}└── ", f"{rest}    ")
        todo.extend(reversed(lines))


def _label(snapshot: Snapshot, task: Task) -> str:
    wait = snapshot.describe(task)
    return f"{task.name}  {snapshot.place(task)}  {task.state}{f' on {wait}' if wait else ''}"
