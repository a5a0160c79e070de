"""`python -m rondeau view` shows what was recorded before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recordings import kitchen

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


def test_view_writes_the_page_and_tells_the_story(folder):
    kitchen().save(folder / "monday.rondeau")
    done = start(folder, "view", "monday.rondeau")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("kitchen.py: 1.04 s of wall time, 2.80 s of waiting: 2.7 waits at a time, at most 4.\n")
    assert done.stdout.endswith("page  monday.html\n")
    assert made(folder) == ["monday.html", "monday.rondeau"]
    done = start(folder, "view", "--perfetto", "--out", "tuesday", "monday.rondeau")
    assert made(folder) == ["monday.html", "monday.rondeau", "tuesday.html", "tuesday.trace.json"]


def test_view_of_what_is_no_recording_is_one_line(folder):
    (folder / "bad.rondeau").write_text("no")
    for name, said in [("bad.rondeau", "it is not a recording"), ("none", "No such file"), (".", "Is a directory")]:
        done = start(folder, "view", name)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("rondeau: ")
        assert said in line
    assert made(folder) == ["bad.rondeau"]
