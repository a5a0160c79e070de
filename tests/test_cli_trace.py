"""`python -m rondeau trace PROGRAM` is `run` with a summary afterwards; `view` shows what was recorded before."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recordings import kitchen, most_running
from rondeau.recording import Recording, analyse

EXAMPLES = Path(__file__).parent.parent / "examples"

PROGRAMS = {
    "good.py": """
        import asyncio, sys
        async def dish(name):
            await asyncio.sleep(0.01)
            print(name)
        async def main():
            await asyncio.gather(dish("soup"), dish("roast"))
        asyncio.run(main())
        print(sys.argv)
        sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    """,
    "fails.py": """
        import asyncio
        async def main():
            await asyncio.sleep(0.001)
            raise ValueError("burnt")
        asyncio.run(main())
    """,
    "interrupted.py": """
        import asyncio, os, signal
        async def main():
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "terminated.py": """
        import asyncio, os, signal
        async def main():
            if os.fork() == 0:
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
                os.kill(os.getpid(), signal.SIGTERM)
            pid, status = os.wait()
            print(os.waitstatus_to_exitcode(status), flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "handles.py": """
        import asyncio, os, signal
        async def main():
            end = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
            os.kill(os.getpid(), signal.SIGTERM)
            await end.wait()
            print("handled")
        asyncio.run(main())
    """,
    "threads.py": """
        import asyncio, threading
        def day(name):
            thread = threading.Thread(target=asyncio.run, args=(asyncio.sleep(0),), name=name)
            thread.start()
            thread.join()
        day("monday")
        asyncio.run(asyncio.sleep(0))
        day("tuesday")
    """,
    "moves.py": """
        import asyncio, atexit, os
        atexit.register(print, "bye")
        os.mkdir("elsewhere")
        os.chdir("elsewhere")
        asyncio.run(asyncio.sleep(0.001))
    """,
    "forks.py": """
        import asyncio, os, sys
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        asyncio.run(asyncio.sleep(0.001))
    """,
    "blocks.py": """
        import asyncio, time
        async def nap():
            time.sleep(0.3)
        async def main():
            await asyncio.gather(asyncio.sleep(0.01), nap())
        asyncio.run(main())
    """,
    "silent.py": "import os, sys\nos.close(2)",
    "plain.py": "print(1)",
}


@pytest.fixture
def folder(tmp_path):
    import textwrap

    for name, source in PROGRAMS.items():
        (tmp_path / name).write_text(textwrap.dedent(source))
    return tmp_path


def start(folder, *words, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "rondeau", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHON_COLORS": "0"},
    )


def made(folder):
    return sorted(path.name for path in folder.iterdir() if path.name not in PROGRAMS)


def test_a_program_runs_as_ever_and_its_story_comes_afterwards(folder):
    done = start(folder, "trace", "good.py", "3", "--out", "x")
    assert (done.stdout, done.returncode) == ("soup\nroast\n['good.py', '3', '--out', 'x']\n", 3)
    first, *_, recording, page, trace = done.stderr.strip().splitlines()
    assert first.startswith("good.py: ")
    assert "of wall time" in first
    assert [line.split()[-1] for line in (recording, page, trace)] == ["good.rondeau", "good.html", "good.trace.json"]
    assert made(folder) == ["good.html", "good.rondeau", "good.trace.json"]
    loaded = Recording.load(folder / "good.rondeau")
    assert loaded.program == str(folder / "good.py")
    assert [task.coroutine for task in loaded.tasks.values() if task.coroutine == "dish"] == ["dish", "dish"]
    found = analyse(loaded)
    assert found.most_at_once == 2
    assert {lane.outcome for lane in found.lanes} == {"done"}


def test_the_line_that_blocks_is_named(folder):
    done = start(folder, "trace", "blocks.py")
    (line,) = [line for line in done.stderr.splitlines() if "blocks.py:4, in task nap" in line]
    assert "somewhere" not in line
    assert "To do: let blocks.py:4 run in a thread" in done.stderr
    (held,) = [held for held in analyse(Recording.load(folder / "blocks.rondeau")).held if held.line == 4]
    assert held.caught
    assert "time.sleep(0.3)" in held.stack


def test_a_program_that_fails_is_recorded_and_fails(folder):
    done = start(folder, "trace", "fails.py")
    assert done.returncode == 1
    assert done.stderr.index("ValueError: burnt\n") < done.stderr.index("fails.py: ")
    assert "1 failed" in done.stderr
    assert made(folder) == ["fails.html", "fails.rondeau", "fails.trace.json"]


def test_a_program_that_is_interrupted_is_recorded_and_dies_of_it(folder):
    done = start(folder, "trace", "interrupted.py")
    assert done.returncode == -signal.SIGINT
    assert "1 cancelled" in done.stderr
    assert "interrupted.html" in made(folder)


def test_a_program_that_is_terminated_is_recorded_and_dies_of_it(folder):
    done = start(folder, "trace", "terminated.py")
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "-15\n")
    assert "1 pending" in done.stderr
    assert made(folder) == ["terminated.html", "terminated.rondeau", "terminated.trace.json"]


def test_a_program_that_handles_its_termination_does(folder):
    done = start(folder, "trace", "handles.py")
    assert (done.returncode, done.stdout) == (0, "handled\n")
    assert done.stderr.count("handles.html") == 1


def test_each_loop_is_called_after_its_thread_also_when_that_has_ended(folder):
    assert start(folder, "trace", "threads.py").returncode == 0
    assert Recording.load(folder / "threads.rondeau").loops == ["monday", "MainThread", "tuesday"]


def test_what_cannot_be_written_is_told_after_the_story(folder):
    (folder / "good.html").mkdir()
    done = start(folder, "trace", "good.py")
    assert done.returncode == 0
    first, *_, recording, trace, wrong = done.stderr.strip().splitlines()
    assert first.startswith("good.py: ")
    assert [line.split()[-1] for line in (recording, trace)] == ["good.rondeau", "good.trace.json"]
    assert wrong == "rondeau: cannot write 'good.html': Is a directory"
    done = start(folder, "view", "good.rondeau")
    assert (done.returncode, done.stderr.strip()) == (1, wrong)
    assert done.stdout.startswith("good.py: ")
    assert made(folder) == ["good.html", "good.rondeau", "good.trace.json"]


def test_what_is_written_is_readable_by_its_owner_only(folder):
    assert start(folder, "trace", "good.py").returncode == 0
    assert {(folder / name).stat().st_mode & 0o777 for name in made(folder)} == {0o600}


def test_the_files_are_where_the_program_was_started(folder):
    done = start(folder, "trace", "moves.py")
    assert (done.returncode, done.stdout) == (0, "bye\n")
    assert made(folder) == ["elsewhere", "moves.html", "moves.rondeau", "moves.trace.json"]
    assert str(folder / "moves.html") in done.stderr


def test_a_child_that_forked_writes_nothing(folder):
    done = start(folder, "trace", "forks.py")
    assert done.returncode == 0
    assert done.stderr.count("forks.html") == 1


def test_without_a_loop_or_a_place_to_say_it(folder):
    done = start(folder, "trace", "plain.py")
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "it ran no loop of Rondeau's meanwhile" in done.stderr
    assert made(folder) == []
    assert start(folder, "trace", "silent.py").returncode == 0


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["--out", "there"], ["there.html", "there.rondeau", "there.trace.json"]),
        (["--out=there.html"], ["there.html", "there.rondeau", "there.trace.json"]),
        (["--out", "there.trace.json", "--native"], ["there.html", "there.rondeau", "there.trace.json"]),
    ],
)
def test_out_names_the_files(folder, words, files):
    assert start(folder, "trace", *words, "good.py").returncode == 0
    assert made(folder) == files


def test_out_may_be_a_folder(folder, tmp_path_factory):
    there = tmp_path_factory.mktemp("there")
    program = "import asyncio, rondeau; print(rondeau.run(asyncio.sleep(0, 1)))"
    assert start(folder, "trace", f"--out={there}", "-c", program).stdout == "1\n"
    assert made(folder) == []
    assert made(there) == ["command.html", "command.rondeau", "command.trace.json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trace"], "a program is missing"),
        (["trace", "--out"], "argument expected for --out"),
        (["trace", "--out=", "plain.py"], "--out needs a file or a folder"),
        (["trace", "--open=x", "plain.py"], "--open takes no argument"),
        (["trace", "--perfetto", "plain.py"], "unknown option of trace: --perfetto"),
        (["trace", "--out", "no/where", "plain.py"], "there is no folder"),
        (["view"], "a recording is missing"),
        (["view", "--what"], "unknown option of view: --what"),
        (["view", "one", "two"], "view takes one recording"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(folder, words, said):
    done = start(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[0]
    assert len(done.stderr.splitlines()) == 2
    assert made(folder) == []


def test_a_missing_program_leaves_nothing(folder):
    done = start(folder, "trace", "none.py")
    assert (done.returncode, made(folder)) == (2, [])
    assert "can't open file" in done.stderr


def test_view_writes_the_page_and_tells_the_story(folder):
    kitchen().save(folder / "monday.rondeau")
    done = start(folder, "view", "monday.rondeau")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("kitchen.py: 1.04 s of wall time, 2.80 s of waiting: 2.7 waits at a time, at most 4.\n")
    assert done.stdout.endswith("page  monday.html\n")
    assert made(folder) == ["monday.html", "monday.rondeau"]
    done = start(folder, "view", "--perfetto", "--out", "tuesday", "monday.rondeau")
    assert made(folder) == ["monday.html", "monday.rondeau", "tuesday.html", "tuesday.trace.json"]


def test_the_guides_program_reads_a_recording(folder):
    guide = (EXAMPLES.parent / "docs" / "seeing.md").read_text()
    (program,) = [block for block in re.findall(r"^```python\n(.*?)^```$", guide, re.M | re.S) if "Recording.load" in block]
    kitchen().save(folder / "monday.rondeau")
    done = subprocess.run(
        [sys.executable, "-c", program, "monday.rondeau"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-3:] == [
        "Task-5 waited 60.2 ms for its turn",
        "Task-4 waited 40.2 ms for its turn",
        "Task-3 waited 20.2 ms for its turn",
    ]


def test_view_of_what_is_no_recording_is_one_line(folder):
    (folder / "bad.rondeau").write_text("no")
    for name, said in [("bad.rondeau", "it is not a recording"), ("none", "No such file"), (".", "Is a directory")]:
        done = start(folder, "view", name)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("rondeau: ")
        assert said in line
    assert made(folder) == ["bad.rondeau"]


@pytest.mark.parametrize(
    ("example", "stdin", "at_once"),
    # In the kitchen the guest's answer is there before it is asked for, so the dessert does not wait.
    [("kitchen.py", "cherries\n", 3), ("work_queue.py", "", 2), ("chained.py", "", 3), ("producers_consumers.py", "", 3),
     ("waiter.py", "", 5), ("async_iteration.py", "", 2)],
)  # fmt: skip
def test_the_examples_stories(tmp_path, example, stdin, at_once):
    """Each with its own waits at once, and with lanes that add up."""
    done = start(tmp_path, "trace", str(EXAMPLES / example), stdin=stdin)
    assert done.returncode == 0, done.stderr
    found = analyse(Recording.load(tmp_path / example.replace(".py", ".rondeau")))
    assert found.most_at_once >= at_once
    assert most_running(found) == 1
    for lane in found.lanes:
        assert lane.running + lane.ready + lane.waited == lane.lifetime
        assert lane.outcome != "pending"
    (loop,) = [loop for loop in found.loops if loop.seen]
    assert loop.worked + loop.idle + loop.blocked == loop.ended - loop.began
    assert sum(lane.running for lane in found.lanes) <= loop.worked + loop.blocked
