"""Pipes that are read: nothing lost, nothing merged that is not one stream, and ends as asyncio has them."""

import asyncio
import os
import random
import socket
import subprocess

import rondeau

MIB = 1024 * 1024


class Notes(asyncio.Protocol):
    """What a protocol is told, in order."""

    def __init__(self):
        self.told = []
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.told.append(data)

    def eof_received(self):
        self.told.append("eof")

    def connection_lost(self, error):
        self.told.append(type(error).__name__)
        self.lost.set_result(None)


def test_bytes_are_intact_with_pauses_at_random(run):
    class Pausing(Notes):
        def connection_made(self, transport):
            self.transport = transport
            self.draw = random.Random(7)

        def data_received(self, data):
            super().data_received(data)
            assert len(data) <= 256 * 1024
            if self.draw.random() < 0.3:
                self.transport.pause_reading()
                asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main():
        data = random.Random(1).randbytes(MIB) * 24
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        _, protocol = await loop.connect_read_pipe(Pausing, os.fdopen(read_end, "rb"))
        sink, _ = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(write_end, "wb"))
        for begin in range(0, len(data), 1_000_003):
            sink.write(data[begin : begin + 1_000_003])
        sink.close()
        await protocol.lost
        *pieces, eof, lost = protocol.told
        return b"".join(pieces) == data, eof, lost

    assert run(main()) == (True, "eof", "NoneType")


def test_bytes_are_intact_through_a_child(run):
    async def main():
        data = random.Random(2).randbytes(MIB) * 16
        process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = await process.communicate(data)
        return out == data

    assert run(main())


def test_messages_of_a_socket_stay_apart(compare):
    async def body(note):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        for size in (70_000, 1, 40_000):
            theirs.send(bytes(size))
        theirs.close()
        _, protocol = await asyncio.get_running_loop().connect_read_pipe(Notes, ours)
        await protocol.lost
        note([each if isinstance(each, str) else len(each) for each in protocol.told])

    compare(body)


def test_what_the_writer_left_comes_before_the_end(compare):
    async def body(note):
        for size in (1, 32 * 1024, 64 * 1024):
            read_end, write_end = os.pipe()
            os.write(write_end, bytes(size))
            os.close(write_end)
            _, protocol = await asyncio.get_running_loop().connect_read_pipe(Notes, os.fdopen(read_end, "rb"))
            await protocol.lost
            note([each if isinstance(each, str) else len(each) for each in protocol.told])

    compare(body)


def test_a_read_that_fails_ends_the_pipe(compare, logged):
    async def body(note):
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_read_pipe(Notes, os.fdopen(read_end, "rb"))
        null = os.open("/dev/null", os.O_WRONLY)  # Cannot be read: EBADF.
        os.dup2(null, read_end)
        transport._read_ready()
        await protocol.lost
        note(protocol.told, transport.is_closing())
        os.close(null)
        os.close(write_end)

    compare(body)
    assert len(logged) == 2
    assert all(message.startswith("ERROR Fatal read error on pipe transport") for message in logged)


def test_an_own_os_read_is_asked(run, monkeypatch):
    read, asked = os.read, []

    def own(descriptor, size):
        asked.append(size)
        return read(descriptor, size)

    async def main():
        read_end, write_end = os.pipe()
        _, protocol = await asyncio.get_running_loop().connect_read_pipe(Notes, os.fdopen(read_end, "rb"))
        os.write(write_end, b"soup")
        os.close(write_end)
        await protocol.lost
        return protocol.told

    monkeypatch.setattr(os, "read", own)
    assert run(main()) == [b"soup", "eof", "NoneType"]
    assert asked[:1] == [256 * 1024]


def test_the_size_of_a_read_is_the_transports():
    async def main():
        read_end, write_end = os.pipe()
        transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Notes, os.fdopen(read_end, "rb"))
        transport.max_size = 3
        os.write(write_end, b"soups")
        os.close(write_end)
        await protocol.lost
        return protocol.told

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        assert runner.run(main()) == [b"sou", b"ps", "eof", "NoneType"]
