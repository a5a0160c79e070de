"""`python -m rondeau trace PROGRAM` and `python -m rondeau view FILE`: what happened, as words, as a page, as a trace.

Called by cli.py. `trace` runs a program exactly as `run` does, with the recorder on. What it says goes to standard error, and
only after everything else, the program's own traceback too: it is written by the last function of atexit, so that a program
that fails or is interrupted has its recording as well, and its exit status stays its own. SIGTERM, at which Python runs
nothing of atexit, is waited for as well: a server has no other end. os._exit and SIGKILL leave nothing.

The files stand side by side: NAME.rondeau (the recording), NAME.html (the page), NAME.trace.json (for https://ui.perfetto.dev).
They are replaced if they exist. Whether they can be written is found out before the program runs.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import signal
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
        found = analyse(recording)
        if len(recording.events):
            tell(found, path, Options(path, chosen.open, True), recording)
        else:
            say(f"\n{summary(found)}")  # There is nothing to look at: a module that does not exist, a program without a loop.
        if interrupted:
            # Python dies by SIGINT if the last source text that it ran ended in a KeyboardInterrupt; what was imported
            # meanwhile may have been the last one (namedtuple and dataclass run some).
            with contextlib.suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")

    since = recorder.start(CAPACITY)
    watchdog = _watchdog.watchdog("auto", log=False).start()
    atexit.register(report)
    _before_termination(report)
    try:
        run()
    except KeyboardInterrupt:
        interrupted = True
        raise


def _before_termination(report: Callable[[], None]) -> None:
    """Have SIGTERM end the program as ever, after `report`: unless it is ignored, or the program handles it."""

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        try:
            report()
        finally:
            os.kill(os.getpid(), number)

    def forget() -> None:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
        os.register_at_fork(after_in_child=forget)


def view(chosen: Options, path: str) -> None:
    """The page and the summary of a recording that was written before."""
    try:
        found = analyse(Recording.load(path))
        name = os.path.basename(path).removesuffix(".rondeau")
        place = base(chosen.out or os.path.dirname(path) or ".", name)
    except OSError as error:
        raise SystemExit(f"rondeau: {error.strerror or error}: {error.filename!r}") from None
    except RecordingError as error:
        raise SystemExit(f"rondeau: {error}") from None
    if not tell(found, place, chosen, None):
        raise SystemExit(1)


def tell(found: Analysis, path: str, chosen: Options, recording: Recording | None) -> bool:
    """Say the summary, write the files, and say where they are; True if all could be written.

    What cannot is told and left out: a disk that is full does not take the story away.
    """
    files = [] if recording is None else [("recording", "rondeau", recording.save)]
    files.append(("page", "html", functools.partial(write_page, found)))
    if chosen.perfetto:
        files.append(("for ui.perfetto.dev", "trace.json", functools.partial(write_perfetto, found)))
    out = print if recording is None else say
    out(summary(found) if recording is None else f"\n{summary(found)}")
    width = max(len(what) for what, _, _ in files)
    lines, wrong = [], []
    for what, ending, write in files:
        file = f"{path}.{ending}"
        try:
            write(file)
            lines.append(f"{what:<{width}}  {near(file)}")
        except RecordingError as error:
            wrong.append(f"rondeau: {error}")
        except OSError as error:
            wrong.append(f"rondeau: cannot write {near(file)!r}: {error.strerror or error}")
    if lines:
        out("\n" + "\n".join(lines))
    for line in wrong:
        say(line)
    if chosen.open and os.path.exists(f"{path}.html"):
        import webbrowser

        webbrowser.open(f"file://{path}.html")
    return not wrong


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
