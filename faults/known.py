"""What goes wrong in CPython's own code, on asyncio's loop as on ours: scenario and call (`cancelled` where a task is cancelled
instead), what may be seen, and why.

Everything else that a sweep finds is an error. Each line was seen with `sweep.py --asyncio` as well.
"""

import re

STUCK = ("hangs in", "tasks left", "descriptors left", "unraisable: RuntimeError: Event loop is closed")

KNOWN: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "datagrams|unix_datagrams|pipes|subprocess_pipes",
        "epoll_add",
        STUCK,
        "asyncio's datagram and pipe transports start to read in a callback: the error is reported, the transport is silent",
    ),
    (
        "sock_sendfile",
        "epoll_add",
        STUCK,
        "sock_sendfile asks to be called again from a callback: the error is reported, its future never ends",
    ),
    (
        "subprocess_pipes",
        "close",
        ("close(",),
        "subprocess.Popen closes what it opened once more when one of its close() fails",
    ),
    (
        "subprocess_pipes",
        "pidfd_open",
        ("unraisable: RuntimeError: Event loop is closed",),
        "a subprocess whose watcher cannot start leaves its transport to the finalizer",
    ),
    (
        "upgraded",
        "recv|send|sendmsg|epoll_add|cancelled",
        STUCK,
        "start_tls waits for ever where the connection was lost just before: SSLProtocol forgets its waiter",
    ),
    ("signals", "write", ("hangs in",), "Python's signal handler reports a failed write and drops the signal's byte"),
]


def is_known(scenario: str, call: str, wrong: list[str]) -> bool:
    """Whether all of it is CPython's doing."""
    return any(
        re.fullmatch(where, scenario) and re.fullmatch(which, call) and all(text.startswith(seen) for text in wrong)
        for where, which, seen, _ in KNOWN
    )


def listed(scenario: str, call: str) -> bool:
    """Whether a failure of `call` there may end in something known: mostly a hang, which costs its time-out."""
    return any(re.fullmatch(where, scenario) and re.fullmatch(which, call) for where, which, _, _ in KNOWN)
