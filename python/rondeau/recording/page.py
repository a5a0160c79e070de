"""ONE self-contained HTML file that shows a recording: no server, no network, opened from the disk.

Called by the command line (`trace`, `view`). What it looks like and does is in web/: page.html with its slots, page.css, and
the scripts, which are put in as they are, one after another in one function. Its time 0 is where the first loop began.

Whatever a recording holds is data, and cannot become markup or code:

    - The data is JSON in a script element that the browser does not run; `<`, `>` and `&` in it are escapes of JSON, so nothing
      ends the element. What stands in the markup itself (title, headline, summary) is escaped.
    - The scripts insert text as text only (textContent, canvas).
    - A Content-Security-Policy allows the one script and the one style by their hashes, and nothing from anywhere.

The segments of all lanes are columns of numbers, compressed and in base64: a third of what the same as JSON would take, and the
browser unpacks them by itself. Rejected: a template library and a chart library (a dependency at run time each, for one page);
loading scripts from a network (the page is opened on machines that have none).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import operator
import os
import zlib
from array import array
from datetime import UTC, datetime
from importlib.resources import files
from string import Template
from typing import Any

from .analysis import analyse
from .file import replacing
from .lanes import Analysis, Lane, Segments
from .model import WAIT_KINDS, Recording
from .summary import headline, program, summary
from .words import called, place

SCRIPTS = ["data", "range", "paint", "lanes", "overview", "details", "table", "main"]
OUTCOMES = ["pending", "done", "cancelled", "failed"]


def write_page(recording: Recording | Analysis, path: str | os.PathLike[str]) -> None:
    """Write the page of `recording` to `path`, private to the user. OSError as from open()."""
    text = page(recording)
    with replacing(path) as descriptor, open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def page(recording: Recording | Analysis) -> str:
    """The page, as text; ASCII but for what web/ itself contains."""
    found = recording if isinstance(recording, Analysis) else analyse(recording)
    source = files(__package__).joinpath("web")
    style = source.joinpath("page.css").read_text("utf-8")
    scripts = [source.joinpath(f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(scripts) + "})();\n"
    return Template(source.joinpath("page.html").read_text("utf-8")).substitute(
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        title=_text(program(found.recording)),
        headline=_text(headline(found)),
        summary=_text(summary(found)),
        data=_json(_data(found)),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str) -> str:
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode()


def _json(data: Any) -> str:
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(found: Analysis) -> dict[str, Any]:
    """What web/data.js reads."""
    recording, zero = found.recording, found.began
    where = functools.partial(place, program=recording.program)
    callbacks = {number: called(info) for number, info in recording.tasks.items() if info.kind == "callback" and number}
    return {
        "program": program(recording),
        "command": " ".join(recording.argv) or recording.program,
        "facts": _facts(recording),
        "duration": found.ended - zero,
        "outside": found.outside,
        "atOnce": found.most_at_once,
        "threshold": found.threshold,
        "kinds": WAIT_KINDS,
        "outcomes": OUTCOMES,
        "loops": [
            (
                *(loop.name, loop.began - zero, loop.ended - zero, loop.worked, loop.idle, loop.blocked),
                [(since - zero, until - zero) for since, until in loop.spans],
            )
            for loop in found.loops
        ],
        "lanes": [_lane(lane, recording, zero) for lane in found.lanes],
        "waits": [(WAIT_KINDS.index(wait.kind), wait.text, wait.other) for wait in recording.waits],
        "byWait": _outside_by_kind(found),
        "held": [
            (held.began - zero, held.duration, held.loop, held.task, where(held.file, held.line), held.stack, held.caught)
            for held in found.held
        ],
        "callbacks": callbacks,
        "segments": _packed(found.segments, zero),
        "count": len(found.segments.start),
    }


def _lane(lane: Lane, recording: Recording, zero: int) -> tuple[Any, ...]:
    info = lane.task
    return (
        info.id,
        called(info),
        info.coroutine,
        place(info.file, info.line, recording.program),
        info.creator,
        place(info.created_file, info.created_line, recording.program),
        lane.began - zero,
        lane.ended - zero,
        OUTCOMES.index(lane.outcome),
        lane.running,
        lane.ready,
        lane.waited,
        lane.steps,
        lane.longest_ready,
        lane.housekeeping,
    )


def _outside_by_kind(found: Analysis) -> list[int]:
    """For each kind, how long all tasks waited for it."""
    return [sum(lane.waiting[kind] for lane in found.lanes if not lane.housekeeping) for kind in range(len(WAIT_KINDS))]


def _facts(recording: Recording) -> list[str]:
    facts = []
    if recording.started:
        facts.append(datetime.fromtimestamp(recording.started, UTC).strftime("%d %B %Y, %H:%M:%S UTC"))
    facts += [f"Python {recording.python}"] * bool(recording.python)
    facts += [f"Rondeau {recording.rondeau}"] * bool(recording.rondeau)
    facts += [recording.driver] * bool(recording.driver) + [f"process {recording.pid}"] * bool(recording.pid)
    facts.append(f"{len(recording.events):,} events")
    if recording.lost:
        facts.append(f"{recording.lost:,} older ones overwritten")
    return facts


def _packed(segments: Segments, zero: int) -> str:
    """The columns: time since the segment before (float64), lane, reference (uint32), state (uint8); zlib, base64."""
    start = segments.start
    steps = array("d", map(operator.sub, start[1:], start[:-1]))
    columns: list[array[Any]] = [
        array("d", [start[0] - zero] if start else []) + steps,
        segments.lane,
        segments.reference,
        segments.state,
    ]
    stream = zlib.compressobj(4)
    packed = b"".join([*(stream.compress(_little(column)) for column in columns), stream.flush()])
    return base64.b64encode(packed).decode()


def _little(column: array[Any]) -> bytes:
    if (1).to_bytes(2, "little") != array("H", [1]).tobytes():
        column.byteswap()
    return column.tobytes()
