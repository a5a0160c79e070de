"""watch: what changes under a path, as an async iterator.

The driver's watcher (crates/driver/src/watch.rs) keeps the tree of folders and pairs the halves of moves; here it is waited
for and what it says gets its form. Reading it is quick and is done in the loop; going through folders, at the beginning and
where new ones appear, is done by the default executor.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
from collections import deque
from dataclasses import dataclass

from . import _core
from ._shared import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Self

    Kind = Literal["created", "modified", "written", "attributes", "deleted", "moved", "overflow", "gone"]

# In the order of their numbers in crates/python/src/watching.rs.
KINDS: tuple[Kind, ...] = ("created", "modified", "written", "attributes", "deleted", "moved", "overflow", "gone")
# Seconds that the first half of a move waits for the second: the kernel queues both within one rename(2).
HALF = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """One change under a watched path.

    Attributes:
        kind: `created` (made, linked, or moved from elsewhere), `modified` (contents), `written` (closed after writing),
            `attributes`, `deleted` (or moved elsewhere), `moved`, `overflow` (the kernel dropped changes: look again),
            `gone` (what was watched is no longer there; the last one).
        path: what has changed; str, bytes or a path object, as `watch` was given.
        source: the path before a move; else None.
        is_dir: whether it is a folder.
    """

    kind: Kind
    path: Any
    source: Any = None
    is_dir: bool = False


def watch(path: str | bytes | os.PathLike[Any], *, recursive: bool = False) -> Watch:
    """Watch a file or a folder: `async for change in watch(path)`.

    A folder's own entries are watched, and with `recursive` everything below it: new folders as they appear, with what was
    made in them before they were watched. A file may be replaced by another of its name, or be removed and come again: it is
    its name that is watched. Symbolic links below the path are not followed.

    It begins when `async with watch(path) as changes` has been entered, or with the first step of `async for`: what changed
    before is not told. It ends with `async with`, by `close()`, or when the object is dropped.

    Raises (at that time):
        FileNotFoundError, PermissionError, …: as for `os.stat(path)`.
        OSError: ENOSPC or EMFILE, the kernel's limits for inotify; the text says which one to raise.

    >>> import rondeau, tempfile
    >>> async def main(folder):
    ...     async with rondeau.watch(folder) as changes:
    ...         await rondeau.Path(folder, "menu").write_text("soup")
    ...         async for change in changes:
    ...             print(change.kind, os.path.basename(change.path))
    ...             if change.kind == "written":
    ...                 break
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rondeau.run(main(folder))
    created menu
    modified menu
    written menu
    """
    return Watch(path, recursive)


class Watch:
    """What `watch` returns: an async iterator of `Change`s, for one reader at a time: a second one gets RuntimeError."""

    def __init__(self, path: str | bytes | os.PathLike[Any], recursive: bool) -> None:
        self._path = path
        self._recursive = recursive
        self._form = _form(path)
        self._watcher: Any = None
        self._changes: deque[Change] = deque()
        self._busy: asyncio.Future[Any] | None = None  # what the executor does for us
        self._waiter: asyncio.Future[None] | None = None
        self._found = False
        self._ended = False

    async def _begin(self) -> None:
        if self._watcher is None and not self._ended:
            begun = await self._in_thread(_core.watch_begin, self._path, self._recursive)
            if self._ended:
                _core.watch_end(begun)  # closed meanwhile
            else:
                self._watcher = begun

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        """Also a cancelled reader leaves the thread to its end, and the next one has what it found."""
        if self._busy is None:
            self._busy = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
        busy = self._busy
        found = await asyncio.shield(busy)
        if self._busy is busy:
            self._busy = None
        return found

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._begin()
        while not self._changes:
            if self._ended:
                await self.aclose()
                raise StopAsyncIteration
            await self._more()
        return self._changes.popleft()

    async def _more(self) -> None:
        if self._found:
            changes = await self._in_thread(_core.watch_scan, self._watcher)
            self._found = False
        else:
            changes, found, half, ended = _core.watch_read(self._watcher)
            self._found = bool(found)
            self._ended = bool(ended)
            if not changes and not found and not ended and not await self._ready(HALF if half else None):
                changes = _core.watch_settle(self._watcher)  # nothing came for so long
        self._changes.extend(map(self._form, changes))

    async def _ready(self, seconds: float | None) -> bool:
        """Wait until there is something to read; False if there was nothing for so long."""
        if self._waiter is not None:
            raise RuntimeError("another task already waits for these changes")
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        number = _core.watch_fileno(self._watcher)
        loop.add_reader(number, told, waiter)
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(number)
            self._waiter = None
        return True

    async def aclose(self) -> None:
        """End it, and wait for a thread that is still going through folders."""
        self._ended = True
        if self._busy is not None:
            await asyncio.wait([self._busy])
        self.close()

    def close(self) -> None:
        """End it: the next step of `async for` is the end."""
        self._ended = True
        if self._waiter is not None:
            told(self._waiter)  # whoever waits closes it
            return
        busy, watcher = self._busy, self._watcher
        if watcher is not None and (busy is None or busy.done()):
            self._watcher = None
            _core.watch_end(watcher)


def _form(path: Any) -> Any:
    """What makes a Change of what the kernel says, in the form of the path that was given."""
    plain = os.fspath(path)
    if isinstance(plain, bytes):
        name: Any = bytes
    elif isinstance(path, str):
        name = os.fsdecode
    else:
        kind: Any = type(path) if hasattr(path, "with_segments") or isinstance(path, pathlib.PurePath) else pathlib.Path

        def name(raw: bytes) -> Any:
            return kind(os.fsdecode(raw))

    def form(change: tuple[int, bytes, bytes | None, bool]) -> Change:
        number, raw, source, is_dir = change
        return Change(KINDS[number], name(raw), None if source is None else name(source), is_dir)

    return form
