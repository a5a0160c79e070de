"""Path: pathlib's, with `await` where it touches the disk.

As in anyio: `rondeau.Path` holds a `pathlib.Path`, is an `os.PathLike`, and has every public name of this Python's class. What
only looks at the name is a plain method; what asks the disk is awaited; what goes through folders is an async iterator.
`tests/test_path.py` compares names and parameters with pathlib's.

What programs do most goes to the kernel through the loop (`_core.file_…`). What is left, every error that is not the plain one,
and every loop but ours, is pathlib's own function in the default executor (`_path_waiting`): so its rules are this Python's.

Rejected: subclassing pathlib.Path. A function that takes one and calls `path.stat()` would get a coroutine and believe it true.
"""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import stat
import sys
from functools import partial

from . import _core
from ._path_contents import Contents
from ._path_name import plain
from ._path_waiting import ask, each_of, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any, Self

    Name = str | os.PathLike[str]

_ABSENT = (FileNotFoundError, NotADirectoryError)


class Path(Contents):
    """A file's name, with pathlib's methods; those that touch the disk are awaited.

    >>> import asyncio, rondeau, tempfile
    >>> async def main(folder):
    ...     menu = rondeau.Path(folder) / "today" / "menu.txt"
    ...     await menu.parent.mkdir()
    ...     await menu.write_text("soup")
    ...     return [(path.name, await path.read_text()) async for path in rondeau.Path(folder).rglob("*.txt")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rondeau.run(main(folder))
    [('menu.txt', 'soup')]
    """

    __slots__ = ()

    # What is known of a file.

    async def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """What `os.stat` returns."""
        if native():
            return await _core.file_stat(str(self._path), follow_symlinks)
        return await ask(self._path.stat, follow_symlinks=follow_symlinks)

    async def lstat(self) -> os.stat_result:
        return await self.stat(follow_symlinks=False)

    async def _is(self, name: str, kind: Callable[[int], bool], follow: bool = True, **options: Any) -> bool:
        if native():
            try:
                return kind((await _core.file_stat(str(self._path), follow)).st_mode)
            except _ABSENT:
                return False
            except (OSError, ValueError):
                pass  # Which of these is False and which is raised, this Python's pathlib knows.
        return await ask(getattr(self._path, name), **options)

    if sys.version_info >= (3, 12):

        async def exists(self, *, follow_symlinks: bool = True) -> bool:
            return await self._is("exists", bool, follow_symlinks, follow_symlinks=follow_symlinks)

        async def is_junction(self) -> bool:
            return await ask(self._path.is_junction)
    else:

        async def exists(self) -> bool:
            return await self._is("exists", bool)

    if sys.version_info >= (3, 13):

        async def is_dir(self, *, follow_symlinks: bool = True) -> bool:
            return await self._is("is_dir", stat.S_ISDIR, follow_symlinks, follow_symlinks=follow_symlinks)

        async def is_file(self, *, follow_symlinks: bool = True) -> bool:
            return await self._is("is_file", stat.S_ISREG, follow_symlinks, follow_symlinks=follow_symlinks)

        async def owner(self, *, follow_symlinks: bool = True) -> str:
            return await ask(self._path.owner, follow_symlinks=follow_symlinks)

        async def group(self, *, follow_symlinks: bool = True) -> str:
            return await ask(self._path.group, follow_symlinks=follow_symlinks)
    else:

        async def is_dir(self) -> bool:
            return await self._is("is_dir", stat.S_ISDIR)

        async def is_file(self) -> bool:
            return await self._is("is_file", stat.S_ISREG)

        async def owner(self) -> str:
            return await ask(self._path.owner)

        async def group(self) -> str:
            return await ask(self._path.group)

    async def is_symlink(self) -> bool:
        return await self._is("is_symlink", stat.S_ISLNK, False)

    async def is_fifo(self) -> bool:
        return await self._is("is_fifo", stat.S_ISFIFO)

    async def is_socket(self) -> bool:
        return await self._is("is_socket", stat.S_ISSOCK)

    async def is_block_device(self) -> bool:
        return await self._is("is_block_device", stat.S_ISBLK)

    async def is_char_device(self) -> bool:
        return await self._is("is_char_device", stat.S_ISCHR)

    async def is_mount(self) -> bool:
        return await ask(self._path.is_mount)

    async def samefile(self, other_path: Name) -> bool:
        return await ask(self._path.samefile, plain(other_path))

    # Names that the disk completes.

    @classmethod
    async def cwd(cls) -> Self:
        return cls(await ask(pathlib.Path.cwd))

    @classmethod
    async def home(cls) -> Self:
        return cls(await ask(pathlib.Path.home))

    async def absolute(self) -> Self:
        return self.with_segments(await ask(self._path.absolute))

    async def expanduser(self) -> Self:
        return self.with_segments(await ask(self._path.expanduser))

    async def resolve(self, strict: bool = False) -> Self:
        return self.with_segments(await ask(self._path.resolve, strict))

    async def readlink(self) -> Self:
        if native():
            return self.with_segments(os.fsdecode(await _core.file_readlink(str(self._path))))
        return self.with_segments(await ask(self._path.readlink))

    # Folders.

    async def iterdir(self) -> AsyncIterator[Self]:
        """The entries of a folder, in the disk's order."""
        if native():
            for name, _, _ in await _core.file_list(str(self._path)):
                yield self / name
        else:
            async for path in each_of(self._path.iterdir):
                yield self.with_segments(path)

    async def scandir(self) -> AsyncIterator[os.DirEntry[str]]:
        """What `os.scandir` gives; an entry's `is_dir` and its like need no disk, its `stat` does."""
        with await ask(os.scandir, self._path) as entries:
            async for entry in each_of(lambda: entries):
                yield entry

    def glob(self, pattern: str, **options: Any) -> AsyncIterator[Self]:
        """The paths that match; `case_sensitive` and `recurse_symlinks` where this Python has them."""
        return self._found(partial(self._path.glob, pattern, **options))

    def rglob(self, pattern: str, **options: Any) -> AsyncIterator[Self]:
        """`glob` in this folder and in all below it."""
        return self._found(partial(self._path.rglob, pattern, **options))

    async def _found(self, make: Callable[[], Iterator[pathlib.Path]]) -> AsyncIterator[Self]:
        async for path in each_of(make):
            yield self.with_segments(path)

    if sys.version_info >= (3, 12):

        async def walk(
            self, top_down: bool = True, on_error: Callable[[OSError], object] | None = None, follow_symlinks: bool = False
        ) -> AsyncIterator[tuple[Self, list[str], list[str]]]:
            """`(folder, names of folders, names of files)`; going down, the second may be changed to leave some out."""
            # One at a time, since what the program leaves out must be known before the next.
            async for path, folders, files in each_of(partial(self._path.walk, top_down, on_error, follow_symlinks), 1):
                yield self.with_segments(path), folders, files

    async def _mkdir(self, mode: int, parents: bool, exist_ok: bool, **options: Any) -> None:
        if native():
            try:
                await _core.file_mkdir(str(self._path), mode)
                return
            except OSError:
                if not parents and not exist_ok:
                    raise
        await ask(self._path.mkdir, mode, parents, exist_ok, **options)

    if sys.version_info >= (3, 15):

        async def mkdir(
            self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False, *, parent_mode: int | None = None
        ) -> None:
            await self._mkdir(mode, parents, exist_ok, parent_mode=parent_mode)
    else:

        async def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
            await self._mkdir(mode, parents, exist_ok)

    async def rmdir(self) -> None:
        await (_core.file_rmdir(str(self._path)) if native() else ask(self._path.rmdir))

    # Names.

    async def rename(self, target: Name) -> Self:
        """Give the file the name `target`, whatever had it; return that path."""
        await (_core.file_rename(str(self._path), os.fspath(target)) if native() else ask(os.rename, self._path, target))
        return self.with_segments(target)

    async def replace(self, target: Name) -> Self:
        """As `rename`."""
        return await self.rename(target)

    async def unlink(self, missing_ok: bool = False) -> None:
        try:
            await (_core.file_unlink(str(self._path)) if native() else ask(self._path.unlink))
        except FileNotFoundError:
            if not missing_ok:
                raise

    async def symlink_to(self, target: Name, target_is_directory: bool = False) -> None:
        if native():
            await _core.file_symlink(os.fspath(target), str(self._path))
        else:
            await ask(self._path.symlink_to, target, target_is_directory)

    async def hardlink_to(self, target: Name) -> None:
        await ask(self._path.hardlink_to, target)

    if sys.version_info < (3, 12):

        async def link_to(self, target: Name) -> None:
            await ask(self._path.link_to, target)  # type: ignore[attr-defined,unused-ignore]

    async def chmod(self, mode: int, *, follow_symlinks: bool = True) -> None:
        if follow_symlinks and native():
            await _core.file_chmod(str(self._path), mode)
        else:
            await ask(self._path.chmod, mode, follow_symlinks=follow_symlinks)

    async def lchmod(self, mode: int) -> None:
        await ask(self._path.lchmod, mode)

    async def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        await ask(self._path.touch, mode, exist_ok)

    # Copies.

    async def copy(self, target: Name, *, follow_symlinks: bool = True, preserve_metadata: bool = False) -> Self:
        """Copy a file with its mode, or a folder with all in it, to `target`; return that path.

        Args:
            target: the new name; a file there is overwritten.
            follow_symlinks: without, a symbolic link becomes one.
            preserve_metadata: times and extended attributes too.

        Raises:
            OSError: EINVAL, `target` is the same file, or lies in the folder that is copied; FileExistsError, `target` is
                a folder.
        """
        _check_distinct(self._path, pathlib.Path(target))
        known = await self.stat(follow_symlinks=follow_symlinks)
        if native() and stat.S_ISREG(known.st_mode) and not await self._has_inode(target, known):
            try:
                await _core.file_copy(str(self._path), os.fspath(target))
            except OSError as error:
                raise _of_one(error) from None
            if preserve_metadata:
                await ask(shutil.copystat, self._path, target, follow_symlinks=follow_symlinks)
        else:
            await ask(_copy, self._path, pathlib.Path(target), follow_symlinks, preserve_metadata)
        return self.with_segments(target)

    async def copy_into(self, target_dir: Name, *, follow_symlinks: bool = True, preserve_metadata: bool = False) -> Self:
        """`copy` to the same name in the folder `target_dir`."""
        target = self._into(target_dir)
        return await self.copy(target, follow_symlinks=follow_symlinks, preserve_metadata=preserve_metadata)

    async def move(self, target: Name) -> Self:
        """Rename to `target`; to another file system by copying and removing. Return that path.

        Raises:
            OSError: EINVAL, `target` is the same file, also by a link: renaming would leave only the link.
        """
        try:
            same = os.path.samestat(await self.stat(), await self.with_segments(target).stat())
        except OSError:
            same = False  # A link that leads nowhere is moved, too.
        if same:
            raise _same("file", self._path, pathlib.Path(target))
        try:
            return await self.rename(pathlib.Path(target))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        await ask(_check_holds_files, self._path, pathlib.Path(target))
        await self.copy(target, follow_symlinks=False, preserve_metadata=True)
        folder = await self.is_dir() and not await self.is_symlink()
        await (ask(shutil.rmtree, self._path) if folder else self.unlink())
        return self.with_segments(target)

    async def move_into(self, target_dir: Name) -> Self:
        """`move` to the same name in the folder `target_dir`."""
        return await self.move(self._into(target_dir))

    def _into(self, folder: Name) -> Self:
        if not self.name:
            raise ValueError(f"{str(self)!r} has an empty name")
        return self.with_segments(folder, self.name)

    async def _has_inode(self, target: Name, known: os.stat_result) -> bool:
        try:
            theirs = await _core.file_stat(os.fspath(target))
        except OSError:
            return False
        return os.path.samestat(known, theirs)


