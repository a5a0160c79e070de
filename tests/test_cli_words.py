"""What the command line says to a person: help, complaints, guesses, colours, widths; and where its output may go.

`Shown` is a command at a real pseudo-terminal of 80 columns, since that is what decides about colours and widths.
"""

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import tomllib

import pytest

import rondeau
from inspected import program
from rondeau import _colours, _completion, cli

ME = [sys.executable, "-m", "rondeau"]
QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm"}
COLOURS = ("PYTHON_COLORS", "NO_COLOR", "FORCE_COLOR", "COLUMNS")


def environment(**more):
    return {**{name: value for name, value in os.environ.items() if name not in COLOURS}, **QUIET, **more}


def start(*words, **more):
    return subprocess.run([*ME, *map(str, words)], capture_output=True, text=True, timeout=120, env=environment(**more))


def shown(*words, columns=80, **more):
    """What a terminal of so many columns is sent."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen([*ME, *map(str, words)], stdin=there, stdout=there, stderr=there, env=environment(**more))
    os.close(there)
    text = b""
    with contextlib.suppress(OSError):  # EIO: the child has ended.
        while part := os.read(here, 65536):
            text += part
    os.close(here)
    assert child.wait() in (0, 2)
    return text.decode().replace("\r\n", "\n")


def without_colours(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help_which_fits(command):
    texts = set()
    for words in ([command, "--help"], [command, "-h"], ["help", command]):
        done = start(*words)
        assert (done.returncode, done.stderr) == (0, "")
        texts.add(done.stdout)
    (text,) = texts
    assert text.startswith(f"usage: python -m rondeau {command}")
    assert max(map(len, text.splitlines())) <= 80
    options = {name for action in cli.COMMANDS[command]()._actions for name in action.option_strings}
    assert {"-h", "--help"} <= options <= set(re.findall(r"(?<![\w-])--?\w[\w-]*", text))


def test_the_overview_names_each_command():
    texts = {start(*words).stdout for words in (["--help"], ["-h"], ["help"])}
    (text,) = texts
    assert set(re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)) == set(cli.COMMANDS)
    assert max(map(len, text.splitlines())) <= 80


def test_the_version():
    with open(os.path.join(os.path.dirname(__file__), "..", "Cargo.toml"), "rb") as file:
        assert tomllib.load(file)["workspace"]["package"]["version"] == rondeau.__version__
    for word in ("-V", "--version"):
        assert start(word).stdout == f"rondeau {rondeau.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a command is missing"),
        (["bake"], "unknown command: bake"),
        (["trase"], "unknown command: trase (did you mean trace?)"),
        (["--versoin"], "unknown option: --versoin (did you mean --version?)"),
        (["run"], "a program is missing"),
        (["run", ""], "a program is missing"),
        (["run", "--native"], "a program is missing"),
        (["run", "--nativ", "app.py"], "unknown option of run: --nativ (did you mean --native?)"),
        (["run", "--nat", "app.py"], "unknown option of run: --nat (did you mean --native?)"),
        (["run", "--native=yes", "app.py"], "--native takes no argument"),
        (["run", "-m"], "argument expected for the -m option"),
        (["run", "-c"], "argument expected for the -c option"),
        (["run", "-O", "look.py"], "unknown option of run: -O (python's own options go before -m rondeau)"),
        (["trace", "--out"], "argument expected for --out"),
        (["ps", "--jsn"], "unknown option of ps: --jsn (did you mean --json?)"),
        (["ps", "4711", "--jsn"], "unknown option of ps: --jsn (did you mean --json?)"),
        (["ps", "4711", "--every", "4712"], "unknown option of ps: --every"),
        (["doctor", "who"], "doctor takes no argument: who"),
        (["completion"], "a shell is missing: bash, zsh or fish"),
        (["completion", "bsh"], "no shell that is known: bsh (did you mean bash?)"),
    ],
)
def test_a_wrong_word_gets_two_lines(words, message):
    done = start(*words)
    assert (done.returncode, done.stdout) == (2, "")
    known = f"{words[0]} " if words and words[0] in cli.COMMANDS else ""
    assert done.stderr == f"rondeau: {message}\nrondeau: python -m rondeau {known}--help tells how it goes\n"


def test_options_before_a_program_come_in_any_order_and_form():
    code = "import asyncio, sys; print(asyncio.sleep.__module__, sys.argv[1:])"
    for options in (
        ["--native", "--watchdog"],
        ["--watchdog=0.5", "--native"],
        ["--watchdog", "0.5", "--native"],
        ["--native", "--watchdog", "0.5"],
    ):
        done = start("run", *options, "-c", code, "--native", "-m", "--help", "-h", "--", "--watchdog")
        words = ["--native", "-m", "--help", "-h", "--", "--watchdog"]
        assert (done.stderr, done.stdout) == ("", f"rondeau {words}\n"), options


def test_options_about_a_process_come_in_any_order_and_form():
    with program("ready()\nawait aio.sleep(1000)") as child:
        for words in (
            ["top", child.pid, "--once", "--interval", "0.05", "--json"],
            ["top", "--interval=0.05", "--json", child.pid, "--once"],
            ["top", "--json", "--once", "--interval", "0.05", child.pid],
        ):
            done = start(*words)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith('{"loop": 1, ')


CROWD = """
    async def a_dish_whose_name_is_as_long_as_a_menu_in_a_restaurant_with_three_stars():
        async with stove:
            await aio.sleep(1000)

    stove = aio.Lock()
    for number in range(3):
        aio.create_task(a_dish_whose_name_is_as_long_as_a_menu_in_a_restaurant_with_three_stars(), name=f"dish スープ {number}")
    await aio.sleep(0.01)
    ready()
    await stove.acquire()
