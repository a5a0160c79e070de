"""Class decorators that give a class its methods: called by the executor, called at once, or looked up."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    C = TypeVar("C", bound=type)


def _for_each(names: tuple[str, ...], make: Callable[[str], Any]) -> Callable[[C], C]:
    def decorate(cls: C) -> C:
        for name in names:
            setattr(cls, name, make(name))
        return cls

    return decorate


def delegate_to_executor(*attrs: str) -> Callable[[C], C]:
    """The methods `attrs`, each to be awaited while the executor calls the file's."""

    def make(name: str) -> Any:
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await self._call(name, *args, **kwargs)

        method.__name__ = name
        return method

    return _for_each(attrs, make)


def cond_delegate_to_executor(*attrs: str) -> Callable[[C], C]:
    """The same for a SpooledTemporaryFile, which is called at once while it is still in memory."""

    def make(name: str) -> Any:
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self._file._rolled:
                return await self._call(name, *args, **kwargs)
            return getattr(self._file, name)(*args, **kwargs)

        method.__name__ = name
        return method

    return _for_each(attrs, make)


def proxy_method_directly(*attrs: str) -> Callable[[C], C]:
    """The methods `attrs`, which do not touch the disk."""

    def make(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return getattr(self._file, name)(*args, **kwargs)

        method.__name__ = name
        return method

    return _for_each(attrs, make)


def proxy_property_directly(*attrs: str) -> Callable[[C], C]:
    """The file's attributes `attrs`, to be read."""
    return _for_each(attrs, lambda name: property(lambda self: getattr(self._file, name)))
