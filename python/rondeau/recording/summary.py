"""A recording in words: what a person reads first, and can act on.

Called by the command line (`trace`, `view`) and by page.py for those who read the page without looking at it. Every figure
says what it is a figure of; a section with nothing in it is left out.
"""

from .analysis import analyse
from .lanes import Analysis, Held, Lane
from .model import WAIT_KINDS, Recording
from .words import called, duration, many, place, plain

MOST = 10  # entries of a list


def summary(recording: Recording | Analysis) -> str:
    """Some twenty lines, without the last line break."""
    found = recording if isinstance(recording, Analysis) else analyse(recording)
    sections = [_story(found)]
    if any(loop.seen for loop in found.loops):
        sections += [_loops(found), _waits(found), _blocks(found), _turns(found), _advice(found)]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def headline(found: Analysis) -> str:
    """The story in a sentence."""
    recording = found.recording
    wall = found.ended - found.began
    took = duration(wall)
    if not len(recording.events):
        return "no event was recorded: it ran no loop of Rondeau's meanwhile."
    runs, tasks = sum(loop.callback_runs for loop in found.loops), sum(not lane.housekeeping for lane in found.lanes)
    average = found.outside / max(wall, 1)
    if not tasks:
        text = f"{took} of wall time, {many(runs, 'callback')} and no task."
    elif not found.outside:
        text = f"{took} of wall time, in which nothing outside was waited for."
    elif found.most_at_once == 1:
        text = f"{took} of wall time, {duration(found.outside)} of waiting, one wait at a time."
    else:
        text = f"{took} of wall time, {duration(found.outside)} of waiting: "
        text += f"{average:,.{1 if average < 100 else 0}f} waits at a time, at most {found.most_at_once:,}."
    worst = max(found.loops, key=lambda loop: loop.blocked)
    if worst.blocked > (worst.ended - worst.began) // 10:
        name = "The loop" if len(found.loops) == 1 else f"The loop of {plain(worst.name)}"
        text += f" {name} was blocked for {duration(worst.blocked)}."
    return text


def _story(found: Analysis) -> list[str]:
    recording = found.recording
    lines = [f"{program(recording)}: {headline(found)}"]
    if recording.lost:
        lines.append(f"The ring was full: {many(recording.lost, 'event')} before these are gone.")
    return lines


def program(recording: Recording) -> str:
    """Its short name."""
    return plain(recording.program.rpartition("/")[2] or recording.program or "a program")


def _loops(found: Analysis) -> list[str]:
    lines = []
    for loop in found.loops:
        if not loop.seen:
            continue
        title = "The loop" if len(found.loops) == 1 else f"The loop of {plain(loop.name)}"
        total = loop.ended - loop.began
        rows = [("worked", loop.worked, _work(found) if len(found.loops) == 1 else many(loop.callback_runs, "callback"))]
        rows.append(("idled", loop.idle, "nothing was ready"))
        longest = ""
        if loop.longest_step:
            longest = f"; the longest, {duration(loop.longest_step)}: {_who(found, loop.longest_step_of)}"
        note = "see below" if loop.spans else f"no step took {duration(found.threshold)} or longer{longest}"
        rows.append(("was blocked", loop.blocked, note))
        lines.append(f"{title}, {duration(total)}:")
        lines += [f"  {what:<12}{duration(ns):>10} {ns / max(total, 1):>6.1%}   {note}" for what, ns, note in rows]
    if len(found.loops) > 1:
        lines.append(f"In all {_work(found)}.")
    return lines


def _work(found: Analysis) -> str:
    lanes = [lane for lane in found.lanes if not lane.housekeeping]
    steps = sum(lane.steps for lane in lanes)
    runs = sum(loop.callback_runs for loop in found.loops)
    text = f"{many(len(lanes), 'task')} in {many(steps, 'step')}, {many(runs, 'callback')}"
    odd = {how: sum(lane.outcome == how for lane in lanes) for how in ("failed", "cancelled", "pending")}
    if any(odd.values()):
        text += f" ({', '.join(f'{number:,} {how}' for how, number in odd.items() if number)})"
    return text


