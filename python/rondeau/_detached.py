"""What stands where a file's buffer or descriptor was, once `detach` has taken it: whoever uses it gets io's ValueError."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Detached:
    """Put in the place of what was taken by `TextFile.detach` and `BinaryFile.detach`."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message

    def __getattr__(self, name: str) -> NoReturn:
        raise ValueError(self.message)
