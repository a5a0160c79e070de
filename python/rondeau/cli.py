"""The command line: `python -m rondeau run …`, `trace …`, `ps …` and the rest, or `rondeau …` for short.

argparse reads it (`_parsing.py`), but for what stands behind a program's name, which belongs to the program. Wrong usage ends
with status 2 and two lines on stderr. A command of ours whose reader has gone away ends in silence; what a program that is
run does then is the program's.
"""

from __future__ import annotations

import os
import sys

from ._parsing import Parser, fail, guess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from rondeau._watchdog import Watchdog
    from rondeau.program import Program

_PROGRAM = "(FILE | -m MODULE | -c CODE | -) [ARG ...]"
_MEANT = """\

FILE is a source file, a folder or a zip file; - is standard input. What stands
behind the program's name is the program's own; python's own options go before
-m rondeau."""


def _runs(parser: Parser) -> Parser:
    parser.add_argument("--native", action="store_true", help="asyncio's names are Rondeau's native ones as well")
    parser.add_argument(
        "--watchdog",
        nargs="?",
        const="0.1",
        metavar="SECONDS",
        help="name in the log what blocks the loop for so long (0.1; auto: what is long for this program)",
    )
    return parser


def _shows(parser: Parser) -> Parser:
    parser.add_argument("--out", metavar="PATH", help="a folder, or a name, for the files")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    return parser


def _one(parser: Parser, metavar: str, what: str) -> Parser:
    parser.add_argument("words", nargs="*", metavar=metavar, help=what)
    return parser


def _run() -> Parser:
    about = "run a program as python would, on Rondeau" + "\n" + _MEANT
    usage = f"[--native] [--watchdog[=SECONDS]]\n       {_PROGRAM}"
    return _runs(Parser("run", usage, about, ("run app.py", "run --native -m app")))


def _trace() -> Parser:
    about = "run a program, then tell who ran, who waited and what blocked:\na summary, a page, a trace for Perfetto\n" + _MEANT
    usage = f"[--out PATH] [--open] [--native]\n       [--watchdog[=SECONDS]] {_PROGRAM}"
    return _runs(_shows(Parser("trace", usage, about, ("trace app.py", "trace --out /tmp/ --open -m app"))))


def _view() -> Parser:
    about = "tell the story of a recording that was written before"
    parser = Parser("view", "[--out PATH] [--open] [--perfetto] RECORDING", about, most=1, many="view takes one recording")
    _shows(parser).add_argument("--perfetto", action="store_true", help="write a trace for ui.perfetto.dev as well")
    return _one(parser, "RECORDING", "a file that trace or rondeau.dump wrote")


def _ps() -> Parser:
    about = "list the Rondeau programs of this user, or the tasks of one:\non what each waits, and who is stuck"
    parser = Parser("ps", "[PID] [--all] [--json]", about, ("ps", "ps 4711"), most=1, many="ps takes one process")
    parser.add_argument("--all", action="store_true", help="each task, also where many are alike")
    parser.add_argument("--json", action="store_true", help="for programs")
    return _one(parser, "PID", "the number of a process")


def _pstree() -> Parser:
    parser = Parser("pstree", "PID", "draw who waits for whom", most=1, many="pstree takes one process")
    return _one(parser, "PID", "the number of a process")


def _top() -> Parser:
    about = "show what the loops of a program do, again and again"
    usage = "PID [--once] [--json] [--interval SECONDS]"
    parser = Parser("top", usage, about, ("top 4711 --interval 0.5",), most=1, many="top takes one process")
    parser.add_argument("--once", action="store_true", help="one interval only")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each loop and interval")
    parser.add_argument("--interval", default="1", metavar="SECONDS", help="from 0.05 to 3600; 1 if not given")
    return _one(parser, "PID", "the number of a process")


def _doctor() -> Parser:
    return Parser("doctor", "", "tell what runs here, and why: for a bug report")


def _completion() -> Parser:
    examples = ("completion zsh", "completion bash >> ~/.bash_completion")
    parser = Parser(
        "completion",
        "bash|zsh|fish",
        "print a script with which a shell completes commands and options",
        examples,
        most=1,
        many="completion takes one shell",
    )
    return _one(parser, "SHELL", "bash, zsh or fish")


COMMANDS = {
    "run": _run,
    "trace": _trace,
    "view": _view,
    "ps": _ps,
    "pstree": _pstree,
    "top": _top,
    "doctor": _doctor,
    "completion": _completion,
}


def main() -> None:
    """Called by __main__.py and by the script `rondeau`. Returns when all went well, else raises SystemExit."""
    match sys.argv[1:]:
        case ["run", *words]:
            run(_run(), words)
        case ["trace", *words]:
            trace(_trace(), words)
        case words:
            _guarded(words)


def _guarded(words: list[str]) -> None:
    """A command of ours: nobody sees a traceback because of where its output goes."""
    try:
        try:
            _ours(words)
        finally:  # argparse prints its help and exits.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough.
        _to_nowhere()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:  # What the commands ask, each of them has caught: this is a full disk under `> file`.
        _to_nowhere()
        sys.stderr.write(f"rondeau: cannot write: {error.strerror or error}\n")
        raise SystemExit(1) from None


