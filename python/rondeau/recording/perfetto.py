"""A recording as a trace that https://ui.perfetto.dev and chrome://tracing open: the Trace Event Format, as JSON.

Called by the command line (`trace`, `view --perfetto`). Each loop is a process there, each task a thread in it: slices for
running, ready and waiting, an arrow from who woke a task to the step that followed, and the loop's own thread with idle.

The format: "Trace Event Format", Google, 2016. Its times are microseconds; three decimals keep the nanoseconds. What both
viewers ask beyond it, by their importers (perfetto/src/trace_processor/importers/json, catapult/tracing/extras/importer):

    - Threads stand in the order of thread_sort_index; without one chrome://tracing sorts them by name.
    - Perfetto takes the thread whose number is its process's for the main one, and looks numbers up across processes.
    - The slices of a thread are disjoint or nested, an outer one first; hence blocks, which may overlap, have a thread of their
      own and are cut where they would. A slice without length is taken for the child of its neighbour by chrome://tracing.
    - An arrow starts at the slice that is open at that time, and must have one. Without "bp" it ends at the next slice that the
      file has on that thread, at that time or later. So events stand in the order of time, each arrow's end before its slice.
    - Perfetto refuses a file with an escaped surrogate in it, and a pair of them is how JSON in ASCII writes an emoji: UTF-8.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from typing import Any

from .analysis import analyse
from .file import replacing
from .lanes import IDLE, NOTHING, READY, RUNNING, WAITING, WORKING, Analysis, Segments
from .model import WAIT_KINDS, Recording
from .summary import program
from .words import called, place

# Names of chrome://tracing's palette; Perfetto takes its own colours.
COLOURS = {
    RUNNING: "thread_state_running",
    READY: "thread_state_runnable",
    WORKING: "thread_state_running",
    IDLE: "thread_state_sleeping",
}

Home = tuple[int, int]  # process and thread


def write_perfetto(recording: Recording | Analysis, path: str | os.PathLike[str]) -> None:
    """Write the trace of `recording` to `path`, private to the user, one event a line. OSError as from open()."""
    found = recording if isinstance(recording, Analysis) else analyse(recording)
    encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
    # A lone surrogate is no UTF-8.
    with replacing(path) as descriptor, open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        before = ""
        for event in _events(found):
            file.write(before + encode(event))
            before = ",\n"
        file.write('\n],"otherData":' + json.dumps(_about(found.recording)) + "}\n")


def _about(recording: Recording) -> dict[str, str]:
    return {
        "program": recording.program,
        "arguments": " ".join(recording.argv),
        "python": recording.python,
        "rondeau": recording.rondeau,
        "driver": recording.driver,
        "started": f"{recording.started:.6f}",
        "lost": str(recording.lost),
    }


def _events(found: Analysis) -> Iterator[dict[str, Any]]:
    recording = found.recording
    loops = len(recording.loops)
    home = _homes(found)  # for each lane
    for number, loop in enumerate(found.loops):
        yield _named("process_name", (number + 1, number + 1), f"{program(recording)}: {loop.name}")
        yield from _thread(home[2 * number], "the loop", 0)
        if any(held.loop == number for held in found.held):
            yield from _thread(_blocks_home(loops, number), "blocked", 1)
        yield from _thread(home[2 * number + 1], "callbacks", 2)
    for order, lane in enumerate(found.lanes, 3):
        yield from _thread(home[lane.index], called(lane.task), order)
    yield from _slices(found, home)
    yield from _blocks(found)


def _homes(found: Analysis) -> dict[int, Home]:
    """Each task on the loop where it ran. No two threads have one number, and only the loop's has its process's."""
    loops = len(found.loops)
    home = {}
    for number in range(loops):
        home[2 * number] = number + 1, number + 1
        home[2 * number + 1] = number + 1, loops + 2 * number + 1
    loop_of: dict[int, int] = {}
    if loops > 1:
        events = found.recording.events
        loop_of = dict(zip(events.column("subject"), events.column("loop"), strict=True))
    for number, lane in enumerate(found.lanes):
        home[lane.index] = loop_of.get(lane.task.id, 0) + 1, 3 * loops + 1 + number
    return home


def _blocks_home(loops: int, number: int) -> Home:
    return number + 1, loops + 2 * number + 2


def _slices(found: Analysis, home: dict[int, Home]) -> Iterator[dict[str, Any]]:
    segments, over = found.segments, found.recording.duration
    by_id = {lane.task.id: lane.index for lane in found.lanes}
    ran: dict[int, tuple[int, int]] = {}  # each lane's slice that runs, or that it ended with: from, to
    calling: dict[int, int] = {}  # a callback that runs: its lane
    woken: dict[int, int] = {}  # lanes to which an arrow is under way: its number
    flows, follows = 0, _following(segments)
    of_loops = 2 * len(found.loops)
    for index, time, state, reference, next_one in zip(
        segments.lane, segments.start, segments.state, segments.reference, follows, strict=True
    ):
        arrow = woken.pop(index, 0)
        if arrow and state == RUNNING:
            yield _flow("f", arrow, home[index], time)
        took = (segments.start[next_one] if next_one else over) - time
        if state == RUNNING:
            ran[index] = time, time + took
            if index < of_loops:
                calling[reference] = index
        elif state != NOTHING or index < of_loops:
            ran.pop(index, None)
        if state != NOTHING and (took or state != READY):
            yield _slice(found, home[index], time, took, state, reference, index < of_loops)
        if state == READY and reference:
            source = by_id.get(reference, calling.get(reference, index))
            if source != index and source in ran:
                flows += 1
                woken[index] = flows
                since, until = ran[source]
                # Who has ended meanwhile did it with its last nanosecond; at a slice's very end the viewers differ.
                yield _flow("s", flows, home[source], max(since, min(time, until - 1)))


def _following(segments: Segments) -> array[int]:
    """For each segment the one that comes after it in its lane; 0 for the last one."""
    follows, last = array("I", bytes(4 * len(segments.lane))), dict[int, int]()
    for number in range(len(segments.lane) - 1, -1, -1):
        lane = segments.lane[number]
        follows[number] = last.get(lane, 0)
        last[lane] = number
    return follows


def _slice(found: Analysis, home: Home, since: int, took: int, state: int, reference: int, of_loop: bool) -> dict[str, Any]:
    args: dict[str, Any] = {}
    if of_loop and state == RUNNING:
        name, category = found.name(reference), "callback"
    elif state >= WAITING and state < WORKING:
        category = WAIT_KINDS[state - WAITING]
        waits = found.recording.waits
        name = waits[reference].text if reference < len(waits) and waits[reference].text else category
        if reference < len(waits) and waits[reference].other:
            args["on"] = found.name(waits[reference].other)
    else:
        name = category = {RUNNING: "running", READY: "ready", WORKING: "working", IDLE: "idle"}[state]
        if state == READY:
            args["woken by"] = found.name(reference)
    event = _complete(home, since, took, name, category)
    if state in COLOURS:
        event["cname"] = COLOURS[state]
    if args:
        event["args"] = args
    return event


def _blocks(found: Analysis) -> Iterator[dict[str, Any]]:
    """Named by the line that blocked. A step within a step may have blocked too, and a watchdog's times are no exact ones."""
    ends: dict[int, list[int]] = {}  # for each loop those of the blocks that are open, the innermost last
    for held in sorted(found.held, key=lambda held: (held.began, -held.duration)):
        opened = ends.setdefault(held.loop, [])
        while opened and opened[-1] <= held.began:
            opened.pop()
        end = min([held.began + held.duration, *opened[-1:]])
        opened.append(end)
        where = place(held.file, held.line, found.recording.program)
        home = _blocks_home(len(found.loops), held.loop)
        event = _complete(home, held.began, end - held.began, where or found.name(held.task), "blocked")
        event["cname"] = "bad"
        event["args"] = {"file": held.file, "line": held.line, "who": found.name(held.task), "stack": held.stack}
        yield event


def _complete(home: Home, since: int, took: int, name: str, category: str) -> dict[str, Any]:
    process, thread = home
    return {"ph": "X", "pid": process, "tid": thread, "ts": since / 1000, "dur": took / 1000, "name": name, "cat": category}


def _flow(phase: str, number: int, home: Home, time: int) -> dict[str, Any]:
    process, thread = home
    return {"ph": phase, "pid": process, "tid": thread, "ts": time / 1000, "id": number, "name": "wakes", "cat": "wakes"}


def _thread(home: Home, name: str, order: int) -> Iterator[dict[str, Any]]:
    yield _named("thread_name", home, name)
    yield {"ph": "M", "pid": home[0], "tid": home[1], "name": "thread_sort_index", "args": {"sort_index": order}}


def _named(what: str, home: Home, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": home[0], "tid": home[1], "name": what, "args": {"name": name}}
