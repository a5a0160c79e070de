"""Runs somebody's program as `python` itself would: same __main__, argv, path, tracebacks and exit status.

Called by cli.py only. The program runs in this process and in the very module that python made `__main__`, so
`-X`, `-W`, `-i` and the rest given to python before `-m rondeau` hold for it, and python itself turns
SystemExit into a status and an unhandled KeyboardInterrupt into death by SIGINT. A traceback starts at the
program's own first frame: everything above it (ours, runpy's, importlib's) is taken off before it is shown.

Rejected: a fresh interpreter with a start-up hook in its environment (children of the program would inherit
it), and runpy.run_path (its frames show, and it takes the namespace away when the program ends). The price:
`sys.orig_argv` and a stack printed from within the program still begin with this file.
"""

import importlib.machinery
import linecache
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any, NoReturn

Loaded = tuple[CodeType, dict[str, Any]]  # the code, and the names that __main__ starts with

# runpy's own helpers, as pdb and profile in the standard library use them: every message is then python's.
_module_details: Callable[..., Any] = runpy._get_module_details  # type: ignore[attr-defined]
_main_details: Callable[..., Any] = runpy._get_main_module_details  # type: ignore[attr-defined]
_RunpyError: type[Exception] = runpy._Error  # type: ignore[attr-defined]


@dataclass
class Program:
    """What to run. `load` may run code of the program's (a package's __init__), hence after all else is set."""

    argv: list[str]
    first_path: str
    load: Callable[[], Loaded]
    is_path_entry: bool = False  # a folder or a zip file: python puts it on sys.path even under -P


def path(name: str, arguments: list[str]) -> Program:
    """`python NAME`: a source file, a .pyc, or a folder or zip file with a __main__.py."""
    # As python does it: absolute, since the program may chdir; not normalised, since `..` may follow a link.
    full = os.path.join(os.getcwd(), name)
    if pkgutil.get_importer(full) is not None:
        return Program([name, *arguments], full, lambda: _found(_main_details), is_path_entry=True)
    try:
        with open(full, "rb") as file:
            source = file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.orig_argv[0]}: can't open file {full!r}: [Errno {error.errno}] {error.strerror}\n")
        raise SystemExit(2) from None

    def load() -> Loaded:
        if full.endswith(".pyc"):
            sourceless = importlib.machinery.SourcelessFileLoader("__main__", full)
            code = sourceless.get_code("__main__")
            assert code is not None  # It raises instead; None is for loaders that have no code.
            return code, _names(sourceless, __file__=full, __cached__=None)
        loader = importlib.machinery.SourceFileLoader("__main__", full)
        return _compiled(source, full), _names(loader, __file__=full, __cached__=None)

    return Program([name, *arguments], os.path.dirname(os.path.realpath(full)), load)


def module(name: str, arguments: list[str]) -> Program:
    """`python -m NAME`."""

    def load() -> Loaded:
        code, names = _found(_module_details, name)
        sys.argv[0] = names["__file__"]
        return code, names

    return Program(["-m", *arguments], os.getcwd(), load)


def command(source: str, arguments: list[str]) -> Program:
    """`python -c SOURCE`."""

    def load() -> Loaded:
        if sys.version_info >= (3, 13):  # Since then tracebacks quote the lines of -c.
            linecache.cache["<string>"] = (len(source), None, source.splitlines(keepends=True), "<string>")
        return _compiled(source.encode(), "<string>"), _names(importlib.machinery.BuiltinImporter)

    return Program(["-c", *arguments], "", load)


def standard_input(arguments: list[str]) -> Program:
    """`python - …`: the program comes from standard input, which is at its end when the program runs."""

    def load() -> Loaded:
        names = _names(importlib.machinery.BuiltinImporter, __file__="<stdin>", __cached__=None)
        return _compiled(sys.stdin.buffer.read(), "<stdin>"), names

    return Program(["-", *arguments], "", load)


def run(program: Program) -> None:
    """Become the program. Returns when it ends; raises what it raises."""
    sys.argv = program.argv
    if not sys.flags.safe_path:
        sys.path[0] = program.first_path
    elif program.is_path_entry:
        sys.path.insert(0, program.first_path)

    main = vars(sys.modules["__main__"])
    kept: dict[str, Any] = {name: main[name] for name in ("__builtins__", "__annotations__") if name in main}
    main.clear()
    main.update(kept, __name__="__main__", __doc__=None)
    try:
        code, names = program.load()
        main.update(names)
        exec(code, main)
    except BaseException:
        shown_by = sys.excepthook  # Perhaps the program's own.

        def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            trace = sys.last_traceback = _below_us(trace)
            shown_by(kind, error.with_traceback(trace), trace)

        # Python shows the exception, sets sys.last_*, and finds the exit status: it only needs less to show.
        sys.excepthook = show
        raise


def _found(details: Callable[..., Any], *name: str) -> Loaded:
    """Ask runpy for a module. Its errors are one line and status 1, as with `python -m`."""
    try:
        _, spec, code = details(*name, _RunpyError)
    except _RunpyError as error:
        _refuse(str(error))
    return code, _names(
        spec.loader,
        __file__=spec.origin,
        __cached__=getattr(spec, "cached", None),
        __package__=spec.parent,
        __spec__=spec,
    )


def _refuse(reason: str) -> NoReturn:
    raise SystemExit(f"{sys.executable}: {reason}") from None


def _names(loader: Any, **more: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 15):  # It is gone since.
        more.pop("__cached__", None)
    return {"__loader__": loader, "__package__": None, "__spec__": None, **more}


def _compiled(source: bytes, filename: str) -> CodeType:
    # Bytes, so that the encoding cookie counts; and none of this file's __future__ imports.
    code: CodeType = compile(source, filename, "exec", dont_inherit=True)
    return code


def _below_us(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that belongs to the program."""
    entry = trace
    while entry is not None and entry.tb_frame.f_code is not run.__code__:
        entry = entry.tb_next
    if entry is None:  # Not raised through run: nothing of ours to take off.
        return trace
    machinery = (__file__, runpy.__file__)
    while entry is not None:
        filename = entry.tb_frame.f_code.co_filename
        if filename not in machinery and not filename.startswith("<frozen "):
            break
        entry = entry.tb_next
    return entry
