"""aiofiles' classes of what is temporary and no plain file."""

from __future__ import annotations

from ..base import AsyncBase
from ..threadpool.utils import cond_delegate_to_executor, delegate_to_executor, proxy_property_directly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@delegate_to_executor("fileno", "rollover")
@cond_delegate_to_executor("close", "flush", "isatty", "read", "readline", "readlines", "seek", "tell", "truncate")
@proxy_property_directly("closed", "encoding", "mode", "name", "newlines")
class AsyncSpooledTemporaryFile(AsyncBase):
    """tempfile.SpooledTemporaryFile: called at once while it is in memory, by the executor once it is on a disk."""

    async def write(self, s: Any) -> int:
        """Write `s`; what becomes too large for memory goes to the disk in the executor."""
        return int(await self._grow("write", s))

    async def writelines(self, iterable: Any) -> None:
        await self._grow("writelines", iterable)

    async def _grow(self, name: str, data: Any) -> Any:
        spooled = self._file
        if spooled._rolled:
            return await self._call(name, data)
        answer = getattr(spooled._file, name)(data)  # past the class's own method, which would roll over here
        if spooled._max_size and spooled._file.tell() > spooled._max_size:
            await self._call("rollover")
        return answer


@delegate_to_executor("cleanup")
@proxy_property_directly("name")
class AsyncTemporaryDirectory(AsyncBase):
    """tempfile.TemporaryDirectory."""

    async def close(self) -> None:
        await self._call("cleanup")
