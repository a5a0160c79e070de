"""After each write, whatever a program does next: peer and program see what they see with asyncio, which sends inside write().

Cases are drawn by their number: a kind of connection, a way to write, one of the acts of acts.py and acts_of_ends.py.
`make differential` runs many; WRITES says how many. On Rondeau's arm much is written before, so that what follows
really waits (`_core.unsent`).
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import acts_of_ends  # noqa: F401 - it adds to ACTS
import rondeau
from acts import ACTS, WAIT, Scene, fork, taken
from rondeau import _core
from tls_peers import contexts

CASES = int(os.environ.get("WRITES", "240"))
KINDS = ("unix", "tcp")
WAYS = ("write", "two writes", "many", "writelines", "streams", "bytearray", "large")
ARMS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "rondeau": rondeau.new_event_loop,
}


class Protocol(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()
        self.paused = 0
        self.note = None

    def pause_writing(self):
        self.paused += 1

    def resume_writing(self):
        self.paused += 100

    def connection_lost(self, exc):
        if self.note is not None:
            self.note(f"lost: {type(exc).__name__}")
        self.lost.set_result(None)


class Writer(asyncio.StreamWriter):
    def __del__(self):
        """Says nothing: the transport is closed by the test."""


async def connect(kind):
    loop = asyncio.get_running_loop()
    if kind == "unix":
        own, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            own = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
    own.setblocking(False)
    peer.settimeout(WAIT)
    transport, protocol = await loop.create_connection(Protocol, sock=own)
    return [transport, protocol, own, peer]


async def close(ends):
    transport, protocol, own, peer = ends
    transport.abort()
    await protocol.lost
    own.close()
    if peer is not None:
        peer.close()


async def keep_busy(pair):
    """Until writes wait. They do so only where much is written."""
    for _ in range(5000):
        pair[0].write(b"much")
        pair[0].write(b"more")
        if _core.unsent():
            break
        taken(pair[3])
        await asyncio.sleep(0.0001)
    await asyncio.sleep(0.0001)


def write(draw, way, scene):
    transport = scene.transport
    parts = [bytes([97 + draw.randrange(26)]) * draw.choice((1, 64, 1000, 5000)) for _ in range(draw.randrange(3, 70))]
    if way == "write":
        transport.write(parts[0])
    elif way == "two writes":
        transport.write(parts[0])
        transport.write(parts[1])
    elif way == "many":
        for part in parts[:20]:
            transport.write(part)
    elif way == "writelines":
        transport.writelines(parts)
    elif way == "streams":
        writer = Writer(transport, scene.protocol, None, scene.loop)
        writer.write(parts[0])
        writer.writelines(parts[1:3])
    elif way == "bytearray":
        data = bytearray(parts[0])
        transport.write(data)
        data[:] = bytes(len(data))
    else:
        transport.write(b"L" * draw.choice((30_000, 60_000, 90_000)))


async def case(number, note, name=None):
    draw = random.Random(number)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: note("reported", type(context.get("exception")).__name__))
    name = name or draw.choice(sorted(ACTS))
    kind, way = draw.choice(KINDS), draw.choice(WAYS)
    busy = await connect("unix")
    ends = await connect(kind)
    others = [await connect(draw.choice(KINDS)) for _ in range(draw.randrange(3))]
    scene = Scene(loop, ends, others)
    if name == "waiting_thread_receives":
        scene.waiter = receive_in_a_thread(scene.peer)
    scene.forget_peer = lambda: ends.pop(3)
    ends[1].note = lambda what: scene.marks.append(what)
    if not isinstance(loop, asyncio.SelectorEventLoop) or isinstance(loop, rondeau.EventLoop):
        await keep_busy(busy)
    waited = loop.create_future()

    def callback():
        try:
            write(draw, way, scene)
            waited.set_result(_core.unsent())
            note(name, ACTS[name](scene))
        finally:
            loop.call_soon(scene.marks.append, "end of the callback")

    loop.call_soon(callback)
    del callback
    waited = await waited
    for _ in range(3):
        await asyncio.sleep(0)
    note(scene.transport.is_closing(), scene.marks, scene.protocol.paused)
    peer = scene.peer if scene.peer is not None and scene.peer.fileno() >= 0 else None
    note("peer", await asyncio.to_thread(rest, peer, scene) if peer else None)
    ends[3:] = [peer]
    scene.peer = None
    for one in (ends, busy, *others):
        await close(one)
    note(scene.marks)
    return waited


def receive_in_a_thread(peer):
    got, ready = [], threading.Event()

    def body():
        ready.set()
        got.append(peer.recv(1 << 20))

    thread = threading.Thread(target=body)
    thread.start()
    ready.wait()

    def wait():
        thread.join()
        return got[0][:1]  # A thread that waits in recv wakes with the first send that it sees.

    return wait


def rest(peer, scene):
    """What the peer gets until nothing comes any more, or how it ends."""
    data = b""
    peer.settimeout(0.5 if scene.filled else 0.03)
    end = "end"
    try:
        while more := peer.recv(1 << 20):
            data += more
    except OSError as error:
        end = type(error).__name__
    filling = data.count(0)
    assert not scene.filled or filling == scene.filled
    return data.replace(b"\0", b""), end


def trace(factory, number, name=None):
    noted = []
    with asyncio.Runner(loop_factory=factory) as runner:
        waited = runner.run(case(number, lambda *what: noted.append(repr(what)), name))
    return noted, waited


def compare(number, name=None):
    expected, _ = trace(ARMS["asyncio"], number, name)
    seen, waited = trace(ARMS["rondeau"], number, name)
    if name == "waiting_thread_receives" or "waiting_thread_receives" in expected[0]:
        expected[-2:-1], seen[-2:-1] = [], []  # How much that thread takes is the scheduler's.
    assert seen == expected, number
    return bool(waited)


@pytest.mark.parametrize("name", sorted(ACTS))
def test_after_every_act(name):
    compare(sorted(ACTS).index(name), name)


def test_after_drawn_acts():
    waited = sum(compare(number) for number in range(1000, 1000 + CASES))
    assert waited > CASES / 4, "what is tested here hardly ever happened"


ENDS = {
    "exit": "os._exit(0)",
    "exec": "os.execv('/bin/true', ['true'])",
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "raise": "signal.raise_signal(signal.SIGKILL)",
    "thread": "signal.pthread_kill(threading.get_ident(), signal.SIGKILL)",
    "abort": "os.abort()",
    "crash": "ctypes.string_at(0)",
    "fault": "faulthandler._sigsegv()",
    "system exit": "sys.exit()",
    "interrupt": "raise KeyboardInterrupt",
    "shell": "os.system(f'kill -9 {os.getpid()}')",
    "alarm": "signal.setitimer(signal.ITIMER_REAL, 0.03); sum(range(10**9))",
    "other thread": "threading.Thread(target=os._exit, args=[0]).start(); sum(range(10**9))",
    "child": "warnings.simplefilter('ignore'); os.fork() or os._exit(0); os.wait(); os._exit(0)",
}
PROGRAM = """
import asyncio, os, signal, socket, sys, threading, warnings
LATER = {later!r}
if not LATER: import ctypes, faulthandler
def write(transport):
    global ctypes, faulthandler
    transport.write(b"last "); transport.write(b"words")
    if LATER: import ctypes, faulthandler
    {end}
