"""`rondeau.Barrier`: asyncio's own code on a native Condition."""

import asyncio

from rondeau import _core


class Barrier(asyncio.locks.Barrier):
    # asyncio's, which is shown.
    __doc__ = asyncio.locks.Barrier.__doc__

    def __init__(self, parties: int) -> None:
        super().__init__(parties)
        self._cond = _core.Condition()


Barrier.__module__ = "rondeau"
