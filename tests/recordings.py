"""Synthetic recordings, for what reads recordings: a small language for what tasks did, and some whole programs."""

import random

from rondeau.recording import Block, Event, Events, Kind, Recording, TaskInfo, Wait
from rondeau.recording.lanes import RUNNING

MS = 1_000_000


def most_running(found):
    """The largest number of tasks and callbacks that an analysis has running at one time."""
    running, most = set(), 0
    for lane, state in zip(found.segments.lane, found.segments.state, strict=True):
        if state == RUNNING:
            running.add(lane)
        else:
            running.discard(lane)
        most = max(most, len(running))
    return most


class Maker:
    """Writes down what a loop did: `at(ms)` moves the clock; the rest are events at that time.

    `run` and what ends a step take the task; the loop parks by itself where `park` says so.
    """

    def __init__(self, program="/app/app.py", **fields):
        self.recording = Recording(program=program, argv=[program], python="3.13.0", rondeau="0.1.0", pid=4711, driver="uring")
        self.recording.started = 1_790_000_000.0
        for name, value in fields.items():
            setattr(self.recording, name, value)
        self.events = []
        self.now = 0
        self.loop = 0  # on which all happens
        self.waits = {}

    def at(self, ms):
        assert ms * MS >= self.now, (ms, self.now / MS)
        self.now = round(ms * MS)

    def event(self, kind, subject=0, other=0, wait=0, loop=0):
        self.events.append(Event(self.now, subject, other, wait, loop or self.loop, kind))

    def task(self, name, coroutine="", line=1, creator=0, kind="task", file="/app/app.py"):
        number = len(self.recording.tasks) + 1
        self.recording.tasks[number] = TaskInfo(
            number, name, kind, coroutine or name, file, line, creator, "/app/app.py", 99 if creator else 0
        )
        if kind == "task":
            self.event(Kind.CREATED, number, creator)
            self.event(Kind.READY, number, creator)
        return number

    def run(self, task, loop=0):
        self.event(Kind.RUN, task, loop=loop)

    def ready(self, task, by=0):
        self.event(Kind.READY, task, by)

    def wait(self, task, kind, text="", other=0):
        key = (kind, text, other)
        if key not in self.waits:
            self.waits[key] = len(self.waits)
            self.recording.waits.append(Wait(*key))
        self.event(Kind.WAIT, task, wait=self.waits[key])

    def done(self, task, how=Kind.DONE):
        self.event(how, task)

    def callback(self, number, took, wakes=0):
        self.event(Kind.CALLBACK, number)
        self.now += round(took * MS)
        if wakes:
            self.ready(wakes, number)
        self.event(Kind.RETURN, number)

    def park(self):
        self.event(Kind.PARK)

    def unpark(self):
        self.event(Kind.UNPARK)

    def block(self, ms, file, line, stack="", task=0):
        self.recording.blocks.append(Block(round(ms * MS), file, line, stack, task))
        self.event(Kind.BLOCK, wait=len(self.recording.blocks) - 1)

    def made(self, until=None):
        self.recording.duration = self.now if until is None else round(until * MS)
        self.recording.events = Events.of(self.events)
        return self.recording


def kitchen(minute=200):
    """The kitchen's evening, as its bill tells it: four dishes, each worked on before and after its wait."""
    k = Maker("/app/examples/kitchen.py")
    file = "/app/examples/kitchen.py"
    main = k.task("Task-1", "main", 188, file=file)
    k.at(0.1)
    k.run(main)
    names = [("soup", 71), ("roast", 85), ("salad", 105), ("dessert", 122)]
    dishes = [k.task(f"Task-{number}", name, line, main, file=file) for number, (name, line) in enumerate(names, 2)]
    k.at(0.3)
    k.wait(main, "task", "gather of 4 tasks")
    waits = [
        ("socket", "read from 127.0.0.1:43210", 5),
        ("thread", "to_thread(oven)", 4),
        ("thread", "to_thread(fridge)", 2),
        ("thread", "to_thread(readline)", 3),
    ]
    ends = []
    work = minute / 10
    for number, (dish, (kind, text, minutes)) in enumerate(zip(dishes, waits, strict=True)):
        k.run(dish)
        k.at(0.3 + work * (number + 1))
        k.wait(dish, kind, text)
        ends.append((k.now / MS + minutes * minute, dish))
    k.park()
    for when, dish in sorted(ends):
        k.at(when)
        k.unpark()
        k.ready(dish)
        k.at(when + 0.05)
        k.run(dish)
        k.at(when + 0.05 + work)
        k.done(dish)
        if dish != dishes[0]:
            k.park()
    k.ready(main, dishes[0])
    k.at(k.now / MS + 0.05)
    k.run(main)
    k.at(k.now / MS + 0.4)
    k.done(main)
    return k.made()


