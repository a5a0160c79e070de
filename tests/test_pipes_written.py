"""Pipes that are written: what waits, what leaves and who is told when, as on asyncio, and the size of a pipe that is read."""

import asyncio
import fcntl
import os
import random
import socket
from asyncio import unix_events

import pytest

import rondeau

USUAL = 64 * 1024


class Told(asyncio.streams.FlowControlMixin):
    """What a protocol is told, as it is told."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def connection_made(self, transport):
        self.note("made")

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    def connection_lost(self, error):
        self.note("lost", type(error).__name__)


def ends(kind):
    """Two descriptors: one to read, and a file to write."""
    if kind == "pipe":
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        return read_end, os.fdopen(write_end, "wb", 0)
    family = {"stream": socket.SOCK_STREAM, "packets": socket.SOCK_SEQPACKET}[kind]
    ours, theirs = socket.socketpair(socket.AF_UNIX, family)
    theirs.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    return theirs.detach(), ours


SIZES = (0, 1, 100, 4096, 5000, 30_000, USUAL, USUAL + 1, 200_000)


def step(draw, transport, reader, note, number):
    """One thing that a program can do to the transport or to its other end."""
    what = draw.choices(
        ["bytes", "bytearray", "view", "lines", "read", "many", "buffer", "limits", "eof", "close", "abort", "hangup", "repr"],
        [30, 4, 4, 4, 30, 3, 2, 3, 0.4, 0.4, 0.4, 0.4, 2],
    )[0]
    size = draw.choice(SIZES)
    data = bytes([number % 251]) * size
    if what == "bytes":
        transport.write(data)
    elif what == "bytearray":
        changes = bytearray(data)
        transport.write(changes)
        changes[:] = b"?" * size
    elif what == "view":
        changes = bytearray(data)
        transport.write(memoryview(changes))
        changes[:] = b"?" * size
    elif what == "lines":
        transport.writelines([data, b"x", data])
    elif what == "many":
        for _ in range(1500):
            transport.write(b"ab")
    elif what == "buffer":
        note(len(transport._buffer), sum(transport._buffer) % 1009)
    elif what == "limits":
        transport.set_write_buffer_limits(size)
        note(transport.get_write_buffer_limits())
    elif what == "eof":
        transport.write_eof()
    elif what == "close":
        transport.close()
    elif what == "abort":
        transport.abort()
    elif what == "repr":
        note(repr(transport).replace(f"fd={transport._fileno}", "fd=N"))
    elif what == "hangup":
        return True
    elif what == "read":
        note("read", take(reader, draw.choice([1, 4096, 100_000, 1_000_000])))
    note(what, size, transport.get_write_buffer_size(), transport.is_closing())
    return False


def take(reader, size):
    try:
        data = os.read(reader, size)
    except (BlockingIOError, ConnectionResetError) as error:
        return type(error).__name__
    return len(data), sum(data) % 1009


async def asked():
    """The loop has waited in the kernel, and what was ready has run: Rondeau does not ask in each turn."""
    for _ in range(3):  # What that has scheduled runs too.
        await asyncio.sleep(0.0002)


@pytest.mark.parametrize("kind", ["pipe", "stream", "packets"])
def test_random_programs_leave_the_same_trace(compare, logged, kind):
    async def body(note, seed):
        draw = random.Random(seed)
        reader, pipe = ends(kind)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_write_pipe(lambda: Told(note), pipe)
        hung_up = False
        for number in range(40):
            if transport._pipe is None:
                break
            if hung_up:
                transport.write(bytes(draw.choice(SIZES)))
            elif step(draw, transport, reader, note, number):
                os.close(reader)
                hung_up = True
            if draw.random() < 0.5:
                await asked()
        if not hung_up:
            transport.close()
            while transport._pipe is not None:
                note(take(reader, 1_000_000))
                await asked()
            note(take(reader, 1_000_000))
            os.close(reader)
        while transport._pipe is not None:
            await asyncio.sleep(0)
        note(transport._conn_lost, transport.is_closing())

    seen = set()
    for seed in range(40):
        seen.update(note[0] for note in compare(body, seed) if isinstance(note, tuple))
    assert {"bytes", "buffer", "read", "lost"} <= seen


def test_what_waits_is_what_was_given(run):
    async def main():
        data = [random.Random(seed).randbytes(random.Random(seed).choice((1, 10, 4000, 70_000))) for seed in range(3000)]
        reader, pipe = ends("pipe")
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        for piece in data:
            transport.write(piece)
        transport.close()
        got = bytearray()
        while transport._pipe is not None:
            try:
                got += os.read(reader, 1_000_000)
            except BlockingIOError:
                pass
            await asyncio.sleep(0)
        os.set_blocking(reader, True)
        while rest := os.read(reader, 1_000_000):
            got += rest
        os.close(reader)
        return got == b"".join(data)

    assert run(main())


@pytest.mark.parametrize(("owner", "name"), [(os, "write"), (unix_events._UnixWritePipeTransport, "write")])
def test_an_own_write_is_asked(run, monkeypatch, owner, name):
    theirs, asked = getattr(owner, name), []

    def own(target, data):
        asked.append(bytes(data))
        return theirs(target, data)

    async def main():
        reader, pipe = ends("pipe")
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        transport.write(b"soup")
        transport.close()
        got = os.read(reader, 100)
        os.close(reader)
        while transport._pipe is not None:
            await asyncio.sleep(0)
        return got

    monkeypatch.setattr(owner, name, own)
    assert run(main()) == b"soup"
    assert b"soup" in asked


def test_an_own_class_is_made(run, monkeypatch):
    class Own(unix_events._UnixWritePipeTransport):
        pass

    class OwnReader(unix_events._UnixReadPipeTransport):
        pass

    async def main():
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        source, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(read_end, "rb"))
        sink, _ = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(write_end, "wb"))
        kinds = type(source), type(sink)
        sink.close()
        while source._pipe is not None:
            await asyncio.sleep(0)
        return kinds

    monkeypatch.setattr(unix_events, "_UnixWritePipeTransport", Own)
    monkeypatch.setattr(unix_events, "_UnixReadPipeTransport", OwnReader)
    assert run(main()) == (OwnReader, Own)


@pytest.mark.parametrize(("size", "at_last"), [(None, 256 * 1024), (32 * 1024, 32 * 1024)])
def test_a_pipe_that_is_worked_hard_is_made_larger(size, at_last):
    class Count(asyncio.Protocol):
        received = 0

        def data_received(self, data):
            self.received += len(data)

    async def main():
        read_end, write_end = os.pipe()
        if size is not None:
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, size)
        first = fcntl.fcntl(write_end, fcntl.F_GETPIPE_SZ)
        os.set_blocking(write_end, False)
        transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Count, os.fdopen(read_end, "rb"))
        sent, sizes = 0, []
        for _ in range(10):
            sent += os.write(write_end, bytes(first))
            while protocol.received < sent:
                await asyncio.sleep(0)
            sizes.append(fcntl.fcntl(write_end, fcntl.F_GETPIPE_SZ))
        os.close(write_end)
        while transport._pipe is not None:
            await asyncio.sleep(0)
        return sizes

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        sizes = runner.run(main())
    assert sizes[:7] == [USUAL if size is None else size] * 7
    assert sizes[7:] == [at_last] * 3
