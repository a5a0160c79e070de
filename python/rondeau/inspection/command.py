"""The command line of `ps`, `pstree` and `top`. Called by cli.py with the words behind the command's name.

Wrong usage ends with status 2, as everywhere; a program that cannot be asked with status 1 and its reason on stderr.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import NoReturn

from rondeau.cli import fail

from . import asking, listing, live, stuck, tree
from .snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def main(command: str, words: list[str]) -> None:
    """Run one of the three commands."""
    known = {"ps": {"--all", "--json"}, "pstree": set(), "top": {"--once", "--json", "--interval"}}[command]
    options: dict[str, str] = {}
    numbers: list[str] = []
    words = list(words)
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if name in known:
            if name == "--interval" and not value:
                value = words.pop(0) if words else fail(f"argument expected for {name}")
            options[name] = value
        elif word.startswith("-"):
            fail(f"unknown option of {command}: {word}")
        else:
            numbers.append(word)
    if len(numbers) > 1:
        fail(f"{command} takes one process: {numbers[1]}")
    pid = _number(numbers[0]) if numbers else None
    interval = _interval(options.get("--interval", "1"))
    try:
        if pid is None:
            if command != "ps":
                fail(f"{command} needs the number of a process; `python -m rondeau ps` lists them")
            _programs("--json" in options)
        elif command == "top":
            with asking.connect(pid) as program:
                live.show(program, "--once" in options, "--json" in options, interval)
        else:
            _tasks(command, pid, options)
    except asking.CannotAsk as error:
        _stop(str(error))
    except BrokenPipeError:  # `… | head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _programs(as_json: bool) -> None:
    found = asking.programs()
    try:
        if as_json:
            _print([json.dumps([program.greeting | {"pid": program.pid} for program in found])])
        elif found:
            _print(listing.programs(found))
        else:
            _print(["no Rondeau program of this user runs here"])
    finally:
        for program in found:
            program.__exit__()


def _tasks(command: str, pid: int, options: dict[str, str]) -> None:
    # 100,000 tasks are some hundred thousand lists, none of which is garbage.
    gc.disable()
    with asking.connect(pid) as program:
        answer = program.ask("tasks")
        if "--json" in options:
            _print([json.dumps(answer)])
            return
        snapshot = Snapshot(answer)
        verdict = stuck.find(program, snapshot)
    if command == "ps":
        _print(listing.report(pid, snapshot, verdict, "--all" in options))
    else:
        _print(tree.report(pid, snapshot, verdict))


def _print(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{listing.plain(line)}\n" for line in lines))
    sys.stdout.flush()


def _number(word: str) -> int:
    if not word.isascii() or not word.isdecimal() or int(word) == 0:
        fail(f"a process is a number above 0: {word}")
    return int(word)


def _interval(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        fail(f"an interval is from 0.05 to 3600 seconds: {word}")
    return seconds


def _stop(reason: str) -> NoReturn:
    sys.stderr.write(f"rondeau: {reason}\n")
    raise SystemExit(1)