def _waits(found: Analysis) -> list[str]:
    by_kind: dict[str, list[tuple[str, int, int]]] = {}
    for wait, count, ns in found.by_wait:
        by_kind.setdefault(wait.kind, []).append((wait.text, count, ns))
    sums = [sum(lane.waiting[index] for lane in found.lanes if not lane.housekeeping) for index in range(len(WAIT_KINDS))]
    lines = []
    for ns, kind in sorted(((ns, kind) for ns, kind in zip(sums, WAIT_KINDS, strict=True) if ns), key=lambda row: -row[0]):
        texts = by_kind.get(kind, [])
        count = sum(count for _, count, _ in texts)
        named = [plain(text, 48) for text, _, _ in texts if text]
        note = ", ".join(named[:2]) + (f" and {len(named) - 2:,} more" if len(named) > 2 else "")
        lines.append(f"  {duration(ns):>10}  {kind:<11}{many(count, 'wait'):>12}   {note}".rstrip())
    return lines and ["What the tasks waited for:", *lines]


def _blocks(found: Analysis) -> list[str]:
    if not found.held:
        return []
    worst = sorted(found.held, key=lambda held: -held.duration)[:MOST]
    of = f", of {len(found.held):,}" if len(found.held) > MOST else ""
    lines = [f"What held the loop longest, and every other task with it{of}:"]
    return lines + [f"  {duration(held.duration):>10}  {where(found, held)}" for held in worst]


def where(found: Analysis, held: Held) -> str:
    """`app.py:12, in task 'fetch', at 1.20 s`."""
    at = place(held.file, held.line, found.recording.program)
    if at and not held.caught:
        at = f"somewhere in the function at {at}"
    words = [at, f"in {_whose(found, held.task)}", f"{duration(max(held.began - found.began, 0))} after the start"]
    return ", ".join(word for word in words if word)


def _whose(found: Analysis, number: int) -> str:
    info = found.recording.tasks.get(number)
    if info is None:
        return "the loop"
    return f"{info.kind} {plain(called(info))}"


def _who(found: Analysis, number: int) -> str:
    info = found.recording.tasks.get(number)
    at = place(info.file, info.line, found.recording.program) if info else ""
    return f"{_whose(found, number)}{f' ({at})' if at else ''}"


def _turns(found: Analysis) -> list[str]:
    delays = found.delays
    if not delays:
        return []
    slowest: list[Lane] = sorted(
        (lane for lane in found.lanes if lane.longest_ready and not lane.housekeeping), key=lambda lane: -lane.longest_ready
    )
    half, most = delays[len(delays) // 2], delays[min(len(delays) * 99 // 100, len(delays) - 1)]
    line = f"Half of those that were ready got their turn within {duration(half)}, 99 % within {duration(most)}"
    if not slowest:
        return [f"{line}."]
    return [f"{line}; the longest delays:"] + [
        f"  {duration(lane.longest_ready):>10}  {_who(found, lane.task.id)}" for lane in slowest[: MOST // 2]
    ]


def _advice(found: Analysis) -> list[str]:
    """At most two sentences, and only where the figures leave no doubt."""
    lines = []
    wall = found.ended - found.began
    worst = max(found.held, key=lambda held: held.duration, default=None)
    if worst is not None and worst.duration >= found.threshold:
        at = place(worst.file, worst.line, found.recording.program) or _whose(found, worst.task)
        lines.append(f"To do: let {at} run in a thread (asyncio.to_thread) or await something that does not block there.")
    if found.most_at_once == 1 and found.outside > wall / 2 and sum(c for w, c, _ in found.by_wait if w.kind != "task") > 1:
        lines.append("To do: the waits came one after another; a TaskGroup or gather would let them overlap.")
    busy = sum(loop.worked for loop in found.loops)
    if not lines and busy > wall * 0.9 * len(found.loops) and wall:
        lines.append("To do: the loop was hardly ever idle, so the work itself is what takes the time; profile it.")
    return lines
