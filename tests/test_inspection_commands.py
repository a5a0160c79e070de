"""`python -m rondeau ps`, `pstree` and `top` as typed: what they print, their statuses, and what is wrong usage."""

import json
import subprocess
import sys

import pytest

from inspected import program
from rondeau.inspection import live

BODY = """
    async def cooks():
        async with stove:
            await aio.sleep(1000)

    async def waits():
        async with stove:
            pass

    stove = aio.Lock()
    tasks = [aio.create_task(cooks(), name="cook"), aio.create_task(waits(), name="waiter")]
    tasks += [aio.create_task(aio.sleep(1000)) for _ in range(20)]
    await aio.sleep(0.01)
    ready()
    await tasks[1]
"""


def typed(*words):
    done = subprocess.run([sys.executable, "-m", "rondeau", *map(str, words)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_ps_lists_programs_and_one_programs_tasks():
    with program(BODY) as child:
        status, out, err = typed("ps")
        assert (status, err) == (0, "")
        assert any(line.split()[0] == str(child.pid) and sys.executable in line for line in out.splitlines())
        assert str(child.pid) in {str(found["pid"]) for found in json.loads(typed("ps", "--json")[1])}

        status, out, err = typed("ps", child.pid)
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert lines[0] == f"process {child.pid}: 23 tasks: 23 waiting"
        assert lines[1].startswith("loop 1: waits in the kernel; ")
        at = next(number for number, line in enumerate(lines) if line.startswith("waiter  waiting  on lock <Lock 0x"))
        assert lines[at].endswith(", held by cook")
        assert lines[at + 1].startswith("    main.<locals>.waits  ")
        assert sum(line.startswith("… and 18 more with this stack, to Task-") for line in lines) == 1
        assert sum(line.startswith("Task-") for line in typed("ps", child.pid, "--all")[1].splitlines()) == 21

        answer = json.loads(typed("ps", child.pid, "--json")[1])
        assert len(answer["tasks"]) == 23


def test_pstree_draws_who_waits_for_whom():
    with program(BODY) as child:
        status, out, err = typed("pstree", child.pid)
        assert (status, err) == (0, "")
        lines = out.splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith("Task-1  main "))
        assert lines[at + 1].startswith("└── waiter  main.<locals>.waits ")
        assert lines[at + 2].startswith("    └── cook  main.<locals>.cooks ")


def test_pstree_of_a_circle_and_of_depth():
    body = """
        async def awaits(number):
            await aio.sleep(0.01)
            await tasks[number + 1]

        async def turns(other):
            await aio.sleep(0.01)
            await circle[other]

        tasks = [aio.create_task(awaits(number), name=f"link {number}") for number in range(2000)]
        tasks.append(aio.create_task(aio.sleep(1000), name="end"))
        circle = {}
        circle["A"] = aio.create_task(turns("B"), name="A")
        circle["B"] = aio.create_task(turns("A"), name="B")
        await aio.sleep(0.1)
        ready()
        await aio.sleep(1000)
    """
    with program(body) as child:
        status, out, err = typed("pstree", child.pid)
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert "deadlock: A waits for B waits for A" in lines
        assert {f"link {number}" for number in range(2000)} <= {line.strip("│├└─ ").split("  ")[0] for line in lines}
        assert any(line.endswith("(see above)") for line in lines)


def test_top_in_lines_and_as_json():
    with program(BODY) as child:
        status, out, err = typed("top", child.pid, "--once", "--interval", "0.1")
        assert (status, err) == (0, "")
        assert f"process {child.pid}" in out
        assert "23: 0 running, 0 ready, 23 waiting; 21 timers" in out
        status, out, err = typed("top", child.pid, "--once", "--json", "--interval=0.1")
        assert (status, err) == (0, "")
        figures = json.loads(out)
        assert figures["tasks"] == {"running": 0, "ready": 0, "waiting": 23}
        assert figures["utilisation"] < 0.5


def test_top_ends_with_the_program():
    with program(BODY) as child:
        watching = subprocess.Popen(
            [sys.executable, "-m", "rondeau", "top", str(child.pid), "--interval", "0.05"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("loop 1: ")
        child.kill()
        _, err = watching.communicate()
        assert watching.returncode == 1
        assert err.startswith(f"rondeau: process {child.pid} hung up")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["pstree"], "pstree needs the number of a process"),
        (["top"], "top needs the number of a process"),
        (["ps", "bash"], "a process is a number above 0: bash"),
        (["ps", "0"], "a process is a number above 0: 0"),
        (["ps", "-1"], "a process is a number above 0: -1"),
        (["ps", "1", "2"], "ps takes one process: 2"),
        (["pstree", "1", "--all"], "unknown option of pstree: --all"),
        (["top", "1", "--interval"], "argument expected for --interval"),
        (["top", "1", "--interval", "soon"], "an interval is from 0.05 to 3600 seconds: soon"),
        (["top", "1", "--interval=nan"], "an interval is from 0.05 to 3600 seconds: nan"),
    ],
)
def test_wrong_usage(words, reason):
    status, out, err = typed(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"rondeau: {reason}")
    assert err.splitlines()[1] == f"rondeau: python -m rondeau {words[0]} --help tells how it goes"


def test_who_cannot_be_asked_is_a_line_and_status_1():
    status, out, err = typed("ps", 2**22 + 1)
    assert (status, out, err) == (1, "", f"rondeau: no such process: {2**22 + 1}\n")


def test_the_figures_are_those_between_two_answers():
    loop = {
        "number": 1, "running": True, "ready": 3, "longest": 0.2, "timers": 4, "connections": 5, "descriptors": 6,
        "turns": 100, "ran": 10.0, "waited": 9.0, "delays": [[0.001, 90], [0.5, 1]],
    }  # fmt: skip
    later = loop | {"turns": 300, "ran": 12.0, "waited": 9.5, "delays": [[0.001, 188], [0.002, 1], [0.5, 2]]}
    states = [[1, "waiting", 7], [1, "ready", 2], [2, "waiting", 9]]
    (figure,) = live.figures({"loops": [loop], "states": states}, {"loops": [later], "states": states})
    assert figure["utilisation"] == 0.75
    assert figure["turns"] == 100
    assert (figure["delay_p50"], figure["delay_p99"], figure["delay_max"]) == (0.001, 0.002, 0.5)
    assert figure["tasks"] == {"running": 0, "ready": 2, "waiting": 7}
    (first,) = live.figures(None, {"loops": [loop | {"ran": 0.0}], "states": []})
    assert first["utilisation"] == 0.0
    assert live.percentile({}, 0.5) is None
