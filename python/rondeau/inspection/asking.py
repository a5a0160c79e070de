"""Asking a running program: find its door, make sure that it is its own, ask.

Called by the commands. A program listens at an abstract Unix socket that is named after its process; the kernel says who is at
the other end, and whoever is not the process that was meant is not asked. What is wrong is said for people, as `CannotAsk`.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1
# An abstract name, in /proc/net/unix with @ for its first byte: the process's number in its own namespace, and a number where
# somebody else has taken the name.
NAME = re.compile(r"@(rondeau/(\d+)(?:\.\d+)?)$")


class CannotAsk(Exception):
    """Why a program cannot be asked, in a sentence."""


class NoAnswer(CannotAsk):
    """The program is there and does not answer."""


class Program:
    """A connection to a program that was found and has greeted.

    Args:
        door: the connected socket; owned from now on.
        pid: the process, by its number here.
        greeting: what the program says of itself without its interpreter lock.
    """

    def __init__(self, door: socket.socket, pid: int, greeting: dict[str, Any]) -> None:
        self._door = door
        self.pid = pid
        self.greeting = greeting

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()

    def ask(self, question: str, patience: float = 5.0) -> dict[str, Any]:
        """Ask one question; return the answer.

        Args:
            question: `tasks`, `top`, or `some` with two lines of addresses.
            patience: seconds to wait for the answer.

        Raises:
            NoAnswer: none came.
            CannotAsk: the program says that it cannot.
        """
        until = time.monotonic() + patience
        others = None  # Why there is no answer, once the program has said so.
        try:
            while True:
                self._door.settimeout(max(until - time.monotonic(), 0.01))
                self._door.send(question.encode())
                message, files, _, _ = socket.recv_fds(self._door, 64 * 1024, 1)
                answer = read(message)
                if not answer.get("busy"):
                    break
                others = "others have asked it, and it has not answered them yet"
                if time.monotonic() > until:
                    raise NoAnswer(self._why_not(others))
                time.sleep(0.05)
        except TimeoutError:
            raise NoAnswer(self._why_not(others)) from None
        except OSError as error:
            raise CannotAsk(f"process {self.pid} hung up: {error.strerror or error}") from None
        if files:
            with open(files[0], "rb") as file:  # It was written to its end.
                file.seek(0)
                return read(file.read())
        if not message:
            raise CannotAsk(f"process {self.pid} hung up: it has ended, or has closed its last loop")
        raise CannotAsk(f"process {self.pid} cannot say: {answer.get('error', 'no reason given')}")

    def _why_not(self, reason: str | None) -> str:
        """What is known of a program that does not answer: the desk that greets needs no interpreter lock."""
        state = state_of(self.pid)
        if state in ("T", "t"):
            return f"process {self.pid} does not answer: it is stopped (kill -CONT {self.pid} lets it go on)"
        if reason is None:
            reason = "something in it holds Python's lock and does not give it up, most likely a call of native code"
        lines = [f"process {self.pid} does not answer: {reason}"]
        try:
            with connect(self.pid) as again:
                loops = again.greeting["loops"]
        except CannotAsk:
            loops = self.greeting["loops"]
        for loop in loops:
            if not loop["running"]:
                continue
            place = f"loop {loop['number']} (thread {loop['thread']}, {loop['turns']} turns)"
            if loop["parked"]:
                lines.append(f"  {place} has waited in the kernel for {loop['last_ask']:.1f} s")
            else:
                lines.append(f"  {place} was last in the kernel {loop['last_ask']:.1f} s ago, and runs something since")
        return "\n".join(lines)


def read(message: bytes) -> dict[str, Any]:
    """A message as what it says; CannotAsk where it is none of ours."""
    if not message:
        return {}
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CannotAsk("what answered does not speak Rondeau's language")
    return found


def connect(pid: int, patience: float = 5.0) -> Program:
    """Find the program that process `pid` is.

    Raises:
        CannotAsk: there is no such process, it is no Rondeau program, it is another user's, or it cannot be reached.
    """
    if not os.path.exists(f"/proc/{pid}"):
        raise CannotAsk(f"no such process: {pid}")
    inner = own_number(pid)
    for name, number in names():
        if number == inner and (program := _enter(name, pid, patience)) is not None:
            return program
    raise CannotAsk(_why_there_is_no_door(pid))


def programs() -> list[Program]:
    """All programs that can be asked, each with its connection, by number.

    Those of other users are left out, and those that are stopped; one that gets no processor is waited for.
    """
    found: dict[int, Program] = {}
    for name, _ in names():
        try:
            program = _enter(name, None, 5.0)
        except CannotAsk:
            continue
        if program is not None:
            if program.pid in found:
                program._door.close()
            else:
                found[program.pid] = program
    return [found[pid] for pid in sorted(found)]


def names() -> list[tuple[str, int]]:
    """The doors in this network namespace: name, and the number that its process has in its own namespace."""
    with open("/proc/net/unix", errors="replace") as file:
        # Connected ends are listed under the same name; state 01 is a door.
        lines = [line.split() for line in file][1:]
    found = [(NAME.match(line[7]), line[5]) for line in lines if len(line) > 7]
    return sorted({(match[1], int(match[2])) for match, state in found if match and state == "01"})


def _enter(name: str, pid: int | None, patience: float) -> Program | None:
    """Knock at a door; None where it is not that of process `pid` (any process: None)."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    until = time.monotonic() + patience
    try:
        door.settimeout(patience)
        while True:
            try:
                door.connect(f"\0{name}")
                break
            except BlockingIOError:  # Too many knock at once.
                if time.monotonic() > until:
                    raise NoAnswer(f"process {pid} does not answer: too many ask it at once") from None
                time.sleep(0.02)
        there, _, _ = struct.unpack("iII", door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if there == 0 or pid not in (None, there):
            door.close()
            return None  # Somebody who has taken the name, or a process that this namespace does not see.
        if pid is None and state_of(there) in ("T", "t"):
            raise NoAnswer(f"process {there} does not answer: it is stopped")
        try:
            greeting = read(door.recv(64 * 1024))
        except TimeoutError:
            stopped = "it is stopped" if state_of(there) in ("T", "t") else "it does not get to run"
            raise NoAnswer(f"process {there} does not answer: {stopped}") from None
    except ConnectionError:
        door.close()
        return None  # It went while we came.
    except BaseException:
        door.close()
        raise
    try:
        check(greeting, there)
    except BaseException:
        door.close()
        raise
    return Program(door, there, greeting)


def check(greeting: dict[str, Any], pid: int) -> None:
    """Raise CannotAsk where a greeting is a refusal, or another version's."""
    if "refused" in greeting:
        owner, you = user(greeting["refused"]), user(os.geteuid())
        raise CannotAsk(f"process {pid} belongs to {owner} and answers only to that user and to root; you are {you}")
    if not greeting:
        raise CannotAsk(f"process {pid} hung up without a word: too many ask it at once, or it has just ended")
    if greeting.get("protocol") != PROTOCOL:
        other = greeting.get("rondeau", "?")
        raise CannotAsk(f"process {pid} runs Rondeau {other}, whose answers this version does not understand")


def _why_there_is_no_door(pid: int) -> str:
    try:
        if os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"):
            return (
                f"process {pid} is in another network namespace, as in a container: ask from there, "
                f"for instance by nsenter --target {pid} --net python -m rondeau ps {pid}"
            )
        with open(f"/proc/{pid}/maps") as file:
            loaded = any("rondeau/_core" in line for line in file)
    except PermissionError:
        owner = user(os.stat(f"/proc/{pid}").st_uid)
        return f"process {pid} belongs to {owner}: it may not be looked at, and no door of a Rondeau program is to be seen"
    except (FileNotFoundError, ProcessLookupError):
        return f"no such process: {pid}"
    if loaded:
        return (
            f"process {pid} has loaded Rondeau, but has no open loop that has run; "
            f"or it was started with RONDEAU_INSPECT=0, or has an older version of Rondeau"
        )
    return f"process {pid} is no Rondeau program"


def own_number(pid: int) -> int:
    """The number that the process has in its own PID namespace."""
    return int(_status(pid).get("NSpid", str(pid)).split()[-1])


def state_of(pid: int) -> str:
    """The kernel's letter for what the process does: R, S, D, T, Z."""
    return _status(pid).get("State", "?")[0]


def _status(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/status", errors="replace") as file:
            return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def user(uid: int) -> str:
    """A user's name, or number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
