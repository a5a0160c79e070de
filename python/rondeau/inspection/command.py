"""The command line of `ps`, `pstree` and `top`. Called by cli.py with the words behind the command's name.

Wrong usage ends with status 2, as everywhere; a program that cannot be asked with status 1 and its reason on stderr.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import NoReturn

from rondeau import _colours

from . import asking, listing, live, stuck, tree
from .snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from rondeau._parsing import Parser


def main(parser: Parser, options: Namespace) -> None:
    """Run one of the three commands."""
    command = parser.command
    pid = _number(parser, options.words[0]) if options.words else None
    try:
        if pid is None:
            if command != "ps":
                parser.fail(f"{command} needs the number of a process; `python -m rondeau ps` lists them")
            _programs(options.json)
        elif command == "top":
            interval = _interval(parser, options.interval)
            with asking.connect(pid) as program:
                live.show(program, options.once, options.json, interval)
        else:
            _tasks(command, pid, getattr(options, "all", False), getattr(options, "json", False))
    except asking.CannotAsk as error:
        _stop(str(error))


def _programs(as_json: bool) -> None:
    found = asking.programs()
    try:
        if as_json:
            _say(json.dumps([program.greeting | {"pid": program.pid} for program in found]))
        elif found:
            _print(listing.programs(found))
        else:
            _print(["no Rondeau program of this user runs here"])
    finally:
        for program in found:
            program.__exit__()


def _tasks(command: str, pid: int, each: bool, as_json: bool) -> None:
    # 100,000 tasks are some hundred thousand lists, none of which is garbage.
    gc.disable()
    with asking.connect(pid) as program:
        answer = program.ask("tasks")
        if as_json:
            _say(json.dumps(answer))
            return
        snapshot = Snapshot(answer)
        verdict = stuck.find(program, snapshot)
    if command == "ps":
        _print(listing.report(pid, snapshot, verdict, each), fold=True)
    else:
        _print(tree.report(pid, snapshot, verdict))


def _print(lines: Iterable[str], fold: bool = False) -> None:
    """Harmless lines, as wide and as colourful as who reads them wants: cut at the edge, or folded where all is wanted."""
    width, coloured = _colours.width(sys.stdout), _colours.wanted(sys.stdout)
    shown = (listing.plain(line) for line in lines)
    if fold:
        fitting = (part for line in shown for part in _colours.folded(line, width, " " * (6 if line[:1] != " " else 8)))
    else:
        fitting = (_colours.cut(line, width) for line in shown)
    print("".join(f"{_colours.line(line) if coloured else line}\n" for line in fitting), end="", flush=True)


def _say(line: str) -> None:
    """For programs: a whole line, which JSON has made harmless."""
    print(line, flush=True)


def _number(parser: Parser, word: str) -> int:
    if not word.isascii() or not word.isdecimal() or int(word) == 0:
        parser.fail(f"a process is a number above 0: {word}")
    return int(word)


def _interval(parser: Parser, word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        parser.fail(f"an interval is from 0.05 to 3600 seconds: {word}")
    return seconds


def _stop(reason: str) -> NoReturn:
    sys.stderr.write(f"rondeau: {reason}\n")
    raise SystemExit(1)
