"""What a path is without the disk: pathlib's plain methods, on the `pathlib.Path` that it holds. The base of `Path`."""

from __future__ import annotations

import os
import pathlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    Name = str | os.PathLike[str]


class PathName:
    """A file's name."""

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
        theirs = plain(other)
        return self._path == theirs if isinstance(theirs, pathlib.PurePath) else NotImplemented

    def __lt__(self, other: PathName | pathlib.PurePath) -> bool:
        return bool(self._path < plain(other))

    def __le__(self, other: PathName | pathlib.PurePath) -> bool:
        return bool(self._path <= plain(other))

    def __gt__(self, other: PathName | pathlib.PurePath) -> bool:
        return bool(self._path > plain(other))

    def __ge__(self, other: PathName | pathlib.PurePath) -> bool:
        return bool(self._path >= plain(other))

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
        return self.with_segments(self._path.relative_to(*map(plain, other), **options))

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


def plain(path: Any) -> Any:
    return path._path if isinstance(path, PathName) else path


os.PathLike.register(PathName)
