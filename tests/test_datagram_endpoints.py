"""create_datagram_endpoint: its options, back-pressure, errors, ends; UDP and Unix sockets on both loops."""

import asyncio
import contextlib
import os
import socket
import struct
import sys

import pytest

import rondeau
from test_datagrams import Mailbox, closed


async def endpoint(**options):
    return await asyncio.get_running_loop().create_datagram_endpoint(Mailbox, **options)


def test_kinds_of_transport(run):
    async def main():
        pair = await endpoint(local_addr=("127.0.0.1", 0))
        transport, mailbox = pair
        for kind in (asyncio.BaseTransport, asyncio.Transport, asyncio.transports._FlowControlMixin):
            assert isinstance(transport, kind)
        if sys.version_info >= (3, 12) or isinstance(asyncio.get_running_loop(), rondeau.EventLoop):
            assert isinstance(transport, asyncio.DatagramTransport)
        assert transport.get_protocol() is mailbox
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        assert sock.getsockname() == transport.get_extra_info("sockname")
        assert transport.get_extra_info("peername") is None
        assert repr(transport).partition(" ")[2].startswith(f"fd={sock.fileno()} read=polling write=<idle, bufsize=0>")
        await closed(pair)
        assert transport.is_closing()

    run(main())


def test_zero_length_both_ways(run):
    async def main():
        loop = asyncio.get_running_loop()
        here = await endpoint(local_addr=("127.0.0.1", 0))
        address = here[0].get_extra_info("sockname")
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.sendto(b"", address)
            data, sender = await here[1].letters.get()
            assert data == b""
            if sys.version_info >= (3, 14) or isinstance(loop, rondeau.EventLoop):  # asyncio lost empty ones
                here[0].sendto(b"", sender)
                assert await loop.sock_recvfrom(peer, 10) == (b"", address)
                here[0].sendto(bytearray(), sender)
                here[0].sendto(memoryview(b""), sender)
                assert await loop.sock_recvfrom(peer, 10) == (b"", address)
                assert await loop.sock_recvfrom(peer, 10) == (b"", address)
        await closed(here)

    run(main())


def test_ipv6_with_its_scope(run):
    async def main():
        a = await endpoint(local_addr=("::1", 0))
        b = await endpoint(local_addr=("::1", 0))
        address = a[0].get_extra_info("sockname")
        assert len(address) == 4
        for target in (address, address[:2], ("0:0:0:0:0:0:0:1", address[1], 0, 0)):
            b[0].sendto(b"letter", target)
            assert await a[1].letters.get() == (b"letter", b[0].get_extra_info("sockname"))
        # The scope is the kernel's to judge: there is no such interface.
        b[0].sendto(b"x", ("fe80::1", 9, 0, 10_000))
        assert isinstance(await b[1].errors.get(), OSError)
        await closed(a, b)

    run(main())


def test_addresses_in_every_form(compare):
    async def body(note):
        here = await endpoint(local_addr=("127.0.0.1", 0))
        port = here[0].get_extra_info("sockname")[1]
        for target in [
            ("127.0.0.1", port),
            ["127.0.0.1", port],
            ("localhost", port),
            ("", port),
            ("127.0.0.1", True),
            ("127.0.0.1", str(port)),
            ("127.0.0.1",),
            ("127.0.0.1", -1),
            ("127.0.0.1", 2**16),
            ("127.0.0.1", 2**70),
            ("::1", port, 0, 0),
            ("no.such.host.invalid", port),
            b"127.0.0.1",
            7,
        ]:
            transport, mailbox = await endpoint(local_addr=("127.0.0.1", 0))
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: note(context["message"], context["exception"]))
            transport.sendto(b"letter", target)
            await asyncio.sleep(0)
            if transport.is_closing():
                note("closing", await mailbox.gone)
                continue
            if not mailbox.errors.empty():
                note(mailbox.errors.get_nowait())
            elif isinstance(target[1], int) and target[1] == port:
                note((await here[1].letters.get())[0])
            await closed((transport, mailbox))
        loop.set_exception_handler(None)
        await closed(here)

    compare(body)