def _same(what: str, source: pathlib.Path, target: pathlib.Path) -> OSError:
    return OSError(errno.EINVAL, f"Source and target are the same {what}", str(source), None, str(target))


def _check_holds_files(source: pathlib.Path, target: pathlib.Path) -> None:
    """In a thread: what is written to a device is gone, and its source must not be removed then."""
    if not source.is_file() or source.is_symlink():
        return
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(source), None, str(target))


def _of_one(error: OSError) -> OSError:
    """The error as pathlib has it: of the target alone, where it could not be opened."""
    source, target = error.filename, error.filename2
    is_targets = error.errno in _OF_NAMES or (error.errno in _OF_RIGHTS and os.access(source, os.R_OK))
    if target is None or not is_targets:
        return error
    return OSError(error.errno, error.strerror, target)


# The source was there a moment ago, and is a plain file.
_OF_NAMES = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS, errno.ETXTBSY)
_OF_RIGHTS = (errno.EACCES, errno.EPERM)


def _check_distinct(source: pathlib.Path, target: pathlib.Path) -> None:
    """By their names, as pathlib does it."""
    if source == target:
        raise _same("path", source, target)
    if source in target.parents:
        raise _inside(source, target)


def _inside(source: pathlib.Path, target: pathlib.Path) -> OSError:
    return OSError(errno.EINVAL, "Source path is a parent of target path", str(source), None, str(target))


