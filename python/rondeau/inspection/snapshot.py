"""What a program answered: its tasks, on what each waits, and its loops. Read by everything that prints or judges."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Wait(NamedTuple):
    """On what a task waits."""

    kind: str
    object: int  # The address of the lock, queue, future …; 0: there is none.
    text: str  # What else is known: a peer, a process.
    tasks: list[int]  # The addresses of the tasks that it waits for.
    open: bool  # Something that is no task can end it as well.
    due: float | None  # A timer's time on the loop's clock.


class Task(NamedTuple):
    """A task, in the order in which it is sent."""

    address: int
    name: str
    loop: int
    state: str  # running, ready, waiting, or new: nothing of it has run.
    cancels: int
    stack: int
    wait: Wait | None
    holds: list[int]  # The addresses of the locks and semaphores whose `async with` it is in.
    until: float | None  # When a time-out ends the wait; -1: at a time that is not known.


class Place(NamedTuple):
    """A line of source, or a native function, which has no file."""

    file: str
    line: int
    function: str


class Snapshot:
    """All that one answer says of tasks.

    Args:
        answer: what the program said to `tasks` or `some`.
    """

    def __init__(self, answer: dict[str, Any]) -> None:
        texts = answer["texts"]
        self.places = [Place(texts[file], line, texts[name]) for file, line, name in answer["places"]]
        self.stacks: list[list[int]] = answer["stacks"]
        self.tasks = [Task._make((*row[:6], row[6] and Wait._make(row[6]), *row[7:])) for row in answer["tasks"]]
        self.by_address = {task.address: task for task in self.tasks}
        self.objects: dict[int, tuple[str, dict[str, Any]]] = {
            int(address): (kind, facts) for address, (kind, facts) in answer["objects"].items()
        }
        self.references: dict[int, tuple[int, int, int]] = {
            int(address): tuple(counts) for address, counts in answer.get("references", {}).items()
        }
        self.loops: list[dict[str, Any]] = answer.get("loops", [])
        self.times: dict[int, float] = {loop["number"]: loop["time"] for loop in self.loops}
        self.holders: dict[int, list[Task]] = {}
        for task in self.tasks:
            for lock in task.holds:
                self.holders.setdefault(lock, []).append(task)

    def stack(self, task: Task) -> list[Place]:
        """Where the task is suspended, outermost first."""
        return [self.places[place] for place in self.stacks[task.stack]]

    def place(self, task: Task) -> str:
        """The innermost line of the program's own code, for a single line of text."""
        stack = self.stack(task)
        for place in reversed(stack):
            if place.file and not is_librarys(place.file):
                return f"{place.function} {short(place.file)}:{place.line}"
        for place in reversed(stack):
            if place.file:
                return f"{place.function} {short(place.file)}:{place.line}"
        return stack[-1].function if stack else ""

    def name(self, address: int) -> str:
        """A task's name; its address where it has ended."""
        task = self.by_address.get(address)
        return task.name if task is not None else f"a task that has ended ({address:#x})"

    def seconds_left(self, task: Task, when: float) -> float:
        """For how long from the answer's moment on."""
        return when - self.times.get(task.loop, when)

    def describe(self, task: Task) -> str:
        """On what the task waits, in a few words."""
        wait = task.wait
        if wait is None:
            return ""
        words = wait.kind
        if wait.due is not None:
            words += f", {self.seconds_left(task, wait.due):.3g} s left"
        if wait.text:
            words += f" {'from' if wait.kind == 'read' else 'to' if wait.kind == 'write' else 'at'} {wait.text}"
        if wait.tasks:
            shown = ", ".join(self.name(address) for address in wait.tasks[:3])
            more = f" and {len(wait.tasks) - 3} more" if len(wait.tasks) > 3 else ""
            words = f"{shown}{more}" if wait.kind == "task" else f"{words} of {shown}{more}"
        if wait.object:
            words += f" {self.thing(wait.object)}"
            if wait.kind in ("lock", "semaphore"):
                words += self._held(wait)
        if task.until is not None:
            left = "at some time" if task.until == -1 else f"in {self.seconds_left(task, task.until):.3g} s"
            words += f" (time-out {left})"
        return words

    def _held(self, wait: Wait) -> str:
        holders = self.holders.get(wait.object)
        if holders:
            return f", held by {', '.join(task.name for task in holders[:3])}{' …' if len(holders) > 3 else ''}"
        if self.objects.get(wait.object, ("", {}))[1].get("locked"):
            return ", held by nobody who is in its `async with`"
        return ""

    def thing(self, address: int) -> str:
        """An object that is waited on, with its state."""
        kind, facts = self.objects.get(address, ("object", {}))
        words = f"<{kind} {address:#x}"
        if "size" in facts:
            most = f" of {facts['maxsize']}" if facts.get("maxsize") else ""
            words += f", {facts['size']}{most} items"
        if "value" in facts:
            words += f", value {facts['value']}"
        return f"{words}>"


def is_librarys(file: str) -> bool:
    """Whether a file is no program's own code."""
    return "/site-packages/" in file or "/asyncio/" in file or "/rondeau/" in file or file.startswith("<frozen")


def short(file: str) -> str:
    """A file by its last two names."""
    return "/".join(file.split("/")[-2:])