def work_queue(unit=100):
    """Two workers, four jobs of 15, 10, 5 and 2 units."""
    q = Maker("/app/examples/work_queue.py")
    file = "/app/examples/work_queue.py"
    main = q.task("Task-1", "main", 31, file=file)
    q.at(0.05)
    q.run(main)
    workers = [q.task(f"worker {name}", "worker", 19, main, file=file) for name in ("One", "Two")]
    q.at(0.2)
    q.wait(main, "task", "gather of 2 tasks")
    free = []
    jobs = [15, 10, 5, 2]
    for worker in workers:
        q.run(worker)
        q.at(q.now / MS + 0.1)
        job = jobs.pop(0)
        q.wait(worker, "timer", f"sleep {job * unit / 1000:g} s")
        free.append((q.now / MS + job * unit, worker))
    while free:
        free.sort()
        when, worker = free.pop(0)
        q.park()
        q.at(when)
        q.unpark()
        q.ready(worker)
        q.at(when + 0.02)
        q.run(worker)
        q.at(when + 0.1)
        if jobs:
            job = jobs.pop(0)
            q.wait(worker, "timer", f"sleep {job * unit / 1000:g} s")
            free.append((q.now / MS + job * unit, worker))
        else:
            q.done(worker)
    q.ready(main, worker)
    q.run(main)
    q.at(q.now / MS + 0.1)
    q.done(main)
    return q.made()


def crowd(tasks=10_000, rounds=20, seed=7):
    """A server's afternoon: many connections, each reading, asking a queue, now and then sleeping; a few things go wrong."""
    chance = random.Random(seed)
    c = Maker("/app/server.py")
    serve = c.task("serve", "serve", 12)
    c.run(serve)
    c.at(0.2)
    c.wait(serve, "future", "Server.serve_forever")
    kinds = [("socket", "read from 10.0.0.{}:{}"), ("timer", "sleep 0.1 s"), ("queue", "Queue.get"), ("lock", "Lock.acquire")]
    kinds += [("thread", "to_thread(resize)"), ("subprocess", "Process.wait"), ("file", "read_file access.log")]
    weights = [60, 15, 10, 6, 5, 2, 2]
    people = []
    clock = c.now
    step = 3_000  # ns
    for number in range(tasks):
        c.now = clock = clock + step
        people.append(c.task(f"connection {number}", "Connection.serve", 40, serve))
    order = people
    for turn in range(rounds):
        for person in order:
            c.now = clock
            c.run(person)
            clock += step + chance.randrange(step)
            if turn == rounds // 2 and person == order[len(order) // 2]:
                clock += 320 * MS
                c.now = clock
                c.wait(person, *kinds[1])
                c.block(320, "/app/site-packages/requests/sessions.py", 703, "File ...", person)
                continue
            c.now = clock
            if turn == rounds - 1 or chance.random() < 0.01:
                c.done(person, Kind.FAILED if chance.random() < 0.02 else Kind.DONE)
                continue
            kind, text = chance.choices(kinds, weights)[0]
            c.wait(person, kind, text.format(person % 250, 40_000 + person % 97))
        done = {event.subject for event in c.events[-3 * len(order) :] if event.kind in (Kind.DONE, Kind.FAILED)}
        order = [person for person in order if person not in done]
        chance.shuffle(order)
        c.now = clock
        c.park()
        clock += 40 * MS
        c.now = clock
        c.unpark()
        for index, person in enumerate(order):
            clock += 200
            c.now = clock
            c.ready(person, order[index - 1] if index % 9 == 0 else 0)
    return c.made()
