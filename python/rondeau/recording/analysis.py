"""From events to who ran, who was ready, who waited, and what held the loop: one pass, in the order of time.

Called for everything that shows a recording; lanes.py is what it finds.

    - A task is in exactly one state from its first event to its last: running, ready, or waiting for something of one kind.
      Its times therefore add up to its lifetime, to the nanosecond.
    - On one loop at most one runs. A step within a step (an eager task's) lets the outer one stand aside: that counts as ready.
    - A loop's worked, idle and blocked times add up to its lifetime as well. Blocked is what took as long as the
      threshold: a step, a callback, or what a watchdog caught. What it caught that was shorter is kept in the list, no more.
    - A wait is outside if it used the time of something that is not this loop: a timer, a socket, a thread, a process, a file;
      or a future that no task resolved. A wait for another task's work (queue, lock, gather) does not count beside that work.

A recording that begins in the middle of things says nothing of what was before: a task starts with its first event, except that
one that is woken first has waited since the start, for an unknown reason.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable

from .lanes import HOUSEKEEPING, IDLE, NOTHING, READY, RUNNING, WAITING, WORKING, Analysis, Held, Lane, Loop
from .model import WAIT_KINDS, Kind, Recording, TaskInfo

OUTSIDE = frozenset(WAIT_KINDS.index(kind) for kind in ("timer", "socket", "thread", "subprocess", "file"))
EITHER = frozenset(WAIT_KINDS.index(kind) for kind in ("future", "other"))
OUTCOMES = {int(Kind.DONE): "done", int(Kind.CANCELLED): "cancelled", int(Kind.FAILED): "failed"}

THRESHOLD = 100_000_000  # ns: asyncio's slow_callback_duration


def analyse(recording: Recording, *, threshold: int = THRESHOLD) -> Analysis:
    """`threshold`: ns from which a step or a callback counts as a block.

    >>> from rondeau.recording import Event, Events, Kind
    >>> soup = TaskInfo(1, "soup")
    >>> made = Recording(duration=9, tasks={1: soup}, events=Events.of([
    ...     Event(0, 1, kind=Kind.READY), Event(2, 1, kind=Kind.RUN), Event(9, 1, kind=Kind.DONE)]))
    >>> lane, = analyse(made).lanes
    >>> lane.ready, lane.running, lane.lifetime
    (2, 7, 9)
    """
    walk = _Walk(recording, threshold)
    walk.events()
    walk.end()
    return walk.result


class _Walk:
    """The pass, and what it has to remember."""

    def __init__(self, recording: Recording, threshold: int) -> None:
        self.recording = recording
        self.result = Analysis(recording, threshold)
        self.by_id: dict[int, Lane] = {}
        self.kinds = [WAIT_KINDS.index(wait.kind) for wait in recording.waits]
        self.counts, self.sums = [0] * len(recording.waits), [0] * len(recording.waits)
        # Who is no task: woken by one of these, a future was resolved from outside.
        self.no_tasks = {0} | {number for number, info in recording.tasks.items() if info.kind == "callback"}
        self.delays: array[int] = array("Q")
        self.outside_begins: array[int] = array("Q")
        self.outside_ends: array[int] = array("Q")
        self.long_steps: list[Held] = []
        self.caught: list[Held] = []
        self.over: set[int] = set()  # tasks that ended; what is said of them afterwards is not heard
        self.first = 0  # the time of the first event
        for number, name in enumerate(recording.loops):
            self.result.loops.append(Loop(name, Lane(TaskInfo(0, "callbacks", "callback"), 2 * number + 1, 0)))
        segments = self.result.segments
        self.put_lane, self.put_start = segments.lane.append, segments.start.append
        self.put_state, self.put_reference = segments.state.append, segments.reference.append

    def events(self) -> None:
        run, ready, wait_, park, unpark = map(int, (Kind.RUN, Kind.READY, Kind.WAIT, Kind.PARK, Kind.UNPARK))
        callback, returned, created, block = map(int, (Kind.CALLBACK, Kind.RETURN, Kind.CREATED, Kind.BLOCK))
        by_id, loops, unknown = self.by_id, self.result.loops, WAITING + len(WAIT_KINDS) - 1
        over = self.over
        if len(self.recording.events):
            self.first = self.recording.events[0].time
        for time, subject, other, wait, number, kind in self.recording.events.rows():
            loop = loops[number]
            if not loop.seen:
                loop.seen, loop.began = True, time
                self.put(2 * number, time, WORKING)
            loop.ended = time
            if subject in over and kind != block:
                continue
            if kind == run:
                lane = by_id.get(subject) or self.new(subject, time, NOTHING)
                lane.steps += 1
                self.enter(loop, lane, time)
            elif kind == wait_:
                lane = by_id.get(subject) or self.new(subject, time, RUNNING)
                if lane.state == RUNNING:
                    self.leave(loop, number, lane, time)
                self.to(lane, time, WAITING + self.kinds[wait], wait)
            elif kind == ready:
                lane = by_id.get(subject) or self.new(subject, self.first, unknown)
                if lane.state == RUNNING:
                    self.leave(loop, number, lane, time)
                if lane.state != READY:
                    self.to(lane, time, READY, other)
            elif kind == park:
                if loop.parked < 0:
                    loop.parked = time
                    self.put(2 * number, time, IDLE)
            elif kind == unpark:
                if loop.parked >= 0:
                    loop.idle += time - loop.parked
                    loop.parked = -1
                    self.put(2 * number, time, WORKING)
            elif kind == callback:
                loop.callback_runs += 1
                loop.callbacks.reference = subject
                self.enter(loop, loop.callbacks, time)
            elif kind == returned:
                self.leave(loop, number, loop.callbacks, time)
                self.to(loop.callbacks, time, NOTHING)
            elif kind == created:
                if subject not in by_id:
                    self.to(self.new(subject, time, NOTHING), time, READY, other)
            elif kind == block:
                self.catch(number, time, wait)
            else:
                lane = by_id.get(subject) or self.new(subject, time, RUNNING)
                if lane.state == RUNNING:  # Or it was cancelled where it waited.
                    self.leave(loop, number, lane, time)
                self.finish(lane, time, OUTCOMES[kind])

    def new(self, subject: int, time: int, state: int) -> Lane:
        """The lane of a task that was not seen before, which was in this state since this time."""
        lanes = self.result.lanes
        lane = Lane(self.recording.tasks[subject], 2 * len(self.recording.loops) + len(lanes), time, since=time)
        lane.housekeeping = lane.task.coroutine in HOUSEKEEPING
        self.by_id[subject] = lane
        lanes.append(lane)
        if state:
            lane.step_began = time
            lane.state = state
            lane.reference = len(self.recording.waits)  # One behind the last: not known.
            self.put(lane.index, time, state, lane.reference if state >= WAITING else 0)
        return lane

    def put(self, lane: int, time: int, state: int, reference: int = 0) -> None:
        self.put_lane(lane)
        self.put_start(time)
        self.put_state(state)
        self.put_reference(reference)

    def to(self, lane: Lane, time: int, state: int, reference: int = 0) -> None:
        """Close what the lane was doing, and begin something else."""
        was, spent = lane.state, time - lane.since
        if was == RUNNING:
            lane.running += spent
            lane.step += spent
        elif was == READY:
            lane.ready += spent
        elif was >= WAITING:
            kind = was - WAITING
            lane.waiting[kind] += spent
            if not lane.housekeeping:
                self.count(lane, kind, spent, time, state == READY and reference in self.no_tasks)
        lane.state, lane.since, lane.reference = state, time, reference
        self.put(lane.index, time, state, reference)

    def count(self, lane: Lane, kind: int, spent: int, time: int, by_no_task: bool) -> None:
        """Add up a wait that is over."""
        if lane.reference < len(self.kinds):
            self.counts[lane.reference] += 1
            self.sums[lane.reference] += spent
        if kind in OUTSIDE or (kind in EITHER and by_no_task):
            self.outside_begins.append(lane.since)
            self.outside_ends.append(time)

    def enter(self, loop: Loop, lane: Lane, time: int) -> None:
        """A step or a callback begins; what ran until now, if anything, stands aside."""
        if loop.running:
            outer = loop.running[-1]
            if outer is lane:
                return
            self.to(outer, time, READY, outer.reference if outer is loop.callbacks else 0)
        if lane.state == READY:
            delay = time - lane.since
            self.delays.append(delay)
            if delay > lane.longest_ready:
                lane.longest_ready = delay
        lane.step, lane.step_began = 0, time
        loop.running.append(lane)
        self.to(lane, time, RUNNING, lane.reference if lane is loop.callbacks else 0)

    def leave(self, loop: Loop, number: int, lane: Lane, time: int) -> None:
        """A step or a callback is over; what stood aside for it runs again. The caller says what the lane does now."""
        took = lane.step + (time - lane.since if lane.state == RUNNING else 0)
        whose = lane.reference if lane is loop.callbacks else lane.task.id
        if took > loop.longest_step:
            loop.longest_step, loop.longest_step_of = took, whose
        if took >= self.result.threshold:
            info = self.recording.tasks.get(whose)
            file, line = (info.file, info.line) if info else ("", 0)
            self.long_steps.append(Held(lane.step_began, took, number, whose, file, line))
        running = loop.running
        if not running:
            return
        if running[-1] is lane:
            running.pop()
            if running:
                self.to(running[-1], time, RUNNING, running[-1].reference if running[-1] is loop.callbacks else 0)
        elif lane in running:
            running.remove(lane)

    def finish(self, lane: Lane, time: int, outcome: str) -> None:
        lane.outcome, lane.ended = outcome, time
        self.to(lane, time, NOTHING)
        self.over.add(lane.task.id)
        for loop in self.result.loops:
            if lane in loop.running:
                loop.running = [each for each in loop.running if each is not lane]

    def catch(self, number: int, time: int, index: int) -> None:
        """A watchdog's find."""
        block = self.recording.blocks[index]
        if not block.file and block.duration < self.result.threshold:
            return  # Short, and nothing to point at.
        began = max(time - block.duration, 0)
        self.caught.append(Held(began, time - began, number, block.task, block.file, block.line, block.stack, caught=True))

    def end(self) -> None:
        """The recording is over: what goes on goes on until its end."""
        result, over = self.result, self.recording.duration
        for number, loop in enumerate(result.loops):
            if loop.parked >= 0 or loop.running:
                loop.ended = over
            if loop.parked >= 0:
                loop.idle += over - loop.parked
            while loop.running:
                lane = loop.running[-1]
                self.leave(loop, number, lane, over)
                if lane is loop.callbacks:
                    self.to(lane, over, NOTHING)
            if loop.seen:
                self.put(2 * number, loop.ended, NOTHING)
        for lane in result.lanes:
            if lane.outcome == "pending":
                lane.ended = over
                self.to(lane, over, NOTHING)
        seen = [loop for loop in result.loops if loop.seen]
        result.began, result.ended = (
            min((loop.began for loop in seen), default=0),
            max((loop.ended for loop in seen), default=0),
        )
        result.held = _merged(self.long_steps, self.caught)
        for number, loop in enumerate(result.loops):
            loop.spans = _union(
                (max(held.began, loop.began), min(held.began + held.duration, loop.ended))
                for held in result.held
                if held.loop == number and held.duration >= result.threshold
            )
            busy = loop.ended - loop.began - loop.idle
            loop.blocked = min(sum(until - since for since, until in loop.spans), busy)
        found = zip(self.recording.waits, self.counts, self.sums, strict=True)
        result.by_wait = sorted((each for each in found if each[1]), key=lambda each: (-each[2], each[0].text))
        result.outside = sum(self.outside_ends) - sum(self.outside_begins)
        result.most_at_once = _most_at_once(self.outside_begins, self.outside_ends)
        result.delays = sorted(self.delays)


