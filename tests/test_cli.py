"""`python -m rondeau run PROGRAM` is `python PROGRAM`: same output, same traceback, same exit status.

Each case is run both ways in the same folder, and all that can be seen from outside is compared.
"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import zipfile

import pytest

LOOK = """
import asyncio, sys, __main__
shown = {name: value for name, value in globals().items() if name not in ("__builtins__", "__main__")}
for name in sorted(shown):
    print(name, repr(shown[name]).split(" at 0x")[0])
print(type(__builtins__), __main__.__dict__ is globals(), __main__ is sys.modules["__main__"])
print(sys.argv, sys.path[0], len(sys.path), sys.flags.optimize, sys.warnoptions)
"""

PROGRAMS = {
    "look.py": LOOK,
    "nested/look.py": LOOK,
    "package/__init__.py": "",
    "package/__main__.py": LOOK,
    "package/module.py": LOOK + "from . import sibling\nprint(sibling.__name__)",
    "package/sibling.py": "",
    "package/look.py": LOOK,
    "folder/__main__.py": LOOK,
    "empty/readme": "",
    "broken/__init__.py": "def fail():\n    raise ValueError('in the package')\nfail()",
    "broken/module.py": "",
    "fails.py": "def cook(n):\n    return 1 / n\ndef serve():\n    cook(0)\nserve()",
    "chained.py": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error",
    "group.py": "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
    "syntax.py": "def f():\n    return (\n",
    "indent.py": "if 1:\npass",
    "encoding.py": "# -*- coding: latin-1 -*-\nprint(len('\u00e9'), ascii('\u00e9'))",
    "hook.py": "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[1], a[2].tb_frame.f_code.co_name)\n1 / 0",
    "badhook.py": "import sys\nsys.excepthook = 42\nraise SystemExit(5)",
    "exit_with.py": "import sys\nsys.exit(eval(sys.argv[1]))",
    "atexit_too.py": "import atexit\natexit.register(print, 'bye')\nraise SystemExit(3)",
    "interrupt.py": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
    "raises_interrupt.py": "raise KeyboardInterrupt('by hand')",
    "killed.py": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()",
    "future.py": "from __future__ import annotations\ndef f(x: no_such_name): pass\nprint(f.__annotations__)",
    "annotated.py": "x: int = 1\nprint(__annotations__)",
    "warns.py": "import warnings\nwarnings.warn('careful')\nprint('on')",
    "asyncio_fails.py": (
        "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    raise ValueError('burnt')\nasyncio.run(main())"
    ),
    "stdin.py": "import sys\nprint(sys.stdin.read().upper())",
    "threads.py": "import threading\nt = threading.Thread(target=lambda: print('thread'))\nt.start()",
    "pickles.py": "import pickle\nclass Dish: pass\nprint(type(pickle.loads(pickle.dumps(Dish()))) is Dish)",
    "dataclass.py": (
        "import dataclasses, typing\n@dataclasses.dataclass\nclass D:\n    x: 'int'\nprint(typing.get_type_hints(D))"
    ),
    "last.py": "1/0",
}


@pytest.fixture
def folder(tmp_path):
    for name, source in PROGRAMS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="latin-1" if name == "encoding.py" else "utf-8")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", LOOK)
    (tmp_path / "link.py").symlink_to("nested/look.py")
    (tmp_path / "forbidden.py").write_text("")
    return tmp_path


def start(folder, *words, options=(), stdin=""):
    return subprocess.run(
        [sys.executable, *options, *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHON_COLORS": "0"},
    )


def without_machinery(text):
    """Python's own traceback of `-m` begins with runpy's frames, which Rondeau leaves out."""
    text = re.sub(r'  File "<frozen [\w.]+>", line \d+, in \w+\n', "", text)
    # A SyntaxError has a place of its own; when no frame is left above it, there is no traceback to announce.
    return re.sub(r'^Traceback \(most recent call last\):\n(  File "[^"]+", line \d+\n)', r"\1", text)


def of_any_loop(text):
    """`run_until_complete` has one frame on both loops, in a file of each one's own."""
    frame = r'  File "[^"]+(?:base_events|_running)\.py", line \d+, (in run_until_complete\n)    .+\n(?:    [ ^~]+\n)?'
    return re.sub(frame, r"  File LOOP, \1", text)


def both(folder, *words, options=(), stdin=""):
    python = start(folder, *words, options=options, stdin=stdin)
    rondeau = start(folder, "-m", "rondeau", "run", *words, options=options, stdin=stdin)
    assert rondeau.stdout == python.stdout
    assert of_any_loop(rondeau.stderr) == of_any_loop(without_machinery(python.stderr))
    assert rondeau.returncode == python.returncode
    return rondeau


