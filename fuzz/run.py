"""Programs that try to end the process by a signal, to have it hang, or to see a difference from asyncio.

    run.py --programs 1000                   1000 of each kind, from the beginning
    run.py --seed calls:411                  that one again, alone, with what it says
    run.py --only traces --first 5000        a part

Each worker is a process of its own. One that ends by a signal, or says nothing for half a minute, is reported with its
seed and replaced by one that begins behind it. Ends with 1 if there was anything to report.
"""

import argparse
import collections
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
KINDS = ("attributes", "methods", "calls", "traces")
# In one process; after that memory and what programs left behind begin to matter.
BATCH = 200
PATIENCE = 30.0


class Report:
    """What was found."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.found: list[str] = []

    def add(self, what: str, kind: str, number: int | None, detail: str) -> None:
        self.counts[what] += 1
        self.found.append(f"{kind}:{number}")
        print(f"{what}  --seed {kind}:{number}\n{detail}", flush=True)


def batch(report: Report, kind: str, first: int, count: int, step: int) -> int:
    """Runs a worker; how many programs it began."""
    command = [sys.executable, str(HERE / "worker.py"), kind, str(first), str(count), str(step)]
    began, number, over = 0, None, False
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory() as folder:
        worker = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
        assert worker.stdout is not None
        descriptor = worker.stdout.fileno()
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while selector.select(PATIENCE):
                data = os.read(descriptor, 65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.isdigit():
                        began, number = began + 1, int(line)
                    elif line.startswith(b"differs"):
                        report.add("difference", kind, number, line.decode(errors="replace")[8:2000])
                    elif line == b"end":
                        over = True
            else:
                worker.kill()
        status = worker.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        panic = [line for line in said.splitlines() if "panicked" in line or line.startswith(("says", "assertion"))][-3:]
        said = "\n".join([*panic, said[max(said.find("Fatal Python error"), 0) :][:2000]])
        if status == -signal.SIGKILL and not over:
            report.add("hang", kind, number, said)
        elif status < 0:
            report.add(signal.Signals(-status).name, kind, number, said)
        elif status == 3:
            report.counts["left"] += 1  # It waited for ever in Python code, as such a program may.
        elif not over:
            report.add(f"status {status}", kind, number, said)
        worker.stdout.close()
    if number is None:
        raise SystemExit(said)
    return began


def run(report: Report, kind: str, first: int, count: int, step: int) -> None:
    done = 0
    while done < count:
        began = batch(report, kind, first + done * step, min(BATCH, count - done), step)
        report.counts["programs"] += began
        done += max(began, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=1000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--step", type=int, default=1, help="only every so manieth number")
    parser.add_argument("--only", action="append", choices=KINDS, help="this kind; may be repeated")
    parser.add_argument("--seed", help="one program, as KIND:NUMBER")
    options = parser.parse_args()
    report = Report()
    if options.seed:
        kind, number = options.seed.split(":")
        os.environ["FUZZ_SAYS"] = "1"  # What the program is about, which may be long.
        run(report, kind, int(number), 1, 1)
    else:
        for kind in options.only or KINDS:
            began = time.monotonic()
            before = report.counts.copy()
            run(report, kind, options.first, options.programs, options.step)
            seen = ", ".join(f"{count} {what}" for what, count in sorted((report.counts - before).items()))
            print(f"{kind}: {seen}, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main())