def _merged(steps: list[Held], caught: list[Held]) -> list[Held]:
    """One entry for each block. A watchdog's find and the long step it was in are one, with the step's length and task."""
    found = []
    for loop in {held.loop for held in caught}:
        mine = sorted((step for step in steps if step.loop == loop), key=lambda step: step.began)
        begins = [step.began for step in mine]
        for held in (held for held in caught if held.loop == loop):
            # The one that began last before the block was over; with an eager task's step, the inner one.
            index = bisect_right(begins, held.began + held.duration - 1) - 1
            step = mine[index] if index >= 0 else None
            if step is None or step.began + step.duration <= held.began:
                found.append(held)
            elif not step.caught:
                step.file, step.line, step.stack, step.caught = held.file, held.line, held.stack, True
    return sorted(found + steps, key=lambda held: held.began)


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that may overlap, as spans that do not; given and returned in the order in which they begin."""
    united: list[tuple[int, int]] = []
    for since, until in spans:
        if united and since <= united[-1][1]:
            united[-1] = united[-1][0], max(until, united[-1][1])
        elif until > since:
            united.append((since, until))
    return united


def _most_at_once(begins: array[int], ends: array[int]) -> int:
    """The largest number of spans that overlap. One that ends when another begins does not overlap it."""
    most, ended = 0, sorted(ends)
    next_end = 0
    for begun, begin in enumerate(sorted(begins), 1):
        while ended[next_end] <= begin and next_end < begun - 1:
            next_end += 1
        most = max(most, begun - next_end)
    return most