CASES = [
    ["look.py"],
    ["look.py", "--help", "-m", "x", "", "two words"],
    ["./look.py"],
    ["nested/look.py"],
    ["nested/../look.py"],
    ["link.py"],
    ["folder"],
    ["folder/"],
    ["program.zip", "argument"],
    ["-m", "look", "argument"],
    ["-m", "nested.look"],
    ["-m", "package", "-c", "x"],
    ["-m", "package.module"],
    ["-m", "package.look", "-m"],
    ["-c", LOOK, "argument", "-c"],
    ["-c", "1 / 0"],
    ["-c", "def f(:"],
    ["-c", "import sys; sys.exit('message')"],
    ["encoding.py"],
    ["future.py"],
    ["threads.py"],
    ["pickles.py"],
    ["dataclass.py"],
    ["warns.py"],
    ["atexit_too.py"],
    # What goes wrong.
    ["fails.py"],
    ["-m", "fails"],
    ["chained.py"],
    ["group.py"],
    ["syntax.py"],
    ["-m", "syntax"],
    ["indent.py"],
    ["hook.py"],
    ["badhook.py"],
    ["asyncio_fails.py"],
    ["-m", "broken.module"],
    ["-m", "broken"],
    ["no_such_file.py"],
    ["no/such/folder/file.py"],
    ["empty"],
    ["-m", "no_such_module"],
    ["-m", "package.no_such_module"],
    ["-m", "empty"],
    ["-m", "look.py"],
    ["-m", ".look"],
    ["-m", ""],
    ["interrupt.py"],
    ["raises_interrupt.py"],
    ["killed.py"],
    *(["exit_with.py", code] for code in ["0", "1", "None", "255", "256", "-1", "True", "2**40", "'why'", "(1, 2)", "1.5"]),
]


@pytest.mark.parametrize("words", CASES, ids=lambda words: " ".join(words)[:40].replace("\n", " "))
def test_as_python_does(folder, words):
    both(folder, *words)


@pytest.mark.parametrize("options", [["-O"], ["-W", "error"], ["-X", "dev"], ["-P"], ["-I"], ["-B", "-q"]], ids=" ".join)
@pytest.mark.parametrize("words", [["look.py"], ["folder"], ["warns.py"]], ids=" ".join)
def test_pythons_own_options(folder, words, options):
    both(folder, *words, options=options)


def test_interrupt_is_death_by_the_signal(folder):
    assert both(folder, "interrupt.py").returncode == -signal.SIGINT


def test_the_program_from_standard_input(folder):
    both(folder, "-", "argument", stdin=LOOK)
    both(folder, "-", stdin="print('soup')\n1 / 0\n")
    both(folder, "-", stdin="x = (")


def test_standard_input_is_the_programs(folder):
    assert both(folder, "stdin.py", stdin="soup").stdout == "SOUP\n"


def test_compiled_programs(folder):
    import py_compile

    py_compile.compile(str(folder / "look.py"), cfile=str(folder / "compiled.pyc"), dfile="look.py", doraise=True)
    both(folder, "compiled.pyc", "argument")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(folder):
    (folder / "forbidden.py").chmod(0)
    assert both(folder, "forbidden.py").returncode == 2


def test_interactive_afterwards(folder):
    done = [
        subprocess.run(
            [sys.executable, "-i", *words, "last.py"],
            cwd=folder,
            input="import sys\nprint(sys.last_value, sys.last_traceback.tb_frame.f_code.co_filename)\n",
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHON_BASIC_REPL": "1"},
        ).stdout
        for words in [[], ["-m", "rondeau", "run"]]
    ]
    assert done[0] == done[1]
    assert "division by zero" in done[1]


RUNS_ON = """
import asyncio, asyncio.events, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
async def main():
    return type(asyncio.get_running_loop()).__module__
print(asyncio.run(main()))
with asyncio.Runner() as runner:
    print(runner.run(main()))
for new in [asyncio.new_event_loop, asyncio.events.new_event_loop, asyncio.get_event_loop_policy().new_event_loop]:
    loop = new()
    print(loop.run_until_complete(main()))
    loop.close()
thread = threading.Thread(target=lambda: print(asyncio.run(main())))
thread.start()
thread.join()
"""


def test_every_door_leads_to_rondeau(folder):
    done = start(folder, "-m", "rondeau", "run", "-c", RUNS_ON)
    assert done.stderr == ""
    assert done.stdout.split() == ["rondeau.loop"] * 6


def test_the_programs_own_choice_is_obeyed(folder):
    code = """
    import asyncio
    async def main():
        return type(asyncio.get_running_loop()).__module__
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        print(runner.run(main()))
    """
    assert start(folder, "-m", "rondeau", "run", "-c", textwrap.dedent(code)).stdout == "asyncio.unix_events\n"


@pytest.mark.parametrize("driver", [None, "epoll"])
def test_doctor(folder, driver, monkeypatch):
    if driver:
        monkeypatch.setenv("RONDEAU_DRIVER", driver)
    else:
        monkeypatch.delenv("RONDEAU_DRIVER", raising=False)
    done = start(folder, "-m", "rondeau", "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert {"rondeau", "python", "kernel", "sockets", "files", "because", "RONDEAU_DRIVER"} <= rows.keys()
    assert rows["sockets"].startswith("epoll")
    if driver:
        assert rows["files"] == "threads"
        assert rows["RONDEAU_DRIVER"] == "epoll"


def test_a_driver_nobody_knows(folder, monkeypatch):
    monkeypatch.setenv("RONDEAU_DRIVER", "kqueue")
    done = start(folder, "-m", "rondeau", "run", "-c", "import asyncio; asyncio.run(asyncio.sleep(0))")
    assert done.returncode == 1
    assert "RONDEAU_DRIVER" in done.stderr
    assert "epoll" in done.stderr
    assert "uring" in done.stderr


def test_the_script(folder):
    script = os.path.join(os.path.dirname(sys.executable), "rondeau")
    assert os.path.exists(script), "the package is not installed"
    for words in [["look.py", "x"], ["-m", "look"], ["folder"], ["fails.py"], ["interrupt.py"], ["exit_with.py", "7"]]:
        python = start(folder, *words)
        done = subprocess.run([script, "run", *words], cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.stdout == python.stdout
        assert done.stderr == without_machinery(python.stderr)
        assert done.returncode == python.returncode
