"""What a program can do next, right after it has written to a connection: system calls, threads, processes.

For test_write_differential.py; acts_of_ends.py has the rest.
Each act gets a `Scene` and returns what the program sees. Its peer is a blocking socket with a timeout:
an act that waits for what was written fails where that is held back.
"""

import ctypes
import fcntl
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ACTS: dict[str, Callable[["Scene"], Any]] = {}
LIBC = ctypes.CDLL(None, use_errno=True)
WAIT = 5


class Scene:
    """A connection, its ends, and others beside it."""

    def __init__(self, loop, ends, others):
        self.loop = loop
        self.transport, self.protocol, self.own, self.peer = ends
        self.others = others
        self.marks: list[str] = []
        self.filled = 0


def act(function):
    ACTS[function.__name__] = function
    return function


def taken(peer):
    """What the kernel has for the peer now."""
    try:
        return peer.recv(1 << 20, socket.MSG_DONTWAIT)
    except OSError as error:
        return type(error).__name__


def fork():
    with warnings.catch_warnings(action="ignore"):  # A thread somewhere, pytest's own on some Pythons.
        return os.fork()


def in_child(body):
    child = fork()
    if not child:
        try:
            body()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@act
def nothing(s): ...


@act
def receive(s):
    return s.peer.recv(1 << 20)


@act
def receive_into(s):
    room = bytearray(1 << 20)
    count = s.peer.recv_into(room)
    return bytes(room[:count])


@act
def receive_message(s):
    return s.peer.recvmsg(1 << 20)[0]


@act
def shut_down_writing(s):
    s.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)


@act
def shut_down_both(s):
    s.own.shutdown(socket.SHUT_RDWR)


@act
def send(s):
    return s.own.send(b"<send>")


@act
def send_all(s):
    s.own.sendall(b"<sendall>")


@act
def send_message(s):
    return s.own.sendmsg([b"<send", b"msg>"])


@act
def send_descriptors(s):
    if s.own.family != socket.AF_UNIX:
        return None
    socket.send_fds(s.own, [b"<fds>"], [0])
    data, fds, _, _ = socket.recv_fds(s.peer, 1 << 20, 4)
    for fd in fds:
        os.close(fd)
    return data, len(fds)


@act
def close_own_socket(s):
    s.own.close()


@act
def detach_own_socket(s):
    os.close(s.own.detach())


@act
def os_write(s):
    return os.write(s.own.fileno(), b"<write>")


@act
def os_writev(s):
    return os.writev(s.own.fileno(), [b"<write", b"v>"])


@act
def write_to_duplicate(s):
    fd = os.dup(s.own.fileno())
    os.write(fd, b"<dup>")
    os.close(fd)


@act
def sendfile(s):
    with tempfile.TemporaryFile() as file:
        file.write(b"<file>")
        file.flush()
        return os.sendfile(s.own.fileno(), file.fileno(), 0, 6)


@act
def splice(s):
    reader, writer = os.pipe()
    os.write(writer, b"<splice>")
    moved = os.splice(reader, s.own.fileno(), 8)
    os.close(reader)
    os.close(writer)
    return moved


@act
def file_object(s):
    with s.own.makefile("wb") as file:
        file.write(b"<makefile>")


@act
def raw_file(s):
    with open(os.dup(s.own.fileno()), "wb", buffering=0) as file:
        return file.write(b"<raw>")


@act
def child_writes(s):
    return in_child(lambda: os.write(s.own.fileno(), b"<child>"))


@act
def child_receives(s):
    reader, writer = os.pipe()
    in_child(lambda: os.write(writer, s.peer.recv(1 << 20)))
    os.close(writer)
    data = os.read(reader, 1 << 16)
    os.close(reader)
    return data


@act
def program_writes(s):
    return subprocess.run(["printf", "<program>"], stdout=s.own.fileno(), check=True).returncode


@act
def spawned_writes(s):
    actions = [(os.POSIX_SPAWN_DUP2, s.own.fileno(), 1)]
    pid = os.posix_spawnp("printf", ["printf", "<spawn>"], os.environ, file_actions=actions)
    return os.waitpid(pid, 0)[1]


@act
def shell_writes(s):
    fd = os.dup(s.own.fileno())
    os.set_inheritable(fd, True)
    status = os.system(f"printf '<shell>' >&{fd}")
    os.close(fd)
    return status


@act
def sleep_then_look(s):
    time.sleep(0)
    return taken(s.peer)


@act
def selected(s):
    return [len(ready) for ready in select.select([s.peer], [], [], WAIT)]


@act
def polled(s):
    poll = select.poll()
    poll.register(s.peer, select.POLLIN)
    return [event for _, event in poll.poll(WAIT * 1000)]


@act
def epolled(s):
    with select.epoll() as epoll:
        epoll.register(s.peer, select.EPOLLIN)
        return [event for _, event in epoll.poll(WAIT)]


@act
def bytes_that_are_there(s):
    count = fcntl.ioctl(s.peer, termios.FIONREAD, bytes(4))
    return struct.unpack("i", count)[0]


@act
def thread_receives(s):
    got = []
    thread = threading.Thread(target=lambda: got.append(s.peer.recv(1 << 20)))
    thread.start()
    thread.join()
    return got


@act
def pool_receives(s):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(s.peer.recv, 1 << 20).result()


@act
def waiting_thread_receives(s):
    """It is in recv before anything is written; the program waits for its lock."""
    return s.waiter()


@act
def queue_of_a_thread(s):
    answers = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: answers.put(s.peer.recv(1 << 20)))
    thread.start()
    data = answers.get(timeout=WAIT)
    thread.join()
    return data


@act
def raises(s):
    raise ZeroDivisionError("in the callback")


@act
def signal_handler(s):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(taken(s.peer)))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    return seen


@act
def duplicate_over_it(s):
    with open(os.devnull, "wb") as file:
        os.dup2(file.fileno(), s.own.fileno())
    return taken(s.peer)


@act
def reset(s):
    s.own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    data = s.peer.recv(1 << 20)
    s.transport.abort()
    return data


@act
def foreign_shutdown(s):
    return LIBC.shutdown(s.own.fileno(), socket.SHUT_WR)


@act
def foreign_receive(s):
    """A C call that gives the interpreter's lock up, and blocks."""
    room = ctypes.create_string_buffer(1 << 20)
    count = LIBC.recv(s.peer.fileno(), room, len(room), 0)
    return room.raw[:count]


@act
def foreign_receive_with_the_lock(s):
    """A C call that keeps the interpreter's lock, and blocks."""
    room = ctypes.create_string_buffer(1 << 20)
    count = ctypes.PyDLL(None).recv(s.peer.fileno(), room, len(room), 0)
    return room.raw[:count]


@act
def terminal_question(s):
    try:
        termios.tcdrain(s.own.fileno())
    except termios.error as error:
        return error.args[0], taken(s.peer)


@act
def new_connection(s):
    left, right = socket.socketpair()
    with left, right:
        left.send(b"x")
        return right.recv(1), taken(s.peer)
