"""Every example, run by python and by `python -m rondeau run`, prints the same but for measured times."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
LOOPS = {"asyncio": [], "rondeau": ["-m", "rondeau", "run"]}

# Arguments, and what is typed in. The units are as short as the order of the output allows.
RUNS = {
    "work_queue.py": (["0.01"], ""),
    "kitchen.py": (["0.1"], "cherries\n"),
    "waiter.py": (["0.02"], ""),
    "chained.py": (["0.02"], ""),
    "producers_consumers.py": (["0.02"], ""),
    "async_iteration.py": (["0.01"], ""),
    "aiohttp_pages.py": (["200"], ""),
}


def printed(loop, name, arguments, typed):
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *LOOPS[loop], str(EXAMPLES / name), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def without_times(text):
    text = re.sub(r"\d+\.\d", "N.N", text)
    return re.sub(r"\|[#. ]*", "|", text)  # The kitchen's chart.


def test_none_is_forgotten():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(RUNS)


def paces(arguments):
    """The arguments, then with longer units: a busy machine needs them for the same order."""
    yield arguments
    if arguments[0].startswith("0."):
        for slower in (5, 25):
            yield [str(float(arguments[0]) * slower)]


@pytest.mark.parametrize("name", RUNS)
def test_both_loops_print_the_same(name):
    arguments, typed = RUNS[name]
    for each in paces(arguments):
        ours, theirs = (without_times(printed(loop, name, each, typed)) for loop in ["rondeau", "asyncio"])
        if ours == theirs:
            break
    assert ours == theirs
    assert ours.strip()


@pytest.mark.parametrize("loop", LOOPS)
def test_two_workers_share_the_work(loop):
    text = printed(loop, "work_queue.py", *RUNS["work_queue.py"])
    started = re.findall(r"Task (\w+) running (\d+)", text)
    assert started == [("One", "15"), ("Two", "10"), ("Two", "5"), ("One", "2")]
    each = [float(time) for time in re.findall(r"Task \w+ elapsed time: ([\d.]+)", text)]
    (total,) = [float(time) for time in re.findall(r"Total elapsed time: ([\d.]+)", text)]
    assert total >= 17  # units: nobody sleeps faster,
    assert total < sum(each)  # and they slept at the same time.


@pytest.mark.parametrize("loop", LOOPS)
def test_the_kitchen_takes_its_longest_wait(loop):
    text = printed(loop, "kitchen.py", *RUNS["kitchen.py"])
    assert "cake with cherries" in text
    assert "soup of leeks and barley" in text
    assert "roast lamb" in text
    assert "salad with herb dressing" in text
    waits, longest = map(float, re.search(r"waited ([\d.]+) minutes in all, the longest (\d+\.\d)", text).groups())
    wall = float(re.search(r"The clock on the wall says (\d+\.\d)", text).group(1))
    assert waits >= 5 + 4 + 2
    assert longest <= wall < waits


@pytest.mark.parametrize("loop", LOOPS)
def test_the_kitchen_without_a_guest(loop):
    """Standard input is at its end: the chef decides."""
    assert "cake with icing sugar" in printed(loop, "kitchen.py", ["0.02"], "")


@pytest.mark.parametrize("loop", LOOPS)
def test_the_kitchen_at_a_terminal(loop):
    """A person types: standard input is a terminal, not a pipe."""
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *LOOPS[loop], str(EXAMPLES / "kitchen.py"), "0.05"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(terminal)
        for line in process.stdout:
            if "what shall go on it?" in line:
                os.write(keyboard, b"marzipan\n")
                break
        rest = process.stdout.read()
    os.close(keyboard)
    assert process.returncode == 0
    assert "cake with marzipan" in rest


@pytest.mark.parametrize("loop", LOOPS)
def test_the_pages_are_all_filed(loop, tmp_path):
    printed(loop, "aiohttp_pages.py", ["200", str(tmp_path)], "")
    pages = sorted(tmp_path.iterdir())
    assert len(pages) == 200
    assert all(page.read_text().startswith(f"Page {number}\n") for number, page in enumerate(pages))
