"""The summary, to the letter: what a person reads first."""

import pytest

from recordings import MS, Maker, crowd, kitchen
from rondeau.recording import Kind, Recording, analyse, summary
from rondeau.recording.summary import headline


def clinic():
    m = Maker("/app/app.py", lost=3)
    main = m.task("Task-1", "main", 12)
    m.run(main)
    m.at(1)
    fetch = m.task("fetch\x1b[31m", "fetch", 30, main)
    bad = m.task("Task-3", "bad", 40, main)
    m.wait(main, "task", "gather of 2 tasks")
    m.run(fetch)
    m.at(301)
    m.wait(fetch, "socket", "read from 10.0.0.1:80")
    m.block(295, "/app/lib/site-packages/requests/api.py", 59, "stack", fetch)
    m.run(bad)
    m.at(302)
    m.done(bad, Kind.FAILED)
    m.park()
    m.at(500)
    m.unpark()
    m.ready(fetch)
    m.run(fetch)
    m.at(620)
    m.done(fetch)
    m.ready(main, fetch)
    m.run(main)
    m.at(621)
    m.done(main, Kind.CANCELLED)
    return m.made(700)


def serial():
    m = Maker("/app/serial.py")
    main = m.task("Task-1", "main", 3)
    for _ in range(3):
        m.run(main)
        m.at(m.now / MS + 1)
        m.wait(main, "timer", "sleep 1 s")
        m.park()
        m.at(m.now / MS + 1000)
        m.unpark()
        m.ready(main)
    m.run(main)
    m.at(m.now / MS + 1)
    m.done(main)
    return m.made()


CLINIC = r"""
app.py: 621 ms of wall time, 199 ms of waiting, one wait at a time. The loop was blocked for 420 ms.
The ring was full: 3 events before these are gone.

The loop, 621 ms:
  worked         3.00 ms   0.5%   3 tasks in 5 steps, 0 callbacks (1 failed, 1 cancelled)
  idled           198 ms  31.9%   nothing was ready
  was blocked     420 ms  67.6%   see below

What the tasks waited for:
      619 ms  task             1 wait   gather of 2 tasks
      199 ms  socket           1 wait   read from 10.0.0.1:80

What held the loop longest, and every other task with it:
      300 ms  requests/api.py:59, in task fetch\x1b[31m, 1.00 ms after the start
      120 ms  somewhere in the function at app.py:30, in task fetch\x1b[31m, 500 ms after the start

Half of those that were ready got their turn within 0 s, 99 % within 300 ms; the longest delays:
      300 ms  task bad (Task-3) (app.py:40)

To do: let requests/api.py:59 run in a thread (asyncio.to_thread) or await something that does not block there.
"""

SERIAL = """
serial.py: 3.00 s of wall time, 3.00 s of waiting, one wait at a time.

The loop, 3.00 s:
  worked         4.00 ms   0.1%   1 task in 4 steps, 0 callbacks
  idled           3.00 s  99.9%   nothing was ready
  was blocked        0 s   0.0%   no step took 100 ms or longer; the longest, 1.00 ms: task main (Task-1) (app.py:3)

What the tasks waited for:
      3.00 s  timer           3 waits   sleep 1 s

Half of those that were ready got their turn within 0 s, 99 % within 0 s.

To do: the waits came one after another; a TaskGroup or gather would let them overlap.
"""

KITCHEN = """
kitchen.py: 1.04 s of wall time, 2.80 s of waiting: 2.7 waits at a time, at most 4.

The loop, 1.04 s:
  worked          161 ms  15.5%   5 tasks in 10 steps, 0 callbacks
  idled           880 ms  84.5%   nothing was ready
  was blocked        0 s   0.0%   no step took 100 ms or longer; the longest, 20.0 ms: task soup (Task-2) (kitchen.py:71)

What the tasks waited for:
      1.80 s  thread          3 waits   to_thread(oven), to_thread(readline) and 1 more
      1.04 s  task             1 wait   gather of 4 tasks
      1.00 s  socket           1 wait   read from 127.0.0.1:43210

Half of those that were ready got their turn within 100 µs, 99 % within 60.2 ms; the longest delays:
     60.2 ms  task dessert (Task-5) (kitchen.py:122)
     40.2 ms  task salad (Task-4) (kitchen.py:105)
     20.2 ms  task roast (Task-3) (kitchen.py:85)
      200 µs  task soup (Task-2) (kitchen.py:71)
      100 µs  task main (Task-1) (kitchen.py:188)
"""


@pytest.mark.parametrize(("recording", "text"), [(clinic, CLINIC), (serial, SERIAL), (kitchen, KITCHEN)])
def test_the_summary_to_the_letter(recording, text):
    assert summary(recording()) == text.strip("\n")


def test_a_program_without_a_loop_is_told_so():
    assert summary(Recording(program="/a/b.py")) == "b.py: no event was recorded: it ran no loop of Rondeau's meanwhile."


def test_two_loops_are_told_apart():
    m = Maker("/app/two.py", loops=["MainThread", "mail"])
    one, two = m.task("one"), m.task("two")
    m.event(Kind.RUN, one)
    m.event(Kind.RUN, two, loop=1)
    m.at(10)
    m.event(Kind.DONE, one)
    m.event(Kind.DONE, two, loop=1)
    m.event(Kind.PARK, loop=1)
    m.at(30)
    m.event(Kind.UNPARK, loop=1)
    lines = summary(m.made()).splitlines()
    assert "The loop of MainThread, 10.0 ms:" in lines
    assert "The loop of mail, 30.0 ms:" in lines
    assert "  idled          20.0 ms  66.7%   nothing was ready" in lines
    assert "In all 2 tasks in 2 steps, 0 callbacks." in lines


def test_many_tasks_take_no_more_lines():
    text = summary(crowd(300, 8))
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) < 140
    assert "requests/sessions.py:703" in text


def test_a_hostile_name_cannot_reach_the_terminal():
    m = Maker("/app/\x1b]0;title\x07.py")
    task = m.task("\x1b[2J\r\nname\u202e", "\x9b31m", file="/app/\x1b.py")
    m.run(task)
    m.at(200)
    m.wait(task, "socket", "\x1b[31mred\n")
    m.block(150, "/app/\x1b[1m.py", 3, "", task)
    m.at(300)
    text = summary(m.made())
    assert all(line.isprintable() for line in text.splitlines())
    assert "\\x1b[2J" in text


def test_the_headline_tells_the_story():
    assert (
        headline(analyse(kitchen(66_000)))
        == "5 min 43 s of wall time, 15 min 24 s of waiting: 2.7 waits at a time, at most 4. "
        "The loop was blocked for 52.8 s."
    )
    m = Maker()
    task = m.task("a")
    m.run(task)
    m.at(40)
    m.done(task)
    assert headline(analyse(m.made())) == "40.0 ms of wall time, in which nothing outside was waited for."
    m = Maker()
    bell = m.task("bell", kind="callback")
    m.callback(bell, 40)
    m.callback(bell, 20)
    assert headline(analyse(m.made())) == "60.0 ms of wall time, 2 callbacks and no task."
