"""The conditions of a run, for the table's header and the JSON: machine, kernel, interpreter, load."""

import os
import platform
import sys
import sysconfig
from pathlib import Path


def describe() -> dict[str, str | int]:
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {memory()} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}"
        + (" free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""),
        "compiler": platform.python_compiler(),
        "built": sysconfig.get_config_var("CONFIG_ARGS") or "unknown",
        "load": "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()),
        "executable": Path(sys.executable).name,
    }


def processor() -> str:
    """The model name; the architecture alone where the kernel does not tell."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
