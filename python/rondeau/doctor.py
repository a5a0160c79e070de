"""`python -m rondeau doctor`: one page that answers «which back end, and why» for a bug report.

The extension's `probe()` tells it; this only lays it out. It starts no loop and changes nothing.
"""

import os
import platform
import sys


def report() -> str:
    """The page, without its last line break."""
    import rondeau
    from rondeau import _colours, _core

    found = dict(_core.probe())
    rows = {
        "rondeau": rondeau.__version__,
        "extension": getattr(_core, "__file__", "built in"),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}",
        "kernel": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "sockets": found.pop("driver"),
        "files": found.pop("files"),
        "because": found.pop("reason"),
        "TLS records": found.pop("tls"),
        **{str(key): value for key, value in found.items()},
        "RONDEAU_DRIVER": os.environ.get("RONDEAU_DRIVER", "not set (epoll and uring are understood)"),
    }
    width = max(map(len, rows))
    most, coloured = _colours.width(sys.stdout), _colours.wanted(sys.stdout)
    lines = []
    for name, value in rows.items():
        first, *rest = _colours.folded(f"{name:<{width}}  {value}", most, " " * (width + 2))
        lines += [_colours.painted(first[:width], _colours.BOLD) + first[width:] if coloured else first, *rest]
    return "\n".join(lines)
