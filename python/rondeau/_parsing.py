"""argparse as the command line uses it: two lines for a wrong word, a guess at the right one, colours, no abbreviations.

Every command is a `Parser`; `cli.py` makes them and `_completion.py` reads them. What stands behind a program's name belongs to
the program, even if it reads `--help`: `split` finds where that begins, and argparse sees only what comes before.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from typing import NoReturn

from . import _colours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def called() -> str:
    """How this command line was called: by its script or as a module."""
    return "rondeau" if os.path.basename(sys.argv[0]) == "rondeau" else "python -m rondeau"


def fail(reason: str, command: str = "") -> NoReturn:
    """Wrong usage: why, where help is, status 2."""
    lines = [f"rondeau: {reason}", f"rondeau: {called()}{f' {command}' if command else ''} --help tells how it goes"]
    if _colours.wanted(sys.stderr):
        lines = [_colours.line(line) for line in lines]
    if sys.stderr is not None:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
    raise SystemExit(2)


def guess(word: str, known: Iterable[str]) -> str:
    """What was probably meant, as words to put behind a complaint; nothing if there is no likely one.

    >>> guess("trase", ["run", "trace"]), guess("bake", ["run", "trace"])
    (' (did you mean trace?)', '')
    """
    near = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""


class Parser(argparse.ArgumentParser):
    """A command's options and words.

    Args:
        command: its name behind `rondeau`.
        usage: what comes behind the name.
        about: what it does, a sentence or some; its first line is `short`, for lists.
        examples: lines that can be typed.
        most: as many words that are no options are taken.
        many: what is said of one too many.
    """

    def __init__(
        self, command: str, usage: str, about: str, examples: Sequence[str] = (), *, most: int = 0, many: str = ""
    ) -> None:
        self.command = command
        self.short = about.partition("\n")[0].rstrip(":")
        self.most = most
        self.many = many or f"{command} takes no argument"
        said = "".join(f"  {called()} {example}\n" for example in examples)
        super().__init__(
            prog=f"{called()} {command}".strip(),
            usage=f"{called()}{f' {command}' if command else ''}{f' {usage}' if usage else ''}",
            description=about,
            epilog=f"examples:\n{said}" if said else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,  # Whose words would differ from ours.
        )
        self.color = False  # argparse paints from 3.14 on; here it is `_colours` on every Python.
        self.add_argument("-h", "--help", action="help", help="show this and end")

    def words(self, given: Sequence[str]) -> argparse.Namespace:
        """What these words say; ends the process where they say nothing."""
        found, rest = self.parse_known_args(given)
        positional: list[str] = getattr(found, "words", [])
        for word in rest:
            if word.startswith("-"):
                self.unknown(word)
            positional.append(word)
        if len(positional) > self.most:
            self.fail(f"{self.many}: {positional[self.most]}")
        return found

    def unknown(self, word: str, why: str = "") -> NoReturn:
        """An option that there is not."""
        known = [name for action in self._actions for name in action.option_strings]
        name = word.partition("=")[0]
        self.fail(f"unknown option{f' of {self.command}' if self.command else ''}: {name}{guess(name, known)}{why}")

    def fail(self, reason: str) -> NoReturn:
        """End with these words."""
        fail(reason, self.command)

    def error(self, message: str) -> NoReturn:
        """What argparse itself complains of, in our words."""
        _, _, said = message.partition("argument ")
        name, _, what = said.partition(": ")
        if what == "expected one argument":
            self.fail(f"argument expected for {name}")
        if what.startswith("ignored explicit argument"):
            self.fail(f"{name} takes no argument")
        self.fail(f"{name}: {what}" if what else message)

    def format_help(self) -> str:
        """Its text, in colours if standard output wants them."""
        text = super().format_help()
        if _colours.wanted(sys.stdout):
            text = "".join(_colours.line(line) if not line.startswith(" ") else line for line in text.splitlines(keepends=True))
        return text

    def split(self, given: Sequence[str]) -> tuple[list[str], list[str]]:
        """The options at the front, and what begins with the program.

        An option whose value may be left out has one if what follows is a number, or follows an equals sign.
        """
        options = {name: action for action in self._actions for name in action.option_strings}
        front: list[str] = []
        rest = list(given)
        while rest and len(rest[0]) > 1 and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            word = rest.pop(0)
            action = options.get(word)
            if action is not None and rest and (action.nargs is None or (action.nargs == "?" and _is_number(rest[0]))):
                word = f"{word}={rest.pop(0)}"
            front.append(word)
        return front, rest


def _is_number(word: str) -> bool:
    try:
        return float(word) >= 0
    except ValueError:
        return False