def test_data_of_every_kind(compare):
    async def body(note):
        here = await endpoint(local_addr=("127.0.0.1", 0))
        there = await endpoint(local_addr=("127.0.0.1", 0))
        address = here[0].get_extra_info("sockname")
        for data in [b"soup", bytearray(b"soup"), memoryview(b"soup"), memoryview(b"soup")[1:3]]:
            there[0].sendto(data, address)
            note((await here[1].letters.get())[0])
        for data in ["text", None, 7, [b"soup"]]:
            try:
                there[0].sendto(data, address)
            except TypeError as error:
                note(error)
        there[0].sendto(bytes(70_000), address)
        note((await there[1].errors.get()).errno)
        await closed(here, there)

    compare(body)


def test_a_connected_endpoint(compare):
    async def body(note):
        here = await endpoint(local_addr=("127.0.0.1", 0))
        address = here[0].get_extra_info("sockname")
        there = await endpoint(remote_addr=address)
        note(there[0].get_extra_info("peername") == address)
        there[0].sendto(b"1")
        there[0].sendto(b"2", None)
        there[0].sendto(b"3", address)
        try:
            there[0].sendto(b"4", ("127.0.0.1", 1))
        except ValueError as error:
            note(str(error).replace(str(address[1]), "PORT"))
        for _ in range(3):
            note((await here[1].letters.get())[0])
        # The peer goes: the second send is told of the first.
        await closed(here)
        there[0].sendto(b"5")
        note(await there[1].errors.get())
        await closed(there)
        with socket.socket(type=socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.connect(nobody.getsockname())
            handed = await endpoint(sock=sock)
            handed[0].sendto(b"6", ("127.0.0.1", 1))
            note(nobody.recv(10))
            await closed(handed)

    compare(body)


def test_sending_after_close(compare, logged):
    async def body(note):
        here = await endpoint(local_addr=("127.0.0.1", 0))
        address = here[0].get_extra_info("sockname")
        there = await endpoint(remote_addr=address)
        there[0].close()
        for _ in range(7):
            note(there[0].sendto(b"late"))
        note(await there[1].gone, there[0].is_closing(), there[0].get_write_buffer_size())
        for _ in range(3):
            note(there[0].sendto(b"later"))
        note(here[1].letters.empty())
        await closed(here)

    compare(body)
    assert logged == ["WARNING socket.send() raised exception."] * 12


def test_unconnected_and_unix(run, tmp_path):
    async def main():
        path = str(tmp_path / f"box-{type(asyncio.get_running_loop()).__name__}")
        named = await endpoint(local_addr=path, family=socket.AF_UNIX)
        nameless = await endpoint(family=socket.AF_UNIX)
        nameless[0].sendto(b"letter", path)
        assert await named[1].letters.get() == (b"letter", None)
        other = await endpoint(local_addr=path + "-2", remote_addr=path, family=socket.AF_UNIX)
        other[0].sendto(b"letter")
        data, sender = await named[1].letters.get()
        assert (data, sender) == (b"letter", path + "-2")
        named[0].sendto(b"back", sender)
        assert (await other[1].letters.get())[0] == b"back"
        abstract = await endpoint(local_addr=f"\0{os.getpid()}-{path}", family=socket.AF_UNIX)
        abstract[0].sendto(b"x", path)
        data, sender = await named[1].letters.get()
        assert sender == f"\0{os.getpid()}-{path}".encode()
        named[0].sendto(b"y", sender)
        assert (await abstract[1].letters.get())[0] == b"y"
        nameless[0].sendto(b"letter", path + "-nobody")
        assert isinstance(await nameless[1].errors.get(), FileNotFoundError)
        await closed(named, nameless, other, abstract)

    run(main())


def test_broadcast_and_shared_ports(run):
    async def main():
        here = await endpoint(local_addr=("127.0.0.1", 0), allow_broadcast=True, reuse_port=True)
        sock = here[0].get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
        second = await endpoint(local_addr=sock.getsockname(), reuse_port=True)
        with pytest.raises(OSError):
            await endpoint(local_addr=sock.getsockname())
        await closed(here, second)
        plain = await endpoint(local_addr=("127.0.0.1", 0))
        plain[0].sendto(b"to all", ("255.255.255.255", 9))
        assert isinstance(await plain[1].errors.get(), PermissionError)
        await closed(plain)

    run(main())


def full(loop):
    """A connected pair of Unix datagram sockets whose kernel takes no more."""
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    ours.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(b"%d" % count)
            count += 1
    return ours, theirs, count


class Slow(Mailbox):
    def __init__(self, note):
        super().__init__()
        self.note = note

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")
        self.resumed.set_result(None)


def test_back_pressure(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        path = str(tmp_path / f"slow-{type(loop).__name__}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
            theirs.bind(path)
            theirs.setblocking(False)
            transport, protocol = await loop.create_datagram_endpoint(
                lambda: Slow(seen.append), remote_addr=path, family=socket.AF_UNIX
            )
            protocol.resumed = loop.create_future()
            transport.set_write_buffer_limits(high=1000, low=500)
            sent = 0
            while not transport.get_write_buffer_size():
                transport.sendto(b"%d" % sent)
                sent += 1
            header = transport.get_write_buffer_size() - len(b"%d" % (sent - 1))
            assert header == (8 if sys.version_info >= (3, 13) else 0)
            transport.sendto(b"x" * (1000 - transport.get_write_buffer_size() - header))
            assert (transport.get_write_buffer_size(), seen) == (1000, [])
            transport.sendto(b"y")
            assert (transport.get_write_buffer_size(), seen) == (1001 + header, ["pause"])
            received = []
            while not seen[1:]:
                received.append(await loop.sock_recv(theirs, 2000))
                await asyncio.sleep(0)
            await protocol.resumed
            while len(received) < sent + 2:
                received.append(await loop.sock_recv(theirs, 2000))
            assert received[:sent] == [b"%d" % number for number in range(sent)]
            assert received[-1] == b"y"
            if isinstance(loop, rondeau.EventLoop) or sys.version_info >= (3, 14):  # asyncio forgot the headers
                assert transport.get_write_buffer_size() == 0
            assert seen == ["pause", "resume"]
            transport.close()
            await protocol.gone

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_ending_with_datagrams_that_wait(run, tmp_path, end):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / f"end-{type(loop).__name__}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
            theirs.bind(path)
            theirs.setblocking(False)
            transport, protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
            sent = 0
            while not transport.get_write_buffer_size():
                transport.sendto(b"%d" % sent)
                sent += 1
            getattr(transport, end)()
            assert transport.is_closing()
            received = 0
            while received < sent - (end == "abort"):
                assert await loop.sock_recv(theirs, 100) == b"%d" % received
                received += 1
            assert await protocol.gone is None
            with pytest.raises(BlockingIOError):
                theirs.recv(100)

    run(main())


def test_errors_do_not_hold_others_back(tmp_path):
    """One of the datagrams that wait cannot be sent; asyncio lets the others wait for ever."""

    async def main():
        loop = asyncio.get_running_loop()
        slow, quick = str(tmp_path / "slow"), str(tmp_path / "quick")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as a,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as b,
        ):
            a.bind(slow)
            b.bind(quick)
            a.setblocking(False)
            b.setblocking(False)
            transport, protocol = await endpoint(family=socket.AF_UNIX)
            while not transport.get_write_buffer_size():
                transport.sendto(b"x", slow)
            transport.sendto(b"lost", str(tmp_path / "nobody"))
            transport.sendto(b"found", quick)

            async def drain():
                while True:
                    await loop.sock_recv(a, 10)

            draining = asyncio.create_task(drain())
            assert isinstance(await protocol.errors.get(), FileNotFoundError)
            assert await loop.sock_recv(b, 10) == b"found"
            draining.cancel()
            await asyncio.wait([draining])
            assert transport.get_write_buffer_size() == 0
            transport.close()
            await protocol.gone

    rondeau.run(main())


def test_pausing_in_the_middle_of_a_burst(run):
    async def main():
        loop = asyncio.get_running_loop()

        class Careful(Mailbox):
            def datagram_received(self, data, address):
                super().datagram_received(data, address)
                if data.endswith(b"0"):
                    self.transport.pause_reading()

            def connection_made(self, transport):
                self.transport = transport

        transport, mailbox = await loop.create_datagram_endpoint(Careful, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            for number in range(60):
                peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
            expected = 0
            while expected < 60:
                data, _ = await mailbox.letters.get()
                assert data == b"%d" % expected
                expected += 1
                if data.endswith(b"0"):
                    for _ in range(3):
                        await asyncio.sleep(0)
                    assert mailbox.letters.empty()
                    assert not transport.is_reading()
                    transport.resume_reading()
            await closed((transport, mailbox))

    run(main())


def test_closing_in_the_middle_of_a_burst(run):
    async def main():
        loop = asyncio.get_running_loop()

        class Once(Mailbox):
            def datagram_received(self, data, address):
                super().datagram_received(data, address)
                if data == b"20":
                    self.transport.close()

            def connection_made(self, transport):
                self.transport = transport

        transport, mailbox = await loop.create_datagram_endpoint(Once, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            for number in range(60):
                peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
            assert await mailbox.gone is None
        assert mailbox.letters.qsize() == 21

    run(main())


def test_a_protocol_that_raises(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: note(context["message"].partition("(")[0].replace("_Selector", ""), context["exception"])
        )

        class Failing(Mailbox):
            def datagram_received(self, data, address):
                super().datagram_received(data, address)
                raise ValueError(data)

        transport, mailbox = await loop.create_datagram_endpoint(Failing, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            for number in range(3):
                peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
            for _ in range(3):
                await mailbox.letters.get()
        await closed((transport, mailbox))
        loop.set_exception_handler(None)

    noted = compare(body)
    assert len(noted) == 3


def test_many_senders_keep_their_addresses(run):
    async def main():
        loop = asyncio.get_running_loop()
        here = await endpoint(local_addr=("127.0.0.1", 0))
        address = here[0].get_extra_info("sockname")
        peers = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(20)]
        for peer in peers:
            peer.setblocking(False)
            peer.bind(("127.0.0.1", 0))
        for round_ in range(5):
            for peer in peers:
                peer.sendto(struct.pack("!I", peer.getsockname()[1]), address)
            for _ in peers:
                data, sender = await here[1].letters.get()
                assert struct.unpack("!I", data)[0] == sender[1]
                here[0].sendto(data + b"%d" % round_, sender)
            for peer in peers:
                assert await loop.sock_recv(peer, 10) == struct.pack("!I", peer.getsockname()[1]) + b"%d" % round_
        for peer in peers:
            peer.close()
        await closed(here)

    run(main())


@pytest.mark.parametrize("call", ["endpoint", "sock_recvfrom", "sock_recvfrom_into"])
def test_addresses_of_other_families_are_the_socket_modules(run, call):
    """netlink(7): a question about the interfaces is answered by the kernel, which is (0, 0)."""
    question = struct.pack("IHHIIBxxx", 20, 18, 0x301, 1, 0, 0)

    class Protocol(asyncio.DatagramProtocol):
        def __init__(self):
            self.came = asyncio.get_running_loop().create_future()

        def datagram_received(self, data, addr):
            if not self.came.done():
                self.came.set_result(addr)

    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
        sock.bind((0, 0))
        sock.setblocking(False)
        if call == "endpoint":
            transport, protocol = await loop.create_datagram_endpoint(Protocol, sock=sock)
            assert transport.get_extra_info("sockname") == sock.getsockname()
            transport.sendto(question, (0, 0))
            addr = await protocol.came
            transport.close()
            await asyncio.sleep(0)
            return addr
        with sock:
            sock.sendto(question, (0, 0))
            if call == "sock_recvfrom":
                return (await loop.sock_recvfrom(sock, 1 << 16))[1]
            return (await loop.sock_recvfrom_into(sock, bytearray(1 << 16)))[1]

    assert run(main()) == (0, 0)
