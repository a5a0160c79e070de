"""System calls and allocations that fail, one at a time: a sample of what `make faults` does in full. See faults/sweep.py."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

FAULTS = pathlib.Path(__file__).parents[1] / "faults"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the shim is compiled by cc")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return str(tmp_path_factory.mktemp("shim"))


def run(script, *arguments):
    path = os.pathsep.join([str(FAULTS), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-W", "ignore", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_a_sample_of_failing_calls(build):
    done = run(FAULTS / "sweep.py", "--build", build, "--sample", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "92 runs" in done.stdout


def test_a_sample_of_cancellations(build):
    done = run(FAULTS / "cancel.py", "--build", build, "--sample", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1].split()[0]) > 80


@pytest.mark.parametrize(
    "program",
    [
        "protocols",  # What was received and cannot be handed over ends the connection: no byte is missing in the midst.
        "gathered",  # A gather that cannot make its list ends.
        "watched_sockets",  # A step that cannot be announced is made later.
    ],
)
def test_every_failing_allocation(build, program):
    done = run(FAULTS / "memory.py", "--build", build, "--only", program)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shim_sees_what_it_is_there_for(build, tmp_path):
    """A second close, the use of a closed number, and a failure that was asked for: each is seen, so the sweep is not blind."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import errno, os, pathlib, socket, sys
import shim as shims
if "faults-shim" not in os.environ.get("LD_PRELOAD", ""):
    made = shims.build(pathlib.Path(sys.argv[1]))
    os.execve(sys.executable, [sys.executable, *sys.argv], shims.environment(made))
shim = shims.Shim()
shim.begin("recv", 1, errno.ECONNRESET)
one, other = socket.socketpair()
one.send(b"ab")
print(other.recv(1))
try:
    other.recv(1)
except ConnectionResetError:
    print("reset")
print(other.recv(1))
number = one.detach()
os.close(number)
with socket.socket() as fresh:
    print(fresh.fileno() != number)
for use in (os.close, lambda number: os.read(number, 1)):
    try:
        use(number)
    except OSError as error:
        print(error.errno == errno.EBADF)
print([use.call for use in shim.uses()], [use.fd == number for use in shim.uses()])
shim.end()
"""
    )
    done = run(program, build)
    assert done.stdout.splitlines() == [
        "b'a'",
        "reset",
        "b'b'",
        "True",
        "True",
        "True",
        "['close', 'read'] [True, True]",
    ], done.stderr


@pytest.mark.parametrize(
    ("scenario", "call"),
    [
        ("streams", "epoll_add"),  # A connection that cannot be watched ends; the signals' socket pair is not left half made.
        ("pipes", "epoll_mod"),  # remove_writer() always succeeds, and what the kernel still reports is not served.
        ("protocols", "epoll_mod"),
        ("subprocess_pipes", "close"),  # A child's end is told whatever closing its pidfd comes to.
        ("tls_streams", "accept"),  # A server that is closed while it waits for descriptors does not start again.
    ],
)
def test_every_failure_of_one_call(build, scenario, call):
    done = run(FAULTS / "sweep.py", "--build", build, "--only", scenario, "--call", call)
    assert done.returncode == 0, done.stdout + done.stderr
