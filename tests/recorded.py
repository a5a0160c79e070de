"""Reads a recording as its tests want it: each task's lane, checked for what must always hold."""

from rondeau.recording import Kind

ENDS = {Kind.DONE: "done", Kind.CANCELLED: "cancelled", Kind.FAILED: "failed"}


def named(recording, name):
    """The one task whose coroutine or name is `name`."""
    (found,) = [task for task in recording.tasks.values() if name in (task.coroutine, task.name)]
    return found


def events_of(recording, task):
    return [event for event in recording.events if event.subject == task.id]


def story(recording, name):
    """What happened to one task: "CREATED", "READY", "RUN", and for waits (kind, text)."""
    return [
        (wait.kind, wait.text) if event.kind == Kind.WAIT else Kind(event.kind).name
        for event in events_of(recording, named(recording, name))
        for wait in [recording.waits[event.wait] if event.kind == Kind.WAIT else None]
    ]


def lanes(recording):
    """(state, from, to) of each task by its id, without a hole from its first event to its end.

    Asserts on the way that no two steps run at once on one loop but an eager start within another step, and that each
    change of state is one that a task can make.
    """
    lanes, now, running = {}, {}, {}
    may = {
        None: {"ready", "running", "waiting", "created"},
        "created": {"ready", "running"},
        "ready": {"running", "done", "cancelled", "failed"},
        "running": {"ready", "waiting", "done", "cancelled", "failed"},
        "waiting": {"ready", "cancelled"},
    }
    for event in recording.events:
        kind = Kind(event.kind)
        if kind in (Kind.CALLBACK, Kind.RETURN, Kind.PARK, Kind.UNPARK, Kind.BLOCK):
            continue
        state = {Kind.CREATED: "created", Kind.READY: "ready", Kind.RUN: "running", Kind.WAIT: "waiting", **ENDS}[kind]
        before, since = now.get(event.subject, (None, event.time))
        assert state in may[before], (recording.tasks[event.subject], before, state)
        stack = running.setdefault(event.loop, [])
        if state == "running":
            assert not stack or before == "created", (stack, event)
            stack.append(event.subject)
        elif before == "running":
            assert stack.pop() == event.subject
        if before is not None:
            lanes.setdefault(event.subject, []).append((before, since, event.time))
        now[event.subject] = (state, event.time)
    for subject, (state, since) in now.items():
        if state not in ENDS.values():
            lanes.setdefault(subject, []).append((state, since, recording.duration))
    return lanes


def waiting_at_once(recording, coroutines):
    """The greatest number of these coroutines' tasks that waited at one time."""
    marks = []
    every = lanes(recording)
    for task in recording.tasks.values():
        if task.coroutine in coroutines:
            for state, since, until in every[task.id]:
                if state == "waiting":
                    marks += [(since, 1), (until, -1)]
    most = now = 0
    for _, step in sorted(marks):
        now += step
        most = max(most, now)
    return most
