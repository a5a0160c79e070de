"""From events to lanes: states, sums, what counts as waiting outside, as a block, as a turn's delay."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recordings import MS, Maker, crowd, kitchen, most_running, work_queue
from rondeau.recording import Event, Events, Kind, Recording, TaskInfo, Wait, analyse
from rondeau.recording.lanes import IDLE, NOTHING, READY, RUNNING, WAITING, WORKING
from rondeau.recording.model import WAIT_KINDS

TIMER, SOCKET, TASK, FUTURE = (WAITING + WAIT_KINDS.index(kind) for kind in ("timer", "socket", "task", "future"))


def sums_hold(found):
    """What every analysis promises."""
    for lane in found.lanes:
        assert lane.running + lane.ready + lane.waited == lane.lifetime, lane
        assert min(lane.running, lane.ready, *lane.waiting) >= 0
    for loop in found.loops:
        assert loop.worked + loop.idle + loop.blocked == loop.ended - loop.began
        assert min(loop.worked, loop.idle, loop.blocked) >= 0, loop
    segments = found.segments
    running, last = {}, {}
    for lane, start, state in zip(segments.lane, segments.start, segments.state, strict=True):
        assert start >= last.get(lane, 0)
        last[lane] = start
        running[lane] = state == RUNNING
    assert not any(running.values())  # Every lane ends.


def states(found, lane):
    segments = found.segments
    return [
        (start / MS, state)
        for which, start, state in zip(segments.lane, segments.start, segments.state, strict=True)
        if which == lane
    ]


def test_the_kitchens_dishes_wait_at_once():
    found = analyse(kitchen())
    sums_hold(found)
    main, soup, roast, salad, dessert = found.lanes
    assert [lane.waited // MS for lane in found.lanes] == [1040, 1000, 800, 400, 600]
    assert found.most_at_once == 4
    assert found.outside == sum(lane.waited for lane in (soup, roast, salad, dessert))
    assert main.waiting[WAIT_KINDS.index("task")] == main.waited
    assert found.held == []
    assert found.loops[0].longest_step_of == soup.task.id


def test_the_work_queues_lanes_add_up():
    found = analyse(work_queue())
    sums_hold(found)
    assert found.most_at_once == 2
    assert found.outside == 3_200 * MS
    assert [(wait.text, count, ns // MS) for wait, count, ns in found.by_wait if wait.kind == "timer"] == [
        ("sleep 1.5 s", 1, 1500),
        ("sleep 1 s", 1, 1000),
        ("sleep 0.5 s", 1, 500),
        ("sleep 0.2 s", 1, 200),
    ]


def test_a_lane_is_what_happened():
    m = Maker()
    task = m.task("a")
    m.at(1)
    m.run(task)
    m.at(3)
    m.wait(task, "timer", "sleep")
    m.park()
    m.at(8)
    m.unpark()
    m.ready(task)
    m.at(9)
    m.run(task)
    m.at(13)
    m.done(task, Kind.FAILED)
    found = analyse(m.made(20))
    sums_hold(found)
    (lane,) = found.lanes
    assert (lane.running, lane.ready, lane.waited, lane.steps) == (6 * MS, 2 * MS, 5 * MS, 2)
    assert (lane.began, lane.ended, lane.outcome, lane.longest_ready) == (0, 13 * MS, "failed", MS)
    assert found.delays == [MS, MS]
    assert states(found, 2) == [(0, READY), (1, RUNNING), (3, TIMER), (8, READY), (9, RUNNING), (13, NOTHING)]
    assert states(found, 0) == [(0, WORKING), (3, IDLE), (8, WORKING), (13, NOTHING)]
    assert (found.began, found.ended) == (0, 13 * MS)


def test_a_yield_is_a_step_that_is_ready_again():
    m = Maker()
    task = m.task("a")
    m.run(task)
    m.at(2)
    m.ready(task, task)
    m.at(3)
    m.run(task)
    m.at(4)
    m.done(task)
    (lane,) = analyse(m.made()).lanes
    assert (lane.running, lane.ready, lane.steps) == (3 * MS, MS, 2)


def test_an_eager_task_runs_within_its_makers_step():
    m = Maker()
    outer = m.task("outer")
    m.run(outer)
    m.at(1)
    inner = m.task("inner", creator=outer)
    m.run(inner)
    m.at(5)
    m.wait(inner, "timer", "sleep")
    m.at(6)
    m.done(outer)
    found = analyse(m.made())
    sums_hold(found)
    assert [lane.running for lane in found.lanes] == [2 * MS, 4 * MS]
    assert found.lanes[0].ready == 4 * MS
    assert found.lanes[0].longest_ready == 0  # It stood aside; it did not wait for a turn.


def test_never_two_run_at_one_time():
    for recording in (kitchen(), work_queue(), crowd(50, 8)):
        found = analyse(recording)
        sums_hold(found)
        assert most_running(found) == 1


def test_waits_for_others_work_are_not_outside():
    m = Maker()
    one, two = m.task("one"), m.task("two")
    bell = m.task("bell", kind="callback")
    ends = {"queue": two, "lock": two, "future": two, "thread": 0, "socket": 0}
    for kind, by in ends.items():
        m.run(one)
        m.wait(one, kind, kind)
        m.at(m.now / MS + 10)
        m.ready(one, by)
    assert analyse(m.made()).outside == 20 * MS
    m.run(one)
    m.wait(one, "future", "resolved by a callback")
    m.at(m.now / MS + 10)
    m.ready(one, bell)
    m.run(one)
    m.wait(one, "future", "never resolved")
    m.at(m.now / MS + 10)
    found = analyse(m.made())
    sums_hold(found)
    assert found.outside == 30 * MS
    assert found.most_at_once == 1


def test_what_takes_as_long_as_the_threshold_is_a_block():
    m = Maker()
    task, bell = m.task("task", line=7), m.task("ring", line=40, kind="callback")
    m.run(task)
    m.at(100)
    m.wait(task, "timer", "sleep")
    m.callback(bell, 99)
    m.callback(bell, 250)
    m.park()
    m.at(500)
    found = analyse(m.made())
    sums_hold(found)
    assert [(held.began // MS, held.duration // MS, held.task, held.line, held.caught) for held in found.held] == [
        (0, 100, task, 7, False),
        (199, 250, bell, 40, False),
    ]
    (loop,) = found.loops
    assert (loop.blocked, loop.idle, loop.worked, loop.callback_runs) == (350 * MS, 51 * MS, 99 * MS, 2)
    assert [held.duration // MS for held in analyse(m.made(), threshold=200 * MS).held] == [250]


def test_a_watchdogs_find_and_the_step_it_saw_are_one():
    m = Maker()
    task = m.task("task", line=7)
    m.run(task)
    m.at(300)
    m.wait(task, "timer", "sleep")
    m.block(290, "/app/app.py", 12, "the stack", task)  # It began to count a little later, and told a little later.
    m.at(400)
    m.block(50, "/app/other.py", 3)
    m.block(50, "", 0)  # Short, and nothing is known of it.
    m.park()
    found = analyse(m.made())
    sums_hold(found)
    assert [(held.duration // MS, held.line, held.stack, held.caught, held.task) for held in found.held] == [
        (300, 12, "the stack", True, task),
        (50, 3, "", True, 0),
    ]
    assert found.loops[0].blocked == 300 * MS  # What is shorter than the threshold is told, and counts as work.


def test_a_recording_from_the_middle_of_things():
    tasks = {number: TaskInfo(number, f"t{number}") for number in (1, 2, 3, 4)}
    events = Events.of(
        [
            Event(10, 0, kind=Kind.UNPARK),
            Event(15, 1, kind=Kind.READY),
            Event(16, 1, kind=Kind.RUN),
            Event(18, 1, kind=Kind.DONE),
            Event(19, 2, kind=Kind.RUN),
            Event(25, 2, wait=0, kind=Kind.WAIT),
            Event(26, 4, kind=Kind.RETURN),
            Event(30, 3, kind=Kind.WAIT),
        ]
    )
    found = analyse(Recording(duration=40, tasks=tasks, waits=[Wait("socket", "read")], events=events, lost=99))
    sums_hold(found)
    one, two, three = found.lanes
    assert (one.began, one.waited, one.ready, one.running) == (10, 5, 1, 2)  # It waited, for something unknown.
    assert (two.began, two.running, two.waited) == (19, 6, 15)
    assert (three.began, three.running, three.waited) == (30, 0, 10)
    assert found.outside == 15 + 10 + 5


def test_a_long_step_counts_once_though_the_task_ends_without_another():
    m = Maker()
    task = m.task("task")
    m.run(task)
    m.at(150)
    m.wait(task, "timer", "sleep")
    m.at(200)
    m.done(task, Kind.CANCELLED)
    found = analyse(m.made())
    sums_hold(found)
    assert len(found.held) == 1


def test_two_loops_have_their_own_time():
    m = Maker(loops=["MainThread", "worker"])
    one, two = m.task("one"), m.task("two")
    m.event(Kind.RUN, one)
    m.at(1)
    m.event(Kind.RUN, two, loop=1)
    m.at(5)
    m.event(Kind.DONE, two, loop=1)
    m.event(Kind.PARK, loop=1)
    m.at(6)
    m.event(Kind.DONE, one)
    m.at(9)
    m.event(Kind.UNPARK, loop=1)
    found = analyse(m.made())
    sums_hold(found)
    assert [lane.running // MS for lane in found.lanes] == [6, 4]
    assert [(loop.began // MS, loop.ended // MS, loop.idle // MS) for loop in found.loops] == [(0, 6, 0), (1, 9, 4)]


def test_nothing_is_something():
    found = analyse(Recording())
    assert (found.lanes, found.held, found.outside, found.most_at_once) == ([], [], 0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_many_tasks_add_up(seed):
    sums_hold(analyse(crowd(120, 6, seed)))


@settings(max_examples=150, deadline=None)
@example(seed=1229, length=35)
@given(seed=st.integers(0, 1 << 30), length=st.integers(0, 80))
def test_any_order_of_events_adds_up(seed, length):
    """A file may claim anything that passes the checks: running twice, ending unbegun, two parks in a row."""
    chance = random.Random(seed)
    tasks = {number: TaskInfo(number, f"t{number}", chance.choice(["task", "callback"])) for number in range(1, 6)}
    time, events = 0, []
    for _ in range(length):
        time += chance.choice([0, 0, 1, 7, 200 * MS])
        kind = chance.choice(list(Kind))
        if kind == Kind.BLOCK:
            continue
        events.append(Event(time, chance.randint(1, 5), chance.randint(0, 9), chance.randint(0, 1), chance.randint(0, 1), kind))
    waits = [Wait("socket"), Wait("future", "x", 77)]
    recording = Recording(loops=["a", "b"], duration=time + 3, tasks=tasks, waits=waits, events=Events.of(events))
    found = analyse(recording)
    for lane in found.lanes:
        assert lane.running + lane.ready + lane.waited == lane.lifetime
    for loop in found.loops:
        assert loop.worked + loop.idle + loop.blocked == loop.ended - loop.began