def _to_nowhere() -> None:
    """So that Python, which flushes standard output at its end, does not complain either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _ours(words: list[str]) -> None:
    match words:
        case ["view", *rest]:
            view(_view(), rest)
        case [("ps" | "pstree" | "top") as command, *rest]:
            from rondeau.inspection.command import main

            parser = COMMANDS[command]()
            main(parser, parser.words(rest))
        case ["doctor", *rest]:
            _doctor().words(rest)
            from rondeau.doctor import report

            print(report())
        case ["completion", *rest]:
            completion(_completion(), rest)
        case ["help", command] if command in COMMANDS:
            COMMANDS[command]().print_help()
        case ["-h" | "--help" | "help", *_]:
            print(_overview().format_help(), end="")
        case ["-V" | "--version"]:
            import rondeau

            print(f"rondeau {rondeau.__version__}")
        case [option, *_] if option.startswith("-"):
            fail(f"unknown option: {option}{guess(option, ['--help', '--version'])}")
        case [unknown, *_]:
            fail(f"unknown command: {unknown}{guess(unknown, COMMANDS)}")
        case _:
            fail("a command is missing")


def _overview() -> Parser:
    lines = []
    for name, make in COMMANDS.items():
        lines.append(f"  {name:<12}{make().short}")
    about = "An asyncio event loop in Rust that switches instead of waiting.\n\ncommands:\n" + "\n".join(lines)
    parser = Parser("", "COMMAND ...", about, ("run app.py", "ps", "trace --help"))
    parser.add_argument("-V", "--version", action="store_true", help="show the version and end")
    return parser


def run(parser: Parser, words: list[str]) -> None:
    """Find out which program is meant, make Rondeau the loop, and hand over."""
    from rondeau import program

    options, rest = _options(parser, words)
    put_in_place, how, _ = chosen(parser, options, rest)
    put_in_place()
    program.run(how)


def trace(parser: Parser, words: list[str]) -> None:
    """The same with the recorder on."""
    from rondeau import program
    from rondeau.recording import command

    options, rest = _options(parser, words)
    put_in_place, how, name = chosen(parser, options, rest)

    def hand_over() -> None:
        put_in_place()
        program.run(how)

    try:
        command.trace(command.Options(_out(parser, options), options.open), name, hand_over)
    except command.Unusable as error:
        parser.fail(str(error))


def view(parser: Parser, words: list[str]) -> None:
    """The page and the summary of a recording."""
    from rondeau.recording import command

    options = parser.words(words)
    if not options.words:
        parser.fail("a recording is missing")
    try:
        command.view(command.Options(_out(parser, options), options.open, options.perfetto), options.words[0])
    except command.Unusable as error:
        parser.fail(str(error))


def completion(parser: Parser, words: list[str]) -> None:
    """The script for a shell."""
    from rondeau import _completion

    match parser.words(words).words:
        case [shell] if shell in _completion.SHELLS:
            print(_completion.script(shell, {name: make() for name, make in COMMANDS.items()}), end="")
        case [shell]:
            parser.fail(f"no shell that is known: {shell}{guess(shell, _completion.SHELLS)}")
        case _:
            parser.fail("a shell is missing: bash, zsh or fish")


def _out(parser: Parser, options: Namespace) -> str:
    if options.out == "":
        parser.fail("--out needs a file or a folder")
    return options.out or ""


def _options(parser: Parser, words: list[str]) -> tuple[Namespace, list[str]]:
    """What stands before the program, and the program."""
    front, rest = parser.split(words)
    for word in front:
        if word.startswith("-") and not word.startswith("--") and word != "-h":
            parser.unknown(word, " (python's own options go before -m rondeau)")
    return parser.words(front), rest


def chosen(parser: Parser, options: Namespace, words: list[str]) -> tuple[Callable[[], None], Program, str]:
    """What makes Rondeau the loop, the program, and its short name."""
    from rondeau import native, program

    put_in_place = native.install if options.native else native.install_loop
    if options.watchdog is not None:
        from rondeau import _watchdog

        try:
            watchdog = _watchdog.from_text(options.watchdog, "--watchdog")
        except ValueError as error:
            parser.fail(str(error))
        if watchdog is not None:
            put_in_place = _and_watch(put_in_place, watchdog)
    match words:
        case ["-m", module, *arguments]:
            return put_in_place, program.module(module, arguments), module
        case ["-c", code, *arguments]:
            return put_in_place, program.command(code, arguments), "command"
        case ["-m" | "-c" as option]:
            parser.fail(f"argument expected for the {option} option")
        case ["-", *arguments]:
            return put_in_place, program.standard_input(arguments), "stdin"
        case ["", *_] | []:
            parser.fail("a program is missing")
        case [path, *arguments]:
            return put_in_place, program.path(path, arguments), path
    raise AssertionError("every list of words is one of these")


def _and_watch(put_in_place: Callable[[], None], watchdog: Watchdog) -> Callable[[], None]:
    def both() -> None:
        put_in_place()
        watchdog.start()

    return both
