"""aiofiles' classes of text files. An executor calls their methods; native.py has those that need none."""

from ..base import AsyncBase, AsyncIndirectBase
from .utils import delegate_to_executor, proxy_method_directly, proxy_property_directly

_METHODS = (
    *("close", "flush", "isatty", "read", "readline", "readlines"),
    *("seek", "seekable", "tell", "truncate", "writable", "write", "writelines"),
)
_ATTRIBUTES = ("buffer", "closed", "encoding", "errors", "line_buffering", "newlines", "name", "mode")


@delegate_to_executor(*_METHODS)
@proxy_method_directly("detach", "fileno", "readable")
@proxy_property_directly(*_ATTRIBUTES)
class AsyncTextIOWrapper(AsyncBase):
    """io.TextIOWrapper."""


@delegate_to_executor(*_METHODS)
@proxy_method_directly("detach", "fileno", "readable")
@proxy_property_directly(*_ATTRIBUTES)
class AsyncTextIndirectIOWrapper(AsyncIndirectBase):
    """A text standard stream."""
