"""A recording's file: what is saved is loaded, and whatever else is loaded gives one clear error."""

import dataclasses
import json
import os
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondeau.recording import Block, Event, Events, Kind, Recording, RecordingError, TaskInfo, Wait


def example():
    return Recording(
        program="kitchen.py",
        argv=["kitchen.py", "0.2", "\udcff"],
        python="3.13.0",
        rondeau="0.1.0",
        pid=42,
        driver="uring",
        started=1_790_000_000.25,
        duration=9_000_000_000,
        lost=3,
        loops=["MainThread", "kitchen 2"],
        tasks={
            7: TaskInfo(7, "soup </script>", "task", "soup", "/k/kitchen.py", 70, 0, "/k/kitchen.py", 188),
            (1 << 32) - 1: TaskInfo((1 << 32) - 1, "bell", "callback"),
        },
        waits=[Wait("socket", "read from 127.0.0.1:80"), Wait("lock", "the oven", 7)],
        blocks=[Block(200_000_000, "/k/kitchen.py", 55, "File ...", 7)],
        events=Events.of(
            [
                Event(0, 7, 0, kind=Kind.CREATED),
                Event(5, 7, 7, kind=Kind.READY),
                Event(5, 7, loop=1, kind=Kind.RUN),
                Event(8_000_000_000, 7, 0, 1, kind=Kind.WAIT),
                Event(8_000_000_001, 0, 0, 0, kind=Kind.BLOCK),
                Event(9_000_000_000, kind=Kind.PARK),
            ]
        ),
    )


def same(one, other):
    left, right = (dataclasses.replace(recording, events=Events()) for recording in (one, other))
    left.events = right.events = None
    return left == right and list(one.events) == list(other.events)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "whole.rondeau"
    example().save(path)
    return path.read_bytes()


def with_parts(tables, events, *, count=None, version=1, row=24):
    """A file whose checksums are right, whatever its parts are."""
    if not isinstance(tables, bytes):
        tables = json.dumps(tables).encode()
    packed = zlib.compress(tables), zlib.compress(events)
    count = len(events) // 24 if count is None else count
    check = zlib.crc32(packed[1], zlib.crc32(packed[0]))
    head = struct.pack(
        "<12sHHQQQQI", b"\x89RONDEAU\r\n\x1a\n", version, row, len(packed[0]), len(tables), len(packed[1]), count, check
    )
    return head + struct.pack("<I", zlib.crc32(head)) + packed[0] + packed[1]


def parts(data):
    size = struct.unpack_from("<Q", data, 16)[0]
    return json.loads(zlib.decompress(data[56 : 56 + size])), zlib.decompress(data[56 + size :])


def refused(tmp_path, data):
    path = tmp_path / "bad.rondeau"
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        Recording.load(path)
    message = str(caught.value)
    assert message.startswith(f"cannot read {str(path)!r}: it"), message
    assert len(message) < 400
    assert message.isprintable()
    return message


def test_what_is_saved_is_loaded(tmp_path):
    example().save(tmp_path / "it.rondeau")
    assert same(Recording.load(tmp_path / "it.rondeau"), example())
    assert os.listdir(tmp_path) == ["it.rondeau"]


def test_an_empty_recording_is_a_recording(tmp_path):
    Recording().save(tmp_path / "it.rondeau")
    assert same(Recording.load(tmp_path / "it.rondeau"), Recording())


def test_the_file_is_replaced_or_left_as_it_was(tmp_path):
    path = tmp_path / "it.rondeau"
    example().save(path)
    with pytest.raises(RecordingError, match="cannot save this recording to .* no time"):
        dataclasses.replace(example(), started=1e300).save(path)
    assert same(Recording.load(path), example())
    dataclasses.replace(example(), program="other.py").save(path)
    assert Recording.load(path).program == "other.py"
    assert os.listdir(tmp_path) == ["it.rondeau"]


def test_where_nothing_can_be_written_it_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        example().save(tmp_path / "no" / "it.rondeau")
    with pytest.raises(FileNotFoundError):
        Recording.load(tmp_path / "no.rondeau")