def _copy(source: pathlib.Path, target: pathlib.Path, follow: bool, metadata: bool) -> None:
    """In a thread: what is no plain file."""
    if source.is_dir() and (follow or not source.is_symlink()):
        # Whatever the names say, a folder never goes into itself.
        known = os.stat(source)
        place = os.path.realpath(target.parent)
        for folder in (place, *map(str, pathlib.Path(place).parents)):
            if os.path.exists(folder) and os.path.samestat(os.stat(folder), known):
                raise _inside(source, target)
    _copy_one(source, target, follow, metadata)


def _copy_one(source: pathlib.Path, target: pathlib.Path, follow: bool, metadata: bool) -> None:
    if source.is_symlink() and not follow:
        target.symlink_to(source.readlink())
        if metadata:
            known = source.lstat()
            os.utime(target, ns=(known.st_atime_ns, known.st_mtime_ns), follow_symlinks=False)
    elif source.is_dir():
        children = list(source.iterdir())
        target.mkdir()
        for child in children:
            _copy_one(child, target / child.name, follow, metadata)
        (shutil.copystat if metadata else shutil.copymode)(source, target)
    elif target.exists() and source.samefile(target):
        raise _same("file", source, target)
    else:
        shutil.copyfile(source, target, follow_symlinks=follow)
        (shutil.copystat if metadata else shutil.copymode)(source, target)
