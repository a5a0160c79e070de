"""The file of a recording: written whole, read with suspicion.

    offset  size  what
         0    12  89 52 4f 4e 44 45 41 55 0d 0a 1a 0a    magic; like PNG's, so that a transfer as text is noticed
        12     2  format version (1)
        14     2  bytes of one event (24)
        16     8  compressed size of the tables
        24     8  their size
        32     8  compressed size of the events
        40     8  how many events
        48     4  CRC-32 of all that follows byte 56
        52     4  CRC-32 of bytes 0 to 51
        56     -  the tables: JSON, zlib
         -     -  the events: packed rows (model.ROW), zlib
                  and nothing behind

All numbers little-endian. A reader refuses versions that it does not know: what is added later gets a new number.

A file may come from anywhere. Nothing is allocated before its size was checked, against what is really there and against the
limits below; decompression stops at the size that was promised; every field is looked at. What loads can be shown, so no
reader of a Recording checks again. Rejected: pickle (runs code), JSON for the events (twenty times the size and the time).
"""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any, NoReturn

from .model import ROW, WAIT_KINDS, Block, Events, Kind, Recording, TaskInfo, Wait

MAGIC = b"\x89RONDEAU\r\n\x1a\n"
VERSION = 1
HEAD = struct.Struct("<12sHHQQQQI")
CHECK = struct.Struct("<I")
START = HEAD.size + CHECK.size

MOST_EVENTS = 1 << 24  # 17 million, 400 MB: more than anybody looks at
MOST_TABLES = 1 << 27  # bytes of JSON: half a million tasks
DENSEST = 1032  # to one: zlib cannot compress better


class RecordingError(ValueError):
    """A file is not a recording, or not a whole one; the message names the file, what is wrong, and what to do."""


class _Wrong(Exception):
    """What is wrong, without the file's name."""