def test_events_are_a_sequence():
    events = example().events
    assert len(events) == 6
    assert events[-1] == Event(9_000_000_000, kind=Kind.PARK) == list(events)[5]
    with pytest.raises(IndexError):
        events[6]
    assert events.column("wait") == [0, 0, 0, 1, 0, 0]
    assert events.column("loop") == [0, 0, 1, 0, 0, 0]
    assert [tuple(event) for event in events] == list(events.rows())
    with pytest.raises(ValueError, match="no whole number"):
        Events(b"12345")


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_garbled_file_gives_one_clear_error(whole, tmp_path, data):
    kind = data.draw(st.sampled_from(["truncate", "flip", "splice", "append", "noise"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    match kind:
        case "truncate":
            garbled = whole[:place]
        case "flip":
            garbled = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
        case "splice":
            until = data.draw(st.integers(place, len(whole)))
            garbled = whole[:place] + data.draw(st.binary(max_size=64)) + whole[until:]
        case "append":
            garbled = whole + data.draw(st.binary(min_size=1, max_size=64))
        case "noise":
            garbled = data.draw(st.binary(max_size=200))
    if garbled != whole:
        refused(tmp_path, garbled)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_hostile_file_with_right_checksums_loads_or_gives_one_clear_error(whole, tmp_path, data):
    tables, events = parts(whole)
    odd = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1 << 40, -1, 0.5, "</script>"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )
    for _ in range(data.draw(st.integers(0, 3))):
        name = data.draw(st.sampled_from(sorted(tables)))
        if isinstance(tables[name], list) and tables[name] and isinstance(tables[name][0], list) and data.draw(st.booleans()):
            row = data.draw(st.integers(0, len(tables[name]) - 1))
            if isinstance(tables[name][row], list) and tables[name][row]:
                tables[name][row][data.draw(st.integers(0, len(tables[name][row]) - 1))] = data.draw(odd)
        else:
            tables[name] = data.draw(odd)
    events = bytearray(events)
    for _ in range(data.draw(st.integers(0, 3))):
        events[data.draw(st.integers(0, len(events) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "hostile.rondeau"
    path.write_bytes(with_parts(tables, bytes(events)))
    try:
        recording = Recording.load(path)
    except RecordingError as error:
        assert str(error).startswith(f"cannot read {str(path)!r}: it")  # noqa: PT017
    else:
        recording.save(path)
        assert same(Recording.load(path), recording)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["tasks"].append(t["tasks"][0]), "the same number"),
        (lambda t: t["tasks"][0].__setitem__(0, 6), "an event of task 7, which it does not name"),
        (lambda t: t["tasks"][0].__setitem__(2, "thread"), "neither a task nor a callback"),
        (lambda t: t["tasks"][0].__setitem__(5, -1), "lines out of range"),
        (lambda t: t["tasks"][0].__setitem__(6, 1 << 32), "numbers out of range"),
        (lambda t: t["tasks"][0].pop(), "entry 0 of 'tasks' is not of the form"),
        (lambda t: t["waits"].pop(), "points at wait 1, which it does not have"),
        (lambda t: t["blocks"].pop(), "points at block 0, which it does not have"),
        (lambda t: t["loops"].pop(), "of a loop that it does not name"),
        (lambda t: t["loops"].clear(), "it has 0 loops"),
        (lambda t: t.update(duration=8_999_999_999), "an event after its end"),
        (lambda t: t.update(started="now"), "'started' is no float"),
        (lambda t: t.update(started=float("nan")), "contain NaN"),
        (lambda t: t.update(pid=True), "'pid' is no int"),
        (lambda t: t.update(argv=[1]), "'argv' is no list of strings"),
        (lambda t: t.update(more=1), "do not have the fields"),
        (lambda t: t.pop("waits"), "do not have the fields"),
        (lambda t: t["waits"][0].__setitem__(0, "<b>"), "unknown kind"),
    ],
)
def test_each_wrong_table_is_named(whole, tmp_path, change, said):
    tables, events = parts(whole)
    change(tables)
    assert said in refused(tmp_path, with_parts(tables, events))


@pytest.mark.parametrize(
    ("place", "byte", "said"),
    [
        (7, 1, "not in the order"),
        (22, 99, "unknown kind 99"),
        (22, 0, "unknown kind 0"),
        (24 * 5 + 22, 3, "an event of task 0"),
    ],
)
def test_each_wrong_event_is_named(whole, tmp_path, place, byte, said):
    tables, events = parts(whole)
    events = bytearray(events)
    events[place] = byte
    assert said in refused(tmp_path, with_parts(tables, bytes(events)))


def test_what_is_no_recording_is_told_so(whole, tmp_path):
    tables, events = parts(whole)
    assert "not a recording" in refused(tmp_path, b"")
    assert "not a recording" in refused(tmp_path, b"#!/usr/bin/python")
    assert "transfer in text mode" in refused(tmp_path, whole.replace(b"\r\n", b"\n"))
    assert "within its head" in refused(tmp_path, whole[:40])
    assert "use the Rondeau that wrote it" in refused(tmp_path, with_parts(tables, events, version=2))
    assert "32 bytes and not 24" in refused(tmp_path, with_parts(tables, events, row=32))
    assert "not JSON (UnicodeDecodeError)" in refused(tmp_path, with_parts(b'{"program": "\xff"}', events))
    assert "not JSON (JSONDecodeError)" in refused(tmp_path, with_parts(b"{", events))
    assert "not JSON" in refused(tmp_path, with_parts(b'{"pid": ' + b"9" * 5000 + b"}", events))
    deep = refused(tmp_path, with_parts(b"[" * 200_000 + b"]" * 200_000, events))
    assert "not JSON (RecursionError)" in deep or "do not have the fields" in deep


def test_a_bomb_is_refused_before_it_is_unpacked(whole, tmp_path):
    tables, _ = parts(whole)
    bomb = bytes(24 * 4_000_000)
    assert "not as long as its head says" in refused(tmp_path, with_parts(tables, bomb, count=5_000))
    assert "promises more" in refused(tmp_path, with_parts(tables, b"\0" * 24, count=1 << 20))
    assert "are read" in refused(tmp_path, with_parts(tables, bomb, count=1 << 40))
