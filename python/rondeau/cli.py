"""The command line: `python -m rondeau run …`, `trace …`, `view …` and `doctor`, or `rondeau …` for short.

Parsed by hand, because everything after the program's name belongs to the program: argparse would take
`--help` or `-v` for its own. Wrong usage ends with status 2 and a line on stderr, as with python.
"""

from __future__ import annotations

import sys
from typing import NoReturn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rondeau._watchdog import Watchdog
    from rondeau.program import Program

USAGE = """\
usage: python -m rondeau run FILE [ARG...]        run a program as python would, on Rondeau
       python -m rondeau run -m MODULE [ARG...]
       python -m rondeau run -c CODE [ARG...]
       python -m rondeau run - [ARG...]           the program is read from standard input
       python -m rondeau run --native ...         the same, and asyncio's names are Rondeau's native ones
       python -m rondeau run --watchdog[=S] ...   the same, and what blocks the loop for S seconds (0.1) is named in the log
       python -m rondeau trace [--out PATH] [--open] FILE [ARG...]
                                                  run it, then tell who ran, who waited and what blocked: a summary,
                                                  a page, a trace for Perfetto; -m, -c, - and --native as with run
       python -m rondeau view [--out PATH] [--open] [--perfetto] RECORDING
                                                  the same for a recording that was written before
       python -m rondeau ps                       the Rondeau programs of this user
       python -m rondeau ps PID [--all] [--json]  the tasks of one, on what each waits, and who is stuck
       python -m rondeau pstree PID               who waits for whom
       python -m rondeau top PID [--once] [--json] [--interval SECONDS]
       python -m rondeau doctor                   what runs here, and why
       python -m rondeau --version
"""


def main() -> None:
    """Called by __main__.py and by the script `rondeau`. Returns when all went well, else raises SystemExit."""
    match sys.argv[1:]:
        case ["run", *program]:
            run(program)
        case ["trace", *program]:
            trace(program)
        case ["view", *words]:
            view(words)
        case [("ps" | "pstree" | "top") as command, *words]:
            from rondeau.inspection.command import main

            main(command, words)
        case ["doctor"]:
            from rondeau.doctor import report

            print(report())
        case ["-h" | "--help" | "help", *_]:
            print(USAGE, end="")
        case ["-V" | "--version"]:
            import rondeau

            print(f"rondeau {rondeau.__version__}")
        case ["doctor", extra, *_]:
            fail(f"doctor takes no argument: {extra}")
        case [unknown, *_]:
            fail(f"unknown command: {unknown}")
        case _:
            fail("a command is missing")


def run(words: list[str]) -> None:
    """Find out which program is meant, make Rondeau the loop, and hand over."""
    from rondeau import program

    if (found := chosen(words)) is not None:
        put_in_place, how, _ = found
        put_in_place()
        program.run(how)


def trace(words: list[str]) -> None:
    """The same with the recorder on."""
    from rondeau import program
    from rondeau.recording import command

    try:
        options, words = command.options(words, ("--out", "--open"))
        if (found := chosen(words)) is None:
            return
        put_in_place, how, name = found

        def hand_over() -> None:
            put_in_place()
            program.run(how)

        command.trace(options, name, hand_over)
    except command.Unusable as error:
        fail(str(error))


def view(words: list[str]) -> None:
    """The page and the summary of a recording."""
    from rondeau.recording import command

    if words[:1] in (["-h"], ["--help"]):
        print(USAGE, end="")
        return
    try:
        command.view(words)
    except command.Unusable as error:
        fail(str(error))


def chosen(words: list[str]) -> tuple[Callable[[], None], Program, str] | None:
    """What makes Rondeau the loop, the program, and its short name; None if only help was wanted, and given."""
    from rondeau import native, program

    put_in_place = native.install_loop
    watchdog = None
    while words and words[0].startswith("--"):
        match words[0].partition("="):
            case ["--native", "", ""]:
                put_in_place = native.install
            case ["--watchdog", equals, seconds]:
                from rondeau import _watchdog

                try:
                    watchdog = _watchdog.from_text(seconds if equals else "0.1", "--watchdog")
                except ValueError as error:
                    fail(str(error))
            case _:
                break
        words = words[1:]
    if watchdog is not None:
        put_in_place = _and_watch(put_in_place, watchdog)
    match words:
        case ["-h" | "--help", *_]:
            print(USAGE, end="")
            return None
        case ["-m", module, *arguments]:
            return put_in_place, program.module(module, arguments), module
        case ["-c", code, *arguments]:
            return put_in_place, program.command(code, arguments), "command"
        case ["-m" | "-c" as option]:
            fail(f"argument expected for the {option} option")
        case ["-", *arguments]:
            return put_in_place, program.standard_input(arguments), "stdin"
        case ["", *_] | []:
            fail("a program is missing")
        case [option, *_] if option.startswith("-"):
            fail(f"unknown option: {option} (python's own options go before -m rondeau)")
        case [path, *arguments]:
            return put_in_place, program.path(path, arguments), path
    raise AssertionError("every list of words is one of these")


def _and_watch(put_in_place: Callable[[], None], watchdog: Watchdog) -> Callable[[], None]:
    def both() -> None:
        put_in_place()
        watchdog.start()

    return both


def fail(reason: str) -> NoReturn:
    """Wrong usage: why, how it goes, status 2."""
    sys.stderr.write(f"rondeau: {reason}\n{USAGE}")
    raise SystemExit(2)
