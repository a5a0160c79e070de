"""`python -m rondeau trace PROGRAM` and `python -m rondeau view FILE`: what happened, as words, as a page, as a trace.

Called by cli.py. `trace` runs a program exactly as `run` does, with the recorder on. What it says goes to standard error, and
only after everything else, the program's own traceback too: it is written by the last function of atexit, so that a program
that fails or is interrupted has its recording as well, and its exit status stays its own.

The files stand side by side: NAME.rondeau (the recording), NAME.html (the page), NAME.trace.json (for https://ui.perfetto.dev).
They are replaced if they exist. Whether they can be written is found out before the program runs.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from .analysis import analyse
from .file import RecordingError
from .lanes import Analysis
from .model import Recording
from .page import write_page
from .perfetto import write_perfetto
from .summary import summary

ENDINGS = (".trace.json", ".rondeau", ".html")
CAPACITY = 1 << 22  # events that `trace` keeps: 96 MiB if the program makes that many


class Unusable(Exception):
    """An option or a file that cannot be used; the message is for the user."""


@dataclass
class Options:
    """What stands before the program or the file."""

    out: str = ""
    open: bool = False
    perfetto: bool = False


def options(words: list[str], known: tuple[str, ...]) -> tuple[Options, list[str]]:
    """Take the options that are `known` off the front."""
    found = Options()
    while words and words[0].partition("=")[0] in known:
        name, equals, value = words[0].partition("=")
        words = words[1:]
        if name == "--out":
            if not equals:
                if not words:
                    raise Unusable("argument expected for the --out option")
                value, *words = words
            if not value:
                raise Unusable("--out needs a file or a folder")
            found.out = value
        elif equals:
            raise Unusable(f"{name} takes no argument")
        else:
            setattr(found, name[2:], True)
    return found, words


def base(out: str, name: str) -> str:
    """Where the files go, without their endings: absolute, since the program may chdir.

    `out`: a folder that exists or ends in a slash, for files of that `name`; or a file, whose ending does not matter.

    >>> base("/tmp/", "app"), base("/tmp/run-7.html", "app"), base("/tmp/run-7", "app")
    ('/tmp/app', '/tmp/run-7', '/tmp/run-7')
    """
    if not out or out.endswith("/") or os.path.isdir(out):
        path = os.path.join(out or ".", name)
    else:
        path = next((out.removesuffix(ending) for ending in ENDINGS if out.endswith(ending)), out)
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise Unusable(f"there is no folder {folder!r}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unusable(f"nothing can be written to {folder!r}; --out names another place")
    return path


def trace(chosen: Options, program: str, run: Callable[[], None]) -> None:
    """Run it with the recorder on. `program`: what the files are called after; `run` raises what the program raises."""
    from rondeau import _watchdog, recorder

    path = base(chosen.out, os.path.splitext(os.path.basename(program.rstrip("/")))[0] or "program")
    process = os.getpid()
    interrupted = False

    def report() -> None:
        if os.getpid() != process:  # A child that forked and came to its own end.
            return
        watchdog.stop()
        try:
            recording = recorder.recording(since)
            recorder.stop()
        except RuntimeError:  # The program has stopped it.
            return
        try:
            tell(analyse(recording), path, Options(path, chosen.open, True), recording)
        except (OSError, RecordingError) as error:
            say(f"rondeau: what was recorded cannot be written: {error}")
        if interrupted:
            # Python dies by SIGINT if the last source text that it ran ended in a KeyboardInterrupt; what was imported
            # meanwhile may have been the last one (namedtuple and dataclass run some).
            with contextlib.suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")

    since = recorder.start(CAPACITY)
    watchdog = _watchdog.watchdog("auto", log=False).start()
    atexit.register(report)
    try:
        run()
    except KeyboardInterrupt:
        interrupted = True
        raise


def view(words: list[str]) -> None:
    """The page and the summary of a recording that was written before."""
    chosen, rest = options(words, ("--out", "--open", "--perfetto"))
    match rest:
        case [path] if not path.startswith("-"):
            pass
        case []:
            raise Unusable("a recording is missing")
        case [path, *_] if path.startswith("-"):
            raise Unusable(f"unknown option: {path}")
        case _:
            raise Unusable("view takes one recording")
    try:
        found = analyse(Recording.load(path))
        name = os.path.basename(path).removesuffix(".rondeau")
        tell(found, base(chosen.out or os.path.dirname(path) or ".", name), chosen, None)
    except OSError as error:
        raise SystemExit(f"rondeau: {error.strerror or error}: {error.filename!r}") from None
    except RecordingError as error:
        raise SystemExit(f"rondeau: {error}") from None


def tell(found: Analysis, path: str, chosen: Options, recording: Recording | None) -> None:
    """Write the files, then the summary and where they are."""
    written = []
    if recording is not None:
        recording.save(f"{path}.rondeau")
        written.append(("recording", f"{path}.rondeau"))
    write_page(found, f"{path}.html")
    written.append(("page", f"{path}.html"))
    if chosen.perfetto:
        write_perfetto(found, f"{path}.trace.json")
        written.append(("for ui.perfetto.dev", f"{path}.trace.json"))
    width = max(len(what) for what, _ in written)
    files = "\n".join(f"{what:<{width}}  {near(file)}" for what, file in written)
    text = f"{summary(found)}\n\n{files}"
    if recording is None:
        print(text)
    else:
        say(f"\n{text}")
    if chosen.open:
        import webbrowser

        webbrowser.open(f"file://{path}.html")


def near(path: str) -> str:
    """The path as one would type it here."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def say(text: str) -> None:
    """To standard error, if there still is one. What a closed one cannot take stays in its buffer: exit status 120."""
    try:
        with contextlib.suppress(io.UnsupportedOperation):
            os.fstat(sys.stderr.fileno())
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass
