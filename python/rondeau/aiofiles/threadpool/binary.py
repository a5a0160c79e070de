"""aiofiles' classes of binary files. An executor calls their methods; native.py has those that need none."""

from ..base import AsyncBase, AsyncIndirectBase
from .utils import delegate_to_executor, proxy_method_directly, proxy_property_directly

_COMMON = (
    *("close", "flush", "isatty", "read", "readinto", "readline", "readlines"),
    *("seek", "seekable", "tell", "truncate", "writable", "write", "writelines"),
)


@delegate_to_executor(*_COMMON, "read1")
@proxy_method_directly("detach", "fileno", "readable")
@proxy_property_directly("closed", "raw", "name", "mode")
class AsyncBufferedIOBase(AsyncBase):
    """io.BufferedWriter, and what else has a buffer."""


@delegate_to_executor("peek")
class AsyncBufferedReader(AsyncBufferedIOBase):
    """io.BufferedReader and io.BufferedRandom."""


@delegate_to_executor(*_COMMON, "readall")
@proxy_method_directly("fileno", "readable")
@proxy_property_directly("closed", "name", "mode")
class AsyncFileIO(AsyncBase):
    """io.FileIO, without a buffer."""


@delegate_to_executor(*_COMMON, "read1")
@proxy_method_directly("detach", "fileno", "readable")
@proxy_property_directly("closed", "raw", "name", "mode")
class AsyncIndirectBufferedIOBase(AsyncIndirectBase):
    """A binary standard stream."""


@delegate_to_executor("peek")
class AsyncIndirectBufferedReader(AsyncIndirectBufferedIOBase):
    """One that is read."""


@delegate_to_executor(*_COMMON, "readall")
@proxy_method_directly("fileno", "readable")
@proxy_property_directly("closed", "name", "mode")
class AsyncIndirectFileIO(AsyncIndirectBase):
    """One without a buffer."""
