"""What `ps` prints: the programs that there are, or one's tasks with their states, waits and stacks, equal ones together."""

from __future__ import annotations

from collections import Counter

from .snapshot import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asking import Program
    from .snapshot import Snapshot, Task
    from .stuck import Stuck

STATES = ("running", "ready", "new", "waiting")
# As many tasks with the same stack and the same kind of wait are shown one by one; above that, the first two stand for all.
TOGETHER = 8


def programs(found: list[Program]) -> Iterator[str]:
    """A line for each program."""
    yield f"{'PID':>8}  {'LOOPS':>5}  {'STATE':<24}  COMMAND"
    for program in found:
        loops = program.greeting["loops"]
        yield f"{program.pid:>8}  {len(loops):>5}  {state(loops):<24}  {command(program.pid)}"


def state(loops: list[dict[str, object]]) -> str:
    """What the loops of a program do, in few words."""
    running = [loop for loop in loops if loop["running"]]
    if not running:
        return "no loop runs"
    if all(loop["parked"] for loop in running):
        return "waits"
    oldest = max(float(loop["last_ask"]) for loop in running if not loop["parked"])  # type: ignore[arg-type]
    return "runs" if oldest < 0.1 else f"runs since {oldest:.1f} s"


def command(pid: int) -> str:
    """The command line of a process."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return plain(file.read().replace(b"\0", b" ").decode(errors="replace").strip())
    except OSError:
        return "?"


def plain(text: str) -> str:
    """A text from a program with nothing in it that a terminal would act on."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def head(pid: int, snapshot: Snapshot) -> Iterator[str]:
    """What the process and its loops do."""
    counts = Counter(task.state for task in snapshot.tasks)
    states = ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])
    yield f"process {pid}: {len(snapshot.tasks)} tasks{f': {states}' if states else ''}"
    for loop in snapshot.loops:
        doing = "does not run"
        if loop["parked"]:
            doing = "waits in the kernel"
        elif loop["running"]:
            doing = "runs"
            if places := loop.get("stack"):
                place = snapshot.places[places[0]]
                doing += f" {place.function} {short(place.file)}:{place.line}"
        yield (
            f"loop {loop['number']}: {doing}; thread {loop['thread']}, {loop['ready']} ready, {loop['timers']} timers, "
            f"{loop['connections']} connections"
        )


def tasks(snapshot: Snapshot, each: bool = False) -> Iterator[str]:
    """A few lines for each task; many equal ones together unless `each` is set."""
    groups: dict[object, list[Task]] = {}
    for task in snapshot.tasks:
        key = (task.stack, task.state, task.loop, task.wait and task.wait[0])
        groups.setdefault(key, []).append(task)
    for task in snapshot.tasks:
        key = (task.stack, task.state, task.loop, task.wait and task.wait[0])
        group = groups[key]
        if each or len(group) <= TOGETHER:
            yield from one(snapshot, task)
        elif task is group[0]:
            yield from one(snapshot, task)
            yield from one(snapshot, group[1])
            yield f"… and {len(group) - 2} more with this stack, to {group[-1].name}"


def one(snapshot: Snapshot, task: Task) -> Iterator[str]:
    """A task: its name, state and wait, then its stack, outermost first."""
    words = task.state
    if task.wait is not None:
        words += f"  on {snapshot.describe(task)}"
    if task.cancels:
        words += "  [being cancelled]"
    if task.holds:
        words += f"  [holds {', '.join(snapshot.thing(lock) for lock in task.holds)}]"
    yield f"{task.name}  {words}"
    for place in snapshot.stack(task):
        yield f"    {place.function}  {f'{short(place.file)}:{place.line}' if place.file else '(native)'}"


def report(pid: int, snapshot: Snapshot, verdict: Stuck, each: bool = False) -> Iterator[str]:
    """All of `ps PID`."""
    yield from head(pid, snapshot)
    yield from verdict.lines()
    yield ""
    yield from tasks(snapshot, each)
