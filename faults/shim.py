"""Builds shim.c, loads it into a child Python, and speaks to it there.

`environment()` is that of a process that has the shim before libc; `Shim()` is its remote control inside that process.
"""

import ctypes
import errno
import os
import pathlib
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

HERE = pathlib.Path(__file__).parent
SHORT = -1
"""Not a failure: one byte is moved where more were asked for."""

# What each call may plausibly end with: its man page. fcntl, ioctl(FIONBIO), fstat and EPOLL_CTL_DEL cannot fail there.
FULL = [errno.EMFILE, errno.ENFILE]
MEMORY = [errno.ENOMEM]
PLAUSIBLE = {
    "socket": [*FULL, errno.ENOBUFS, errno.EACCES],
    "socketpair": FULL,
    "accept": [*FULL, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM, errno.EINTR, errno.EAGAIN],
    "connect": [errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EINTR],
    "bind": [errno.EADDRINUSE, errno.EACCES],
    "listen": [errno.EADDRINUSE],
    "shutdown": [errno.ENOTCONN],
    "setsockopt": [errno.EINVAL, errno.ENOMEM],
    "getsockopt": [errno.ENOBUFS],
    "getsockname": [errno.ENOBUFS],
    "getpeername": [errno.ENOTCONN],
    "recv": [errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOMEM, errno.EINTR, errno.EAGAIN, SHORT],
    "send": [errno.EPIPE, errno.ECONNRESET, errno.ENOBUFS, errno.EINTR, errno.EAGAIN, SHORT],
    "sendmsg": [errno.EPIPE, errno.ENOBUFS, errno.EINTR, errno.EAGAIN, SHORT],
    "recvfrom": [errno.ECONNREFUSED, errno.ENOMEM, errno.EINTR, errno.EAGAIN],
    "sendto": [errno.ECONNREFUSED, errno.ENOBUFS, errno.EINTR, errno.EAGAIN],
    "recvmsg": [errno.ECONNRESET, errno.EINTR],
    "sendfile": [errno.EIO, errno.EPIPE, errno.EINVAL, errno.ENOSYS, errno.EAGAIN, SHORT],
    "read": [errno.EIO, errno.EINTR],
    "write": [errno.EPIPE, errno.EINTR, errno.EAGAIN],
    "open": [*FULL, errno.EACCES],
    "close": [errno.EIO, errno.EINTR],
    "pipe": FULL,
    "eventfd": [*FULL, errno.ENOMEM],
    "epoll_create": [*FULL, errno.ENOMEM],
    "epoll_add": [errno.ENOMEM, errno.ENOSPC],
    "epoll_mod": MEMORY,
    "epoll_wait": [errno.EINTR, errno.EINVAL],
    "io_uring_setup": [*FULL, errno.ENOMEM, errno.ENOSYS, errno.EPERM],
    "io_uring_enter": [errno.EINTR, errno.EAGAIN, errno.EBUSY],
    "io_uring_register": MEMORY,
    "io_uring_file": [errno.EIO, errno.ENOSPC, errno.ENOMEM, errno.EINTR, SHORT],
    "io_uring_send": [errno.EPIPE, errno.ECONNRESET, errno.ENOBUFS, errno.EINTR, errno.EAGAIN, SHORT],
    "io_uring_close": [errno.EIO, errno.EINTR],
    "pidfd_open": [*FULL, errno.ENOSYS],
    "fork": [errno.EAGAIN],
}
HARMLESS = {errno.EINTR, errno.EAGAIN, SHORT}
"""A call that ends so is made again: the program must not see it (with `fork` and pipes as the exceptions that EAGAIN has)."""


def build(folder: pathlib.Path) -> pathlib.Path:
    """The shim, compiled by `cc` into `folder` unless it is there and newer than its source."""
    folder.mkdir(parents=True, exist_ok=True)
    source, made = HERE / "shim.c", folder / "faults-shim.so"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-g", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def environment(shim: pathlib.Path) -> dict[str, str]:
    """The environment of a child that is loaded with it, behind what is loaded first already, as a sanitizer must be."""
    preload = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(shim)]))
    return {**os.environ, "LD_PRELOAD": preload, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}


@dataclass(frozen=True)
class Use:
    """A number that was used after its descriptor was closed."""

    call: str
    fd: int
    stack: tuple[str, ...]


class Shim:
    """The loaded shim of this process."""

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL(None)
        library.faults_name.restype = ctypes.c_char_p
        library.faults_count.restype = ctypes.c_long
        library.faults_note_stack.restype = ctypes.POINTER(ctypes.c_char_p)
        library.faults_begin.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int]
        self.kinds = [library.faults_name(kind).decode() for kind in range(library.faults_kinds())]

    def begin(self, call: str | None = None, index: int = 0, number: int = 0) -> None:
        """Count; the `index`-th `call` ends with errno `number`."""
        self._library.faults_begin(-1 if call is None else self.kinds.index(call), index, number)

    def disarm(self) -> None:
        self._library.faults_disarm()

    def end(self) -> None:
        """Off: closed numbers may be given out again."""
        self._library.faults_end()

    @property
    def fired(self) -> bool:
        return bool(self._library.faults_fired())

    def counts(self) -> Counter[str]:
        return Counter({call: self._library.faults_count(kind) for kind, call in enumerate(self.kinds)})

    def uses(self) -> list[Use]:
        """What used a closed number since `begin`."""
        found = []
        for index in range(min(self._library.faults_notes(), 32)):
            depth = ctypes.c_int()
            lines = self._library.faults_note_stack(index, ctypes.byref(depth))
            stack = tuple(lines[line].decode() for line in range(depth.value))
            call = self.kinds[self._library.faults_note_kind(index)]
            found.append(Use(call, self._library.faults_note_fd(index), stack))
        return found


def descriptors() -> dict[int, str]:
    """What is open now, by number."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # The one that lists them.
            pass
    return found