"""


def test_what_a_terminal_shows_fits_it():
    with program(CROWD) as child:
        once = ["top", child.pid, "--once", "--interval=0.05"]
        for words in (["ps"], ["ps", child.pid], ["pstree", child.pid], once, ["doctor"]):
            for columns in (80, 50):
                lines = without_colours(shown(*words, columns=columns)).splitlines()
                assert max(map(_colours.columns, lines)) <= columns, words
        # A program gets whole lines, and the one who folds them loses nothing.
        piped = start("ps", child.pid).stdout
        folded = without_colours(shown("ps", child.pid, columns=50))
        assert max(map(len, piped.splitlines())) > 80

        def bare(text):
            return re.sub(r"\s|time-out.*|\d+ ready", "", re.sub(r"[\d.e+-]+ s left", "", " ".join(text.split())))

        assert bare(folded) == bare(piped)
        assert max(map(_colours.columns, without_colours(shown("ps", COLUMNS="40")).splitlines())) == 40


@pytest.mark.parametrize(
    ("more", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "PYTHON_COLORS": "1"}, True),
        ({"FORCE_COLOR": "1", "PYTHON_COLORS": "0"}, False),
    ],
)
def test_colours_at_a_terminal(more, coloured):
    for words in (["doctor"], ["ps", "--help"], ["bake"]):
        text = shown(*words, **more)
        assert ("\x1b[" in text) is coloured, (words, text)


@pytest.mark.parametrize(("more", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"PYTHON_COLORS": "1"}, True)])
def test_colours_in_a_pipe(more, coloured):
    done = start("doctor", **more)
    assert ("\x1b[" in done.stdout) is coloured
    assert without_colours(done.stdout).startswith("rondeau ")
    assert ("\x1b[" in start("bake", **more).stderr) is coloured


def test_a_hostile_name_paints_nothing():
    body = """
        aio.create_task(aio.sleep(1000), name="\\x1b[31mred\\x07")
        await aio.sleep(0.01)
        ready()
        await aio.sleep(1000)
    """
    with program(body) as child:
        text = shown("ps", child.pid)
        assert "\\x1b[31mred\\x07" in text
        assert "\x07" not in text


@pytest.mark.parametrize("words", [["--help"], ["doctor"], ["ps"], ["ps", "--help"], ["completion", "bash"], ["--version"]])
def test_who_reads_may_go_away(words):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*ME, *words], stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, env=environment())
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["doctor"], ["ps"], ["completion", "fish"]])
def test_a_full_disk_is_one_line(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*ME, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, env=environment())
    assert (done.returncode, done.stderr) == (1, "rondeau: cannot write: No space left on device\n")


def test_no_standard_output_at_all():
    for words in ("--help", "doctor", "ps", "completion bash"):
        line = f'exec "$0" -m rondeau {words} >&-'
        done = subprocess.run(["sh", "-c", line, sys.executable], stderr=subprocess.PIPE, text=True, timeout=120)
        assert done.stderr == ""


@pytest.mark.parametrize("shell", _completion.SHELLS)
def test_a_script_for_each_shell_knows_each_command_and_option(shell):
    done = start("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    for name, make in cli.COMMANDS.items():
        assert name in done.stdout
        for action in make()._actions:
            for option in action.option_strings:
                if option.startswith("--"):
                    assert (option if shell != "fish" else f"-l {option[2:]}") in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True, timeout=60)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["rondeau", "tr"], ["trace"]),
        (["rondeau", "ps"], ["ps", "pstree"]),
        (["rondeau", "--v"], ["--version"]),
        (["rondeau", "top", "--i"], ["--interval"]),
        (["rondeau", "trace", "--o"], ["--out", "--open"]),
        (["rondeau", "completion", "z"], ["zsh"]),
        (["rondeau", "view", "mon"], ["monday.rondeau"]),
    ],
)
def test_bash_completes(tmp_path, typed, offered):
    (tmp_path / "monday.rondeau").touch()
    words = " ".join(f"'{word}'" for word in typed)
    script = f"{start('completion', 'bash').stdout}\nCOMP_WORDS=({words}) COMP_CWORD={len(typed) - 1}\n"
    script += '_rondeau\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stderr, sorted(done.stdout.split())) == ("", sorted(offered))
