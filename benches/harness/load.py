"""Builds and starts the load generator (crates/loadgen), and the parent's half of an `Echo` round."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import process
from harness.child import Child, ChildFailedError
from harness.workload import CERTIFICATE, Case, Echo, Figure, Http

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 60


def build() -> Path:
    """Builds the load generator with cargo, in release mode, and returns its path."""
    command = ["cargo", "build", "--release", "--package", "rondeau-loadgen"]
    command += ["--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    return next(Path(m["executable"]) for m in messages if m.get("executable"))


@contextlib.contextmanager
def control(port: int) -> Iterator[socket.socket]:
    """The control connection; the server stops when the block ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        try:
            yield connection
        finally:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"stop\n")
                connection.recv(64)


def command(binary: Path, mode: str, port: int) -> list[str]:
    words = [str(binary), mode, "--address", f"127.0.0.1:{port}", "--seconds", str(SECONDS)]
    if process.CORES > process.LOAD_CORE:
        words += ["--core", str(process.LOAD_CORE)]
    return words


def echo_round(child: Child, workload: Echo, case: Case, binary: Path, ports: dict[str, Any]) -> list[Figure]:
    words = command(binary, "http" if isinstance(workload, Http) else "echo", ports["port"])
    if process.CORES > process.LOAD_CORE:
        words.append("--spin")  # else the server pays for waking the load generator's core: README
    numbers = {
        "connections": case.connections,
        "messages": case.count,
        "warmup": max(2 * case.connections, case.count // 10),
        "server": child.pid,
    }
    if not isinstance(workload, Http):
        numbers |= {"size": case.size, "header": workload.header}
    if workload.tls:
        words += ["--tls", str(CERTIFICATE)]
    for name, number in numbers.items():
        words += [f"--{name}", str(number)]
    with control(ports["control"]):
        found = subprocess.run(words, capture_output=True, text=True)
    if found.returncode:
        raise ChildFailedError(found.stderr.strip() or f"load generator: status {found.returncode}")
    report = json.loads(found.stdout)
    return [Figure("", "ns", report["server_cpu_ns"] / report["messages"])]
