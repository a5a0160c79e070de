"""Path: pathlib's, with `await` where it touches the disk.

As in anyio: `rondeau.Path` holds a `pathlib.Path`, is an `os.PathLike`, and has every public name of this Python's class. What
only looks at the name is a plain method; what asks the disk is awaited; what goes through folders is an async iterator.
`tests/test_path.py` compares names and parameters with pathlib's.

What programs do most goes to the kernel through the loop (`_core.file_…`). What is left, every error that is not the plain one,
and every loop but ours, is pathlib's own function in the default executor (`_ask`): so its rules are this Python's.

Rejected: subclassing pathlib.Path. A function that takes one and calls `path.stat()` would get a coroutine and believe it true.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import pathlib
import shutil
import stat
import sys
import tempfile
from functools import partial
from itertools import islice

from . import _core, files
from ._open import open as _open
from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from typing import Any, Self, TypeVar

    from typing_extensions import Buffer

    T = TypeVar("T")
    Name = str | os.PathLike[str]

BATCH = 64  # How many entries a thread looks for at a time.
_ABSENT = (FileNotFoundError, NotADirectoryError)


async def _ask(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call what blocks. The one place where Path waits for a thread."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **options))


def _native() -> bool:
    """Whether the kernel is asked through the loop."""
    return isinstance(asyncio.get_running_loop(), EventLoop)


async def _each(make: Callable[[], Iterable[T]], batch: int = BATCH) -> AsyncIterator[T]:
    """What `make()` gives, a batch in a thread each; an error comes after what was found before it."""
    iterator = iter(await _ask(make))

    def some() -> tuple[list[T], BaseException | None]:
        found: list[T] = []
        try:
            for each in islice(iterator, batch):
                found.append(each)
        except Exception as error:
            return found, error
        return found, None

    while True:
        found, error = await _ask(some)
        for each in found:
            yield each
        if error is not None:
            raise error
        if len(found) < batch:
            return


class Path:
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

    __slots__ = ("__weakref__", "_path")

    def __init__(self, *args: Name) -> None:
        self._path = pathlib.Path(*args)

    # The name alone.

    def __fspath__(self) -> str:
        return os.fspath(self._path)

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.as_posix()!r})"

    def __bytes__(self) -> bytes:
        return bytes(self._path)

    def __hash__(self) -> int:
        return hash(self._path)

    def __eq__(self, other: object) -> bool:
        theirs = _plain(other)
        return self._path == theirs if isinstance(theirs, pathlib.PurePath) else NotImplemented

    def __lt__(self, other: Path | pathlib.PurePath) -> bool:
        return bool(self._path < _plain(other))

    def __le__(self, other: Path | pathlib.PurePath) -> bool:
        return bool(self._path <= _plain(other))

    def __gt__(self, other: Path | pathlib.PurePath) -> bool:
        return bool(self._path > _plain(other))

    def __ge__(self, other: Path | pathlib.PurePath) -> bool:
        return bool(self._path >= _plain(other))

    def __truediv__(self, other: Name) -> Self:
        return self.with_segments(self._path / other)

    def __rtruediv__(self, other: Name) -> Self:
        return self.with_segments(other / self._path)

    def __reduce__(self) -> Any:
        return type(self), self.parts

    def with_segments(self, *segments: Name) -> Self:
        """A path of the same class from `segments`; a subclass may override it."""
        return type(self)(*segments)

    @property
    def parts(self) -> tuple[str, ...]:
        return self._path.parts

    @property
    def drive(self) -> str:
        return self._path.drive

    @property
    def root(self) -> str:
        return self._path.root

    @property
    def anchor(self) -> str:
        return self._path.anchor

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def suffix(self) -> str:
        return self._path.suffix

    @property
    def suffixes(self) -> list[str]:
        return self._path.suffixes

    @property
    def stem(self) -> str:
        return self._path.stem

    @property
    def parent(self) -> Self:
        return self.with_segments(self._path.parent)

    @property
    def parents(self) -> Sequence[Self]:
        return tuple(map(self.with_segments, self._path.parents))

    def as_posix(self) -> str:
        return self._path.as_posix()

    def as_uri(self) -> str:
        return self._path.as_uri()

    def is_absolute(self) -> bool:
        return self._path.is_absolute()

    def is_relative_to(self, *other: Name) -> bool:
        return self._path.is_relative_to(*other)

    def relative_to(self, *other: Name, **options: bool) -> Self:
        return self.with_segments(self._path.relative_to(*map(_plain, other), **options))

    def match(self, path_pattern: str, **options: Any) -> bool:
        return self._path.match(path_pattern, **options)

    def joinpath(self, *segments: Name) -> Self:
        return self.with_segments(self._path.joinpath(*segments))

    def with_name(self, name: str) -> Self:
        return self.with_segments(self._path.with_name(name))

    def with_stem(self, stem: str) -> Self:
        return self.with_segments(self._path.with_stem(stem))

    def with_suffix(self, suffix: str) -> Self:
        return self.with_segments(self._path.with_suffix(suffix))

    if sys.version_info < (3, 15):

        def is_reserved(self) -> bool:
            return self._path.is_reserved()

    if sys.version_info >= (3, 13):
        parser = pathlib.Path.parser

        def full_match(self, pattern: Name, *, case_sensitive: bool | None = None) -> bool:
            return self._path.full_match(pattern, case_sensitive=case_sensitive)

        @classmethod
        def from_uri(cls, uri: str) -> Self:
            return cls(pathlib.Path.from_uri(uri))

    if sys.version_info >= (3, 14):

        @property
        def info(self) -> Any:
            """pathlib's PathInfo, whose methods ask the disk at their first call, and block meanwhile."""
            return self._path.info

    # What is known of a file.

    async def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """What `os.stat` returns."""
        if _native():
            return await _core.file_stat(str(self._path), follow_symlinks)
        return await _ask(self._path.stat, follow_symlinks=follow_symlinks)

    async def lstat(self) -> os.stat_result:
        return await self.stat(follow_symlinks=False)

    async def _is(self, name: str, kind: Callable[[int], bool], follow: bool = True, **options: Any) -> bool:
        if _native():
            try:
                return kind((await _core.file_stat(str(self._path), follow)).st_mode)
            except _ABSENT:
                return False
            except (OSError, ValueError):
                pass  # Which of these is False and which is raised, this Python's pathlib knows.
        return await _ask(getattr(self._path, name), **options)

    if sys.version_info >= (3, 12):

        async def exists(self, *, follow_symlinks: bool = True) -> bool:
            return await self._is("exists", bool, follow_symlinks, follow_symlinks=follow_symlinks)

        async def is_junction(self) -> bool:
            return await _ask(self._path.is_junction)
    else:

        async def exists(self) -> bool:
            return await self._is("exists", bool)

    if sys.version_info >= (3, 13):

        async def is_dir(self, *, follow_symlinks: bool = True) -> bool:
            return await self._is("is_dir", stat.S_ISDIR, follow_symlinks, follow_symlinks=follow_symlinks)

        async def is_file(self, *, follow_symlinks: bool = True) -> bool:
            return await self._is("is_file", stat.S_ISREG, follow_symlinks, follow_symlinks=follow_symlinks)

        async def owner(self, *, follow_symlinks: bool = True) -> str:
            return await _ask(self._path.owner, follow_symlinks=follow_symlinks)

        async def group(self, *, follow_symlinks: bool = True) -> str:
            return await _ask(self._path.group, follow_symlinks=follow_symlinks)
    else:

        async def is_dir(self) -> bool:
            return await self._is("is_dir", stat.S_ISDIR)

        async def is_file(self) -> bool:
            return await self._is("is_file", stat.S_ISREG)

        async def owner(self) -> str:
            return await _ask(self._path.owner)

        async def group(self) -> str:
            return await _ask(self._path.group)

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
        return await _ask(self._path.is_mount)

    async def samefile(self, other_path: Name) -> bool:
        return await _ask(self._path.samefile, _plain(other_path))

    # Names that the disk completes.

    @classmethod
    async def cwd(cls) -> Self:
        return cls(await _ask(pathlib.Path.cwd))

    @classmethod
    async def home(cls) -> Self:
        return cls(await _ask(pathlib.Path.home))

    async def absolute(self) -> Self:
        return self.with_segments(await _ask(self._path.absolute))

    async def expanduser(self) -> Self:
        return self.with_segments(await _ask(self._path.expanduser))

    async def resolve(self, strict: bool = False) -> Self:
        return self.with_segments(await _ask(self._path.resolve, strict))

    async def readlink(self) -> Self:
        if _native():
            return self.with_segments(os.fsdecode(await _core.file_readlink(str(self._path))))
        return self.with_segments(await _ask(self._path.readlink))

    # Folders.

    async def iterdir(self) -> AsyncIterator[Self]:
        """The entries of a folder, in the disk's order."""
        if _native():
            for name, _, _ in await _core.file_list(str(self._path)):
                yield self / name
        else:
            async for path in _each(self._path.iterdir):
                yield self.with_segments(path)

    async def scandir(self) -> AsyncIterator[os.DirEntry[str]]:
        """What `os.scandir` gives; an entry's `is_dir` and its like need no disk, its `stat` does."""
        with await _ask(os.scandir, self._path) as entries:
            async for entry in _each(lambda: entries):
                yield entry

    def glob(self, pattern: str, **options: Any) -> AsyncIterator[Self]:
        """The paths that match; `case_sensitive` and `recurse_symlinks` where this Python has them."""
        return self._found(partial(self._path.glob, pattern, **options))

    def rglob(self, pattern: str, **options: Any) -> AsyncIterator[Self]:
        """`glob` in this folder and in all below it."""
        return self._found(partial(self._path.rglob, pattern, **options))

    async def _found(self, make: Callable[[], Iterator[pathlib.Path]]) -> AsyncIterator[Self]:
        async for path in _each(make):
            yield self.with_segments(path)

    if sys.version_info >= (3, 12):

        async def walk(
            self, top_down: bool = True, on_error: Callable[[OSError], object] | None = None, follow_symlinks: bool = False
        ) -> AsyncIterator[tuple[Self, list[str], list[str]]]:
            """`(folder, names of folders, names of files)`; going down, the second may be changed to leave some out."""
            # One at a time, since what the program leaves out must be known before the next.
            async for path, folders, files in _each(partial(self._path.walk, top_down, on_error, follow_symlinks), 1):
                yield self.with_segments(path), folders, files

    async def _mkdir(self, mode: int, parents: bool, exist_ok: bool, **options: Any) -> None:
        if _native():
            try:
                await _core.file_mkdir(str(self._path), mode)
                return
            except OSError:
                if not parents and not exist_ok:
                    raise
        await _ask(self._path.mkdir, mode, parents, exist_ok, **options)

    if sys.version_info >= (3, 15):

        async def mkdir(
            self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False, *, parent_mode: int | None = None
        ) -> None:
            await self._mkdir(mode, parents, exist_ok, parent_mode=parent_mode)
    else:

        async def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
            await self._mkdir(mode, parents, exist_ok)

    async def rmdir(self) -> None:
        await (_core.file_rmdir(str(self._path)) if _native() else _ask(self._path.rmdir))

    # Names.

    async def rename(self, target: Name) -> Self:
        """Give the file the name `target`, whatever had it; return that path."""
        await (_core.file_rename(str(self._path), os.fspath(target)) if _native() else _ask(os.rename, self._path, target))
        return self.with_segments(target)

    async def replace(self, target: Name) -> Self:
        """As `rename`."""
        return await self.rename(target)

    async def unlink(self, missing_ok: bool = False) -> None:
        try:
            await (_core.file_unlink(str(self._path)) if _native() else _ask(self._path.unlink))
        except FileNotFoundError:
            if not missing_ok:
                raise

    async def symlink_to(self, target: Name, target_is_directory: bool = False) -> None:
        if _native():
            await _core.file_symlink(os.fspath(target), str(self._path))
        else:
            await _ask(self._path.symlink_to, target, target_is_directory)

    async def hardlink_to(self, target: Name) -> None:
        await _ask(self._path.hardlink_to, target)

    if sys.version_info < (3, 12):

        async def link_to(self, target: Name) -> None:
            await _ask(self._path.link_to, target)  # type: ignore[attr-defined,unused-ignore]

    async def chmod(self, mode: int, *, follow_symlinks: bool = True) -> None:
        if follow_symlinks and _native():
            await _core.file_chmod(str(self._path), mode)
        else:
            await _ask(self._path.chmod, mode, follow_symlinks=follow_symlinks)

    async def lchmod(self, mode: int) -> None:
        await _ask(self._path.lchmod, mode)

    async def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        await _ask(self._path.touch, mode, exist_ok)

    # Contents.

    async def read_bytes(self) -> bytes:
        if not _native():
            return await _ask(self._path.read_bytes)
        return await files.read_bytes(str(self._path))

    async def write_bytes(self, data: Buffer) -> int:
        """Write `data` in place of what is there; return how many bytes."""
        if not _native():
            return await _ask(self._path.write_bytes, data)
        with memoryview(data) as view:
            count = view.nbytes
        await _core.file_write(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, data)
        return count

    if sys.version_info >= (3, 13):

        async def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
            return _decoded(await self.read_bytes(), encoding, errors, newline)
    else:

        async def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
            return _decoded(await self.read_bytes(), encoding, errors)

    async def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Write `data` in place of what is there; return how many characters."""
        await self.write_bytes(_encoded(data, encoding, errors, newline))
        return len(data)

    async def write_atomic(
        self, data: Buffer | str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> None:
        """Write `data` whole or not at all: a reader and a crash find the old contents or the new.

        A new file beside this one is written, synced and renamed, and its folder synced. An old file's mode is kept; without
        one it is 0600. A symbolic link is replaced, and not followed.
        """
        raw = _encoded(data, encoding, errors, newline) if isinstance(data, str) else data
        if _native():
            await _core.file_replace(str(self._path), raw)
        else:
            await _ask(_write_atomic, self._path, raw)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """`rondeau.open` of this path: to be awaited, or entered with `async with`."""
        return _open(self._path, mode, buffering, encoding, errors, newline)

    # Copies.

    async def copy(self, target: Name, *, follow_symlinks: bool = True, preserve_metadata: bool = False) -> Self:
        """Copy a file with its mode, or a folder with all in it, to `target`; return that path.

        Args:
            target: the new name; a file there is overwritten.
            follow_symlinks: without, a symbolic link becomes one.
            preserve_metadata: times and extended attributes too.

        Raises:
            OSError: EINVAL, `target` is the same file; FileExistsError, `target` is a folder.
        """
        known = await self.stat(follow_symlinks=follow_symlinks)
        if _native() and stat.S_ISREG(known.st_mode) and not await self._has_inode(target, known):
            await _core.file_copy(str(self._path), os.fspath(target))
            if preserve_metadata:
                await _ask(shutil.copystat, self._path, target, follow_symlinks=follow_symlinks)
        else:
            await _ask(_copy, self._path, pathlib.Path(target), follow_symlinks, preserve_metadata)
        return self.with_segments(target)

    async def copy_into(self, target_dir: Name, *, follow_symlinks: bool = True, preserve_metadata: bool = False) -> Self:
        """`copy` to the same name in the folder `target_dir`."""
        target = self._into(target_dir)
        return await self.copy(target, follow_symlinks=follow_symlinks, preserve_metadata=preserve_metadata)

    async def move(self, target: Name) -> Self:
        """Rename to `target`; to another file system by copying and removing. Return that path."""
        try:
            return await self.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        await self.copy(target, follow_symlinks=False, preserve_metadata=True)
        folder = await self.is_dir() and not await self.is_symlink()
        await (_ask(shutil.rmtree, self._path) if folder else self.unlink())
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


def _plain(path: Any) -> Any:
    return path._path if isinstance(path, Path) else path


def _decoded(data: bytes, encoding: str | None, errors: str | None, newline: str | None = None) -> str:
    encoding = io.text_encoding(encoding, 3)
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors, newline).read()


def _encoded(data: str, encoding: str | None, errors: str | None, newline: str | None) -> bytes:
    if not isinstance(data, str):
        raise TypeError(f"data must be str, not {type(data).__name__}")
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, io.text_encoding(encoding, 3), errors, newline)
    text.write(data)
    text.flush()
    return raw.getvalue()


def _copy(source: pathlib.Path, target: pathlib.Path, follow: bool, metadata: bool) -> None:
    """In a thread: what is no plain file."""
    if source.is_symlink() and not follow:
        target.symlink_to(source.readlink())
    elif source.is_dir():
        copy = shutil.copy2 if metadata else shutil.copy
        shutil.copytree(source, target, symlinks=not follow, copy_function=copy)
    elif target.exists() and source.samefile(target):
        raise OSError(errno.EINVAL, "Source and target are the same file", str(source), None, str(target))
    else:
        shutil.copyfile(source, target, follow_symlinks=follow)
        (shutil.copystat if metadata else shutil.copymode)(source, target)


def _write_atomic(path: pathlib.Path, data: Buffer) -> None:
    """In a thread, where the loop is not ours."""
    fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(fd, "wb") as file:
            file.write(data)
            if path.exists():
                os.fchmod(fd, stat.S_IMODE(path.stat().st_mode))
            file.flush()
            os.fsync(fd)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


os.PathLike.register(Path)
