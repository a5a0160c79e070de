"""Operations on files by their names, for coroutines: what `rondeau.Path` and `rondeau.aiofiles` are made of.

Each is an operation of the driver's, on io_uring where the kernel allows it and has it, and otherwise on a few native
threads; none uses a thread of Python's. They take str, bytes or os.PathLike and raise what the function of that name in
`os` raises.

    data = await files.read_bytes(path)             one piece of work, whatever the size up to 256 KiB
    await files.write_atomic(path, data)            whole or not at all, also where the machine stops in the middle
    for name, kind, inode in await files.list_directory(path): …

`stat`, `rename` and their kin are the native operations themselves: see `_core.pyi` for what each takes.
"""

from __future__ import annotations

import io

from . import _core
from ._binary_file import BinaryFile
from ._open import flags_of, open
from ._raw_file import RawFile
from ._text_file import TextFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from ._core import Path

__all__ = [
    "BinaryFile",
    "RawFile",
    "TextFile",
    "access",
    "chmod",
    "chown",
    "copy",
    "flags_of",
    "link",
    "list_directory",
    "mkdir",
    "open",
    "read_bytes",
    "read_text",
    "readlink",
    "rename",
    "rmdir",
    "stat",
    "symlink",
    "truncate",
    "unlink",
    "utime",
    "write_atomic",
    "write_bytes",
    "write_text",
]

access = _core.file_access
chmod = _core.file_chmod
chown = _core.file_chown
copy = _core.file_copy
link = _core.file_link
list_directory = _core.file_list
mkdir = _core.file_mkdir
readlink = _core.file_readlink
rename = _core.file_rename
rmdir = _core.file_rmdir
stat = _core.file_stat
symlink = _core.file_symlink
truncate = _core.file_truncate
unlink = _core.file_unlink
utime = _core.file_utime
write_atomic = _core.file_replace


# Of what is read without knowing how much there is: the smallest and the largest piece.
_LEAST, _MOST = 1 << 18, 1 << 24


async def read_bytes(path: Path) -> bytes:
    """All bytes of a file.

    >>> import rondeau
    >>> from rondeau import files
    >>> rondeau.run(files.read_bytes("/proc/sys/kernel/ostype"))
    b'Linux\\n'
    """
    came = await _core.file_read(path)
    if isinstance(came, bytes):
        return came
    head, file, size = came
    pieces = [head] if head else []
    try:
        offset = len(head)
        # One byte more than there should be finds the end. A large read at an offset is not the loop's to copy; what says no
        # size (a pipe, /proc) has none. That, and what has grown meanwhile, comes in pieces that grow with what came.
        while piece := await file.read(
            size - offset + 1 if offset < size else min(max(offset, _LEAST), _MOST), offset if size else None
        ):
            pieces.append(piece)
            offset += len(piece)
    except BaseException:
        file.drop()
        raise
    await file.close()
    return b"".join(pieces)


async def read_text(path: Path, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
    """All of a file, decoded; with newline None every line end is a \\n."""
    data = await read_bytes(path)
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors, newline).read()


async def write_bytes(path: Path, data: ReadableBuffer, mode: str = "wb") -> int:
    """Make `data` the content of a file, old or new; how many bytes. With mode "ab" they come after the old ones, "xb"
    wants no old file."""
    with memoryview(data) as view:
        size = view.nbytes
    await _core.file_write(path, flags_of(mode), 0o666, data)
    return size


async def write_text(
    path: Path, text: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
) -> int:
    """The same of text; how many characters."""
    if not isinstance(text, str):
        raise TypeError(f"data must be str, not {type(text).__name__}")
    into = io.BytesIO()
    with io.TextIOWrapper(into, encoding, errors, newline, write_through=True) as encoder:
        encoder.write(text)
        encoder.flush()
        data = into.getvalue()
    await _core.file_write(path, flags_of("w"), 0o666, data)
    return len(text)