async def main():
    sock = socket.socket(fileno=int(sys.argv[1]))
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)
    if sys.argv[2] == "rondeau":
        from rondeau import _core
        left, right = socket.socketpair()
        left.setblocking(False)
        busy, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=left)
        while True:
            busy.write(b"much")
            busy.write(b"more")
            if _core.unsent(): break
            right.recv(99)
            await asyncio.sleep(0.0001)
        await asyncio.sleep(0.0001)
    asyncio.get_running_loop().call_soon(write, transport)
    await asyncio.sleep(60)
if sys.argv[2] == "rondeau":
    import rondeau
    factory = rondeau.new_event_loop
else:
    factory = asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("later", [False, True], ids=["imported before", "imported after"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("arm", ARMS)
def test_last_words_arrive(arm, end, later):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            program = PROGRAM.format(end=ENDS[end], later=later)
            child = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno()), arm],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=no_core_file,
            )
        ours.settimeout(30)
        data = b""
        while more := ours.recv(100):
            data += more
        assert data == b"last words"
        child.wait()


def no_core_file():
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


@pytest.mark.parametrize("compute", ["sum(range(3 * 10**7))", "list(map(abs, range(3 * 10**6))).sort()"])
def test_a_callback_that_computes_holds_nothing_back(compute):
    """It keeps the interpreter's lock: another process sees the bytes before it is over."""

    async def main():
        ends, busy = await connect("unix"), await connect("unix")
        await keep_busy(busy)
        reader, writer = os.pipe()
        child = fork()
        if not child:  # It writes down whether the peer's bytes were there before the program said that it had computed.
            try:
                first = ends[3].recv(100)
                os.set_blocking(reader, False)
                try:
                    os.read(reader, 1)
                    os._exit(1)
                except BlockingIOError:
                    os._exit(0 if first == b"now" else 2)
            finally:
                os._exit(3)
        await keep_busy(busy)
        done = asyncio.get_running_loop().create_future()

        def callback():
            ends[0].write(b"now")
            waits = _core.unsent()
            exec(compute)
            _core.unsent()
            done.set_result(waits)

        asyncio.get_running_loop().call_soon(callback)
        del callback
        assert await done > 0
        os.write(writer, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(reader)
        os.close(writer)
        for one in (ends, busy):
            await close(one)

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("end", ["recv", "exit"])
def test_what_tls_writes_is_not_held_back(run, end):
    """What was encrypted reaches a peer that is waited for in the same callback."""

    async def main():
        server, client = contexts()
        got = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            got.set_result(await reader.readexactly(10))
            writer.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
        host, port = listener.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(host, port, ssl=client, server_hostname="localhost")
        own = writer.get_extra_info("socket")
        writer.write(b"head ")
        writer.write(b"words")
        if end == "exit":
            own.shutdown(socket.SHUT_WR)
        assert await got == b"head words"
        writer.close()
        listener.close()
        await listener.wait_closed()

    run(main())