def save(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Called by Recording.save."""
    tables = json.dumps(_tables(recording), separators=(",", ":"), allow_nan=False).encode()
    events = recording.events.packed
    try:
        _check(recording)
    except _Wrong as error:
        raise RecordingError(f"cannot save this recording to {os.fspath(path)!r}: {error}") from None
    packed_tables, packed_events = zlib.compress(tables, 6), zlib.compress(events, 1)
    check = zlib.crc32(packed_events, zlib.crc32(packed_tables))
    head = HEAD.pack(
        MAGIC, VERSION, ROW.size, len(packed_tables), len(tables), len(packed_events), len(recording.events), check
    )
    with replacing(path) as descriptor, open(descriptor, "wb") as file:
        file.writelines([head, CHECK.pack(zlib.crc32(head)), packed_tables, packed_events])


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of a new file, which takes its place when the block is left, or vanishes with an exception.

    Used for the page and the trace as well. Whoever reads `path` meanwhile sees the old file or the new one, and a disk that is
    full leaves no half of one. Private to the user (0600, as mkstemp makes it): names of tasks and peers are nobody else's
    business.
    """
    folder, name = os.path.split(os.path.abspath(path))
    descriptor, partial = tempfile.mkstemp(prefix=f".{name[:200]}.", dir=folder)
    try:
        yield descriptor
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def load(path: str | os.PathLike[str]) -> Recording:
    """Called by Recording.load."""
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except _Wrong as error:
            raise RecordingError(f"cannot read {os.fspath(path)!r}: {error}") from None


def _read(file: Any, size: int) -> Recording:
    start = file.read(START)
    if not start.startswith(MAGIC):
        if start[:8] == MAGIC[:8]:
            _wrong("it was changed on its way, as a transfer in text mode does; copy it again as binary")
        _wrong("it is not a recording of Rondeau's; `python -m rondeau trace` and rondeau.dump() write them")
    if len(start) < START:
        _wrong(f"it ends after {len(start)} bytes, within its head; copy it again")
    (_, version, row, packed_tables, tables, packed_events, count, check) = HEAD.unpack_from(start)
    if CHECK.unpack_from(start, HEAD.size)[0] != zlib.crc32(start[: HEAD.size]):
        _wrong("its head is damaged (the checksum differs); copy it again")
    if version != VERSION:
        _wrong(f"it has format {version} and this Rondeau reads format {VERSION}; use the Rondeau that wrote it")
    if row != ROW.size:
        _wrong(f"its events have {row} bytes and not {ROW.size}")
    if count > MOST_EVENTS or tables > MOST_TABLES:
        _wrong(
            f"it holds {count:,} events and {tables:,} bytes of tables; at most {MOST_EVENTS:,} and {MOST_TABLES:,} are read"
        )
    if START + packed_tables + packed_events != size:
        _wrong(f"it has {size:,} bytes and should have {START + packed_tables + packed_events:,}; copy it again")
    if tables > packed_tables * DENSEST or count * row > packed_events * DENSEST:
        _wrong("it promises more than its compressed parts can hold")
    body = file.read(packed_tables + packed_events)
    if len(body) != packed_tables + packed_events or zlib.crc32(body) != check:
        _wrong("it is damaged (the checksum differs); copy it again")
    view = memoryview(body)
    text = _inflated(view[:packed_tables], tables, "tables")
    events = Events(_inflated(view[packed_tables:], count * row, "events"))
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=lambda name: _wrong(f"its tables contain {name}"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors.
        _wrong(f"its tables are not JSON ({type(error).__name__})")
    recording = _recording(found, events)
    _check(recording)
    return recording


def _inflated(packed: memoryview, size: int, what: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, size + 1)
    except zlib.error:
        _wrong(f"its {what} cannot be decompressed")
    if len(data) != size or not stream.eof or stream.unused_data:
        _wrong(f"its {what} are not as long as its head says")
    return data


# What the tables hold: a field's name, and what it must be.
_SCALARS = {"program": str, "python": str, "rondeau": str, "pid": int, "driver": str, "started": float}
_SCALARS |= {"duration": int, "lost": int}
_TASK = (int, str, str, str, str, int, int, str, int)
_WAIT = (str, str, int)
_BLOCK = (int, str, int, str, int)
_FIELDS = {*_SCALARS, "argv", "loops", "tasks", "waits", "blocks"}


def _tables(recording: Recording) -> dict[str, Any]:
    rows = {
        "tasks": [
            (t.id, t.name, t.kind, t.coroutine, t.file, t.line, t.creator, t.created_file, t.created_line)
            for t in recording.tasks.values()
        ],
        "waits": [(w.kind, w.text, w.other) for w in recording.waits],
        "blocks": [(b.duration, b.file, b.line, b.stack, b.task) for b in recording.blocks],
    }
    return {name: getattr(recording, name) for name in [*_SCALARS, "argv", "loops"]} | rows


def _recording(found: Any, events: Events) -> Recording:
    """From JSON of any shape to a Recording whose fields have their types."""
    if type(found) is not dict or found.keys() != _FIELDS:
        _wrong("its tables do not have the fields of a recording")
    if type(found["started"]) is int:
        found["started"] = float(min(found["started"], 1 << 62))
    for name, kind in _SCALARS.items():
        if type(found[name]) is not kind:
            _wrong(f"its field {name!r} is no {kind.__name__}")
    for name in ("argv", "loops"):
        if type(found[name]) is not list or any(type(word) is not str for word in found[name]):
            _wrong(f"its field {name!r} is no list of strings")
    scalars = {name: found[name] for name in [*_SCALARS, "argv", "loops"]}
    tasks = [TaskInfo(*row) for row in _rows(found, "tasks", _TASK)]
    waits = [Wait(*row) for row in _rows(found, "waits", _WAIT)]
    blocks = [Block(*row) for row in _rows(found, "blocks", _BLOCK)]
    by_id = {task.id: task for task in tasks}
    if len(by_id) != len(tasks):
        _wrong("it gives two of its tasks the same number")
    return Recording(**scalars, tasks=by_id, waits=waits, blocks=blocks, events=events)


def _rows(found: dict[str, Any], name: str, types: tuple[type, ...]) -> list[Any]:
    rows: Any = found[name]
    if type(rows) is not list:
        _wrong(f"its field {name!r} is no list")
    for number, row in enumerate(rows):
        if type(row) is not list or tuple(map(type, row)) != types:
            _wrong(f"its entry {number} of {name!r} is not of the form ({', '.join(kind.__name__ for kind in types)})")
    return rows


def _check(recording: Recording) -> None:
    """What a recording promises (see model.py). Types are right already."""
    numbers, times, lines = range(1 << 32), range(1 << 62), range(1 << 31)
    if not math.isfinite(recording.started) or abs(recording.started) > 1e11:
        _wrong("its start is no time")
    if recording.duration not in times or recording.lost not in range(1 << 63) or recording.pid not in numbers:
        _wrong("its duration, its count of lost events or its process number is out of range")
    if not 1 <= len(recording.loops) <= 1 << 16:
        _wrong(f"it has {len(recording.loops)} loops")
    for key, task in recording.tasks.items():
        if key != task.id or task.id not in numbers or not task.id or task.creator not in numbers:
            _wrong(f"its task {key} has numbers out of range")
        if task.line not in lines or task.created_line not in lines:
            _wrong(f"its task {key} has lines out of range")
        if task.kind not in ("task", "callback"):
            _wrong(f"its task {key} is neither a task nor a callback")
    for number, wait in enumerate(recording.waits):
        if wait.kind not in WAIT_KINDS or wait.other not in numbers:
            _wrong(f"its wait {number} has an unknown kind or a number out of range")
    for number, block in enumerate(recording.blocks):
        if block.duration not in times or block.line not in lines or block.task not in numbers:
            _wrong(f"its block {number} has numbers out of range")
    _check_events(recording)


def _check_events(recording: Recording) -> None:
    """Column by column: a second for 5 million."""
    events = recording.events
    if not len(events):
        return
    if len(events) > MOST_EVENTS:
        _wrong(f"it has {len(events):,} events, more than {MOST_EVENTS:,}")
    time = events.column("time")
    if not all(map(operator.le, time, time[1:])):
        _wrong("its events are not in the order of their times")
    if time[-1] > recording.duration:
        _wrong("it has an event after its end")
    del time
    kind = events.column("kind")
    if unknown := set(kind) - set(map(int, Kind)):
        _wrong(f"it has an event of unknown kind {min(unknown)}")
    if max(events.column("loop")) >= len(recording.loops):
        _wrong("it has an event of a loop that it does not name")
    nobody = {(k, s) for k, s in zip(kind, events.column("subject"), strict=True) if s not in recording.tasks}
    for kind_of_it, subject in nobody:
        if subject or kind_of_it not in (Kind.PARK, Kind.UNPARK, Kind.BLOCK):
            _wrong(f"it has an event of task {subject}, which it does not name")
    lengths = {int(Kind.WAIT): len(recording.waits), int(Kind.BLOCK): len(recording.blocks)}
    pointed = {(k, w) for k, w in zip(kind, events.column("wait"), strict=True) if k in lengths}
    for kind_of_it, index in pointed:
        if index >= lengths[kind_of_it]:
            _wrong(f"it has an event that points at {Kind(kind_of_it).name.lower()} {index}, which it does not have")


def _wrong(what: str) -> NoReturn:
    raise _Wrong(what)
