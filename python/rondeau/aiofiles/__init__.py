"""aiofiles' interface on Rondeau's files: a program says `from rondeau import aiofiles` instead of `import aiofiles`.

Modules, names, parameters and classes are those of aiofiles 25: `open`, `os`, `ospath`, `tempfile`, `threadpool`, `base`, and
the standard streams. Its test suite is run by `make upstream ONLY=aiofiles`.

On Rondeau's loop a file is one of `rondeau.open`, and `os.stat` and its like are the kernel's own operations: no thread. Where
the program names an executor or a loop, on another loop, and where the kernel has no such operation, it is what aiofiles does:
the plain function, called by the executor. No code is aiofiles'; the interface is.

>>> import rondeau
>>> from rondeau import aiofiles
>>> async def main():
...     async with aiofiles.tempfile.NamedTemporaryFile("w+") as file:
...         await file.write("soup\\nroast\\n")
...         await file.seek(0)
...         return [line async for line in file]
>>> rondeau.run(main())
['soup\\n', 'roast\\n']
"""

from . import tempfile
from .threadpool import open, stderr, stderr_bytes, stdin, stdin_bytes, stdout, stdout_bytes

__all__ = ["open", "stderr", "stderr_bytes", "stdin", "stdin_bytes", "stdout", "stdout_bytes", "tempfile"]
