"""A recording as a trace that https://ui.perfetto.dev and chrome://tracing open: the Trace Event Format, as JSON.

Called by the command line (`trace`, `view --perfetto`). Each loop is a process there, each task a thread in it: slices for
running, ready and waiting, a flow arrow for each wake-up by another task, and the loop's own thread with idle and blocked.

The format: "Trace Event Format", Google, 2016. Its times are microseconds; three decimals keep the nanoseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from .analysis import analyse
from .lanes import IDLE, NOTHING, READY, RUNNING, WAITING, WORKING, Analysis
from .model import WAIT_KINDS, Recording
from .summary import program
from .words import called

LOOP_THREAD, CALLBACK_THREAD, FIRST_TASK = 1, 2, 3
# Names of chrome://tracing's palette; Perfetto takes its own colours.
COLOURS = {
    RUNNING: "thread_state_running",
    READY: "thread_state_runnable",
    WORKING: "thread_state_running",
    IDLE: "thread_state_sleeping",
}


def write_perfetto(recording: Recording | Analysis, path: str | os.PathLike[str]) -> None:
    """Write the trace of `recording` to `path`, one event a line. OSError as from open()."""
    found = recording if isinstance(recording, Analysis) else analyse(recording)
    with open(path, "w", encoding="ascii") as file:
        file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        before = ""
        for event in _events(found):
            file.write(before + json.dumps(event, separators=(",", ":")))
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
    home = _homes(found)  # for each lane: process and thread
    for number, loop in enumerate(found.loops):
        yield _named("process_name", number + 1, 0, f"{program(recording)}: {loop.name}")
        yield _named("thread_name", number + 1, LOOP_THREAD, "the loop")
        yield _named("thread_name", number + 1, CALLBACK_THREAD, "callbacks")
    for lane in found.lanes:
        yield _named("thread_name", *home[lane.index], called(lane.task))

    open_since: dict[int, tuple[int, int, int]] = {}
    by_id = {lane.task.id: lane.index for lane in found.lanes}
    segments = found.segments
    flows = 0
    for index, time, state, reference in zip(segments.lane, segments.start, segments.state, segments.reference, strict=True):
        before = open_since.pop(index, None)
        if before is not None:
            since, was, whom = before
            yield _slice(found, home[index], since, time - since, was, whom, index < 2 * loops)
        if state != NOTHING:
            open_since[index] = time, state, reference
        if state == READY and reference in by_id and by_id[reference] != index:
            flows += 1
            yield _flow("s", flows, home[by_id[reference]], time)
            yield _flow("f", flows, home[index], time)
    for held in found.held:
        event = _complete((held.loop + 1, LOOP_THREAD), held.began, held.duration, "blocked", "blocked")
        event["args"] = {"file": held.file, "line": held.line, "who": found.name(held.task), "stack": held.stack}
        yield event


def _homes(found: Analysis) -> dict[int, tuple[int, int]]:
    """Each task on the loop where it ran."""
    home = {}
    for number in range(len(found.loops)):
        home[2 * number], home[2 * number + 1] = (number + 1, LOOP_THREAD), (number + 1, CALLBACK_THREAD)
    loop_of: dict[int, int] = {}
    if len(found.loops) > 1:
        events = found.recording.events
        loop_of = dict(zip(events.column("subject"), events.column("loop"), strict=True))
    for number, lane in enumerate(found.lanes):
        home[lane.index] = loop_of.get(lane.task.id, 0) + 1, FIRST_TASK + number
    return home


def _slice(
    found: Analysis, home: tuple[int, int], since: int, took: int, state: int, reference: int, of_loop: bool
) -> dict[str, Any]:
    args: dict[str, Any] = {}
    if of_loop and state == RUNNING:
        name = category = "callback"
        name = found.name(reference)
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


def _complete(home: tuple[int, int], since: int, took: int, name: str, category: str) -> dict[str, Any]:
    process, thread = home
    return {"ph": "X", "pid": process, "tid": thread, "ts": since / 1000, "dur": took / 1000, "name": name, "cat": category}


def _flow(phase: str, number: int, home: tuple[int, int], time: int) -> dict[str, Any]:
    process, thread = home
    event = {"ph": phase, "pid": process, "tid": thread, "ts": time / 1000, "id": number, "name": "wakes", "cat": "wakes"}
    return event | {"bp": "e"} if phase == "f" else event


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": process, "tid": thread, "name": what, "args": {"name": name}}
