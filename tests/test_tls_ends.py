"""TLS: how connections begin and end, and what the program is told of it: as asyncio has it."""

import asyncio
import contextlib
import ctypes
import gc
import socket
import ssl
import sys
import warnings
import weakref

import pytest

from protocols import Echo, Recorder, connect, served
from tls_peers import CERTIFICATE, HandMade, contexts


@pytest.fixture(params=["straight", "methods"])
def through_methods(request):
    return request.param == "methods"


@contextlib.asynccontextmanager
async def raw_client(kind=Recorder, **options):
    """A TLS server on the loop, and a plain socket connected to it."""
    ours, _ = contexts()
    loop = asyncio.get_running_loop()
    made = []

    def factory():
        made.append(kind())
        return made[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=ours, **options)
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        yield sock, made
    server.close()
    await server.wait_closed()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_close_sends_what_was_written_and_tells_both(compare, through_methods):
    async def body(note):
        ours, theirs = contexts(through_methods)
        async with served(Recorder, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            transport.write(bytes(1_000_000))
            transport.close()
            note(transport.is_closing())
            transport.write(b"too late")
            transport.close()
            note(await protocol.gone, await made[0].gone)
            note(protocol.events, made[0].events, len(made[0].received))

    compare(body)


def test_abort_tells_both(compare, through_methods):
    async def body(note):
        ours, theirs = contexts(through_methods)
        async with served(Recorder, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            await made[0].made
            transport.write(b"lost or not")
            transport.abort()
            note(transport.is_closing(), await protocol.gone)
            transport.abort()
            error = await made[0].gone
            note(error is None or isinstance(error, ConnectionError))
            note(protocol.events, made[0].events[-1][0])

    compare(body)


def test_writes_after_the_end_are_warned_of(compare, logged):
    async def body(note):
        ours, theirs = contexts()
        async with served(Recorder, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            await made[0].made
            transport.abort()
            await protocol.gone
            for _ in range(10):
                transport.write(b"nobody")
                transport.writelines([b"no", b"body"])

    compare(body)
    assert logged[: len(logged) // 2] == logged[len(logged) // 2 :]
    assert set(logged) == {"WARNING SSL connection is closed"}


def test_a_peer_that_goes_without_a_word(compare, logged, through_methods):
    async def body(note):
        ours, _ = contexts(through_methods)
        _, theirs = contexts()
        loop = asyncio.get_running_loop()
        async with served(Recorder, ssl=ours) as (address, made):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                peer = HandMade(sock, theirs)
                await peer.step(peer.session.do_handshake)
                peer.session.write(b"half a")
                await peer.send()
                await made[0].until(6)
                peer.session.write(b"record that is cut")
                await loop.sock_sendall(sock, peer.outgoing.read()[:-5])
            error = await made[0].gone
            note(type(error).__name__, made[0].events, bytes(made[0].received))

    compare(body)


@pytest.mark.parametrize("when", ["at once", "after data"])
def test_a_peer_that_talks_garbage(compare, logged, through_methods, when):
    async def body(note):
        ours, _ = contexts(through_methods)
        _, theirs = contexts()
        loop = asyncio.get_running_loop()
        async with served(Recorder, ssl=ours) as (address, made):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                peer = HandMade(sock, theirs)
                await peer.step(peer.session.do_handshake)
                if when == "after data":
                    peer.session.write(b"fine")
                await loop.sock_sendall(sock, peer.outgoing.read() + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                error = await made[0].gone
                note(type(error).__name__, getattr(error, "reason", None), made[0].events, bytes(made[0].received))

    compare(body)
    assert all("Fatal error on SSL protocol" in line for line in logged)


def test_a_record_that_was_tampered_with(compare, logged, through_methods):
    async def body(note):
        ours, _ = contexts(through_methods)
        _, theirs = contexts()
        loop = asyncio.get_running_loop()
        async with served(Recorder, ssl=ours) as (address, made):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                peer = HandMade(sock, theirs)
                await peer.step(peer.session.do_handshake)
                peer.session.write(b"as it was")
                record = bytearray(peer.outgoing.read())
                record[-1] ^= 1
                await loop.sock_sendall(sock, record)
                error = await made[0].gone
                note(type(error).__name__, error.reason, made[0].events, bytes(made[0].received))

    compare(body)
    assert all("DECRYPTION_FAILED_OR_BAD_RECORD_MAC" in line for line in logged)


def test_a_client_that_is_no_tls_client(compare, logged):
    async def body(note):
        async with raw_client() as (sock, made):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while await loop.sock_recv(sock, 100):
                    pass
            await settle()
            note([protocol.events for protocol in made])

    compare(body)


def test_a_client_that_leaves_in_its_handshake(compare, logged):
    async def body(note):
        async with raw_client() as (sock, made):
            await settle()
            sock.close()
            await settle()
            note([protocol.events for protocol in made])

    compare(body)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_handshake_that_takes_too_long(compare, logged, side):
    async def body(note):
        loop = asyncio.get_running_loop()
        if side == "server":
            async with raw_client(ssl_handshake_timeout=0.05) as (sock, made):
                note(await loop.sock_recv(sock, 100))
                note([protocol.events for protocol in made])
            return
        _, theirs = contexts()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with pytest.raises(ConnectionAbortedError) as error:
                await connect(listener.getsockname(), ssl=theirs, server_hostname="localhost", ssl_handshake_timeout=0.05)
            note(error.value)

    compare(body)


def test_a_connection_that_is_cancelled_in_its_handshake(run):
    async def main():
        _, theirs = contexts()
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            task = loop.create_task(connect(listener.getsockname(), ssl=theirs, server_hostname="localhost"))
            sock, _ = await loop.sock_accept(listener)
            with sock:
                assert await loop.sock_recv(sock, 1) == b"\x16"  # The client's hello.
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                while await loop.sock_recv(sock, 1000):
                    pass

    run(main())


def test_a_peer_that_does_not_answer_close_notify(compare, logged):
    async def body(note):
        async with raw_client(ssl_shutdown_timeout=0.05) as (sock, made):
            _, theirs = contexts()
            peer = HandMade(sock, theirs)
            await peer.step(peer.session.do_handshake)
            await made_one(made)
            made[0].transport.close()
            error = await made[0].gone
            note(error, made[0].events)

    async def made_one(made):
        while not made:
            await asyncio.sleep(0)
        await made[0].made

    compare(body)


def test_close_notify_from_the_peer_is_answered(compare, through_methods):
    async def body(note):
        ours, _ = contexts(through_methods)
        _, theirs = contexts()
        loop = asyncio.get_running_loop()
        async with served(Recorder, ssl=ours) as (address, made):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                peer = HandMade(sock, theirs)
                await peer.step(peer.session.do_handshake)
                await peer.step(peer.session.unwrap)
                note(await made[0].gone, made[0].events)

    compare(body)


def test_keeping_open_after_the_end_has_no_effect(compare, logged):
    class KeepsOpen(Recorder):
        def __init__(self):
            super().__init__(keep_open=True)

    async def body(note):
        ours, theirs = contexts()
        async with served(KeepsOpen, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            transport.close()
            note(await protocol.gone, await made[0].gone, made[0].events)

    compare(body)
    assert logged == ["WARNING returning true from eof_received() has no effect when using ssl"] * 2


class Boom(Exception):
    pass


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "connection_lost", "pause_writing"])
def test_a_protocol_that_raises(compare, logged, through_methods, method):
    class Raises(Recorder):
        pass

    def raising(self, *arguments):
        getattr(Recorder, method)(self, *arguments)
        raise Boom(method)

    setattr(Raises, method, raising)

    async def body(note):
        ours, theirs = contexts(through_methods)
        loop = asyncio.get_running_loop()
        told = []
        loop.set_exception_handler(lambda _, context: told.append((context["message"], repr(context["exception"]))))
        async with served(Raises, ssl=ours) as (address, made):
            try:
                transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
                if method == "pause_writing":
                    await made[0].made
                    made[0].transport.set_write_buffer_limits(high=0)
                    made[0].transport.write(b"more than nothing")
                    await protocol.until(17)
                transport.write(b"data")
                if method == "data_received":
                    await protocol.gone
                transport.close()
                await protocol.gone
            except ConnectionError as error:
                note(type(error).__name__)
            await made[0].gone
        await settle()
        # In TLS 1.3 a server may be done while its client is not: what the client is told then depends on the kernel.
        note(told, made[0].events)

    compare(body)


def test_a_protocol_that_raises_what_leaves_the_loop(loop_factory, logged):
    class Leaves(Recorder):
        def data_received(self, data):
            raise KeyboardInterrupt

    async def main():
        ours, theirs = contexts()
        server = await asyncio.get_running_loop().create_server(Leaves, "127.0.0.1", 0, ssl=ours)
        transport, protocol = await connect(server.sockets[0].getsockname(), ssl=theirs, server_hostname="localhost")
        ends.extend([server, transport])
        transport.write(b"data")
        await protocol.gone

    async def tidy():
        server, transport = ends
        transport.abort()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await settle()

    ends = []
    loop = loop_factory()
    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    loop.run_until_complete(tidy())
    gc.collect()
    loop.run_until_complete(settle())
    loop.close()


def test_extra_information(compare, through_methods):
    async def body(note):
        ours, theirs = contexts(through_methods)
        async with served(Recorder, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            await made[0].made
            for side, context in ((transport, theirs), (made[0].transport, ours)):
                for name in ("peercert", "cipher", "compression", "nothing"):
                    note(name, repr(side.get_extra_info(name)))
                assert side.get_extra_info("sslcontext") is context
                assert isinstance(side.get_extra_info("ssl_object"), ssl.SSLObject)
                assert side.get_extra_info("socket").fileno() > 0
                note(side.get_extra_info("nothing", "default"), side.get_extra_info("peername")[0])
                note(side._start_tls_compatible, isinstance(side, asyncio.Transport), side.is_reading())
                note(isinstance(side, asyncio.sslproto._SSLProtocolTransport))
            assert transport.get_protocol() is protocol
            assert transport.get_extra_info("sockname") == made[0].transport.get_extra_info("peername")
            transport.close()
            await protocol.gone

    compare(body)


def test_names_and_protocols_that_are_agreed_on(run):
    async def main():
        ours, theirs = contexts()
        asked = []
        ours.sni_callback = lambda session, name, context: asked.append(name)
        ours.set_alpn_protocols(["h2", "http/1.1"])
        theirs.set_alpn_protocols(["http/1.1"])
        async with served(Echo, ssl=ours) as (address, _):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            transport.write(b"hello")
            await protocol.until(5)
            transport.close()
            await protocol.gone
        assert asked == ["localhost"]

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates_and_sessions(run, version):
    async def main():
        ours, theirs = contexts(version=version)
        ours.verify_mode = ssl.CERT_REQUIRED
        ours.load_verify_locations(CERTIFICATE)
        theirs.load_cert_chain(CERTIFICATE)
        async with served(Echo, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            transport.write(b"hello")
            await protocol.until(5)
            assert made[0].transport.get_extra_info("peercert")["subject"] == ((("commonName", "localhost"),),)
            # Tickets of TLS 1.3 come behind the handshake, with data: the pump has read them.
            assert transport.get_extra_info("ssl_object").session.has_ticket
            transport.close()
            await protocol.gone

    run(main())


def test_a_client_without_the_certificate_that_is_asked_for(compare, logged):
    async def body(note):
        ours, theirs = contexts(version=ssl.TLSVersion.TLSv1_3)
        ours.verify_mode = ssl.CERT_REQUIRED
        ours.load_verify_locations(CERTIFICATE)
        server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0, ssl=ours)
        # The client is done first; that it was refused it sees when it reads.
        _, protocol = await connect(server.sockets[0].getsockname(), ssl=theirs, server_hostname="localhost")
        error = await protocol.gone
        note(error is None or isinstance(error, ConnectionError | ssl.SSLError), protocol.events[0])
        server.close()
        await server.wait_closed()
        await settle()

    compare(body)


def test_set_protocol_in_the_middle(run, through_methods):
    class Switches(Recorder):
        def data_received(self, data):
            super().data_received(data)
            second = Buffers()
            self.transport.set_protocol(second)
            second.connection_made(self.transport)

    class Buffers(asyncio.BufferedProtocol):
        def connection_made(self, transport):
            self.transport = transport
            self.buffer = bytearray(10)

        def get_buffer(self, hint):
            return self.buffer

        def buffer_updated(self, count):
            self.transport.write(b"second: " + self.buffer[:count])

        def connection_lost(self, error):
            lost.append(error)

    lost = []

    async def main():
        ours, theirs = contexts(through_methods)
        server = await asyncio.get_running_loop().create_server(Switches, "127.0.0.1", 0, ssl=ours)
        transport, protocol = await connect(server.sockets[0].getsockname(), ssl=theirs, server_hostname="localhost")
        transport.write(b"one")
        while not protocol.received:
            transport.write(b"two")
            await asyncio.sleep(0.001)
        assert protocol.received.startswith(b"second: two")
        transport.close()
        await protocol.gone
        while not lost:
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()

    run(main())
    assert lost == [None]


def test_start_tls_with_data_already_there(run):
    """The client's hello comes in the same segment as the line that announces it."""

    async def main():
        ours, theirs = contexts()
        loop = asyncio.get_running_loop()
        upgraded = loop.create_future()

        class Upgrades(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.pause_reading()
                loop.create_task(self.upgrade())

            async def upgrade(self):
                transport = await loop.start_tls(self.transport, self, ours, server_side=True)
                self.transport = transport
                upgraded.set_result(transport)

        async with served(Upgrades) as (address, made):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                peer = HandMade(sock, theirs)
                await peer.step(peer.session.do_handshake, piece=50)
                transport = await upgraded
                assert transport.get_extra_info("cipher")
                transport.write(b"hello")
                assert await peer.read(5) == b"hello"
                peer.session.write(b"goodbye")
                await peer.send()
                await made[0].until(7)
                transport.close()
                await peer.step(peer.session.unwrap)
            assert await made[0].gone is None
            assert made[0].events == ["made", "data", "eof", ("lost", "NoneType")]

    run(main())


@pytest.mark.parametrize("wrong", ["context", "transport"])
def test_start_tls_of_the_wrong_kind(compare, wrong):
    async def body(note):
        _, theirs = contexts()
        async with served(Recorder) as (address, _):
            transport, protocol = await connect(address)
            loop = asyncio.get_running_loop()
            try:
                if wrong == "context":
                    await loop.start_tls(transport, protocol, "no context")
                else:
                    await loop.start_tls(object.__new__(asyncio.Transport), protocol, theirs)
            except TypeError as error:
                note(str(error).split("<")[0])
            transport.close()
            await protocol.gone

    compare(body)


@pytest.mark.parametrize("size", [5, 300_000])
def test_tls_in_tls(run, through_methods, size):
    async def main():
        ours, theirs = contexts(through_methods)
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        class Inner(Echo):
            """Starts a second session inside the first as soon as that stands."""

            def connection_made(self, transport):
                if not self.made.done():
                    super().connection_made(transport)
                    transport.pause_reading()
                    loop.create_task(self.upgrade())

            async def upgrade(self):
                self.transport = await loop.start_tls(self.transport, self, ours, server_side=True)
                done.set_result(None)

        async with served(Inner, ssl=ours) as (address, made):
            outer, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            inner = await loop.start_tls(outer, protocol, theirs, server_hostname="localhost")
            await done
            assert inner is not outer
            assert inner.get_extra_info("ssl_object") is not outer.get_extra_info("ssl_object")
            inner.write(bytes(range(256)) * (size // 256) + b"tail!")
            size_sent = size // 256 * 256 + 5
            await protocol.until(size_sent)
            assert protocol.received == bytes(range(256)) * (size // 256) + b"tail!"
            inner.close()
            assert await protocol.gone is None
            assert await made[0].gone is None

    run(main())


def test_a_transport_that_is_forgotten_is_warned_of(run):
    async def main():
        ours, theirs = contexts()
        async with served(Recorder, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            await made[0].made
            below = transport._ssl_protocol._transport
            protocol.transport = None
            protocol.made = None
            transport._ssl_protocol._app_transport = None
            kept = protocol.gone
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                del transport
                gc.collect()
            assert [str(each.message) for each in caught] == ["unclosed transport <asyncio._SSLProtocolTransport object>"]
            below.close()
            await kept

    run(main())


def test_nothing_is_kept_of_a_connection(run, through_methods):
    async def main():
        ours, theirs = contexts(through_methods)
        async with served(Recorder, ssl=ours) as (address, made):
            transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
            transport.write(b"data")
            await made[0].until(4)
            seen = [weakref.ref(thing) for thing in (transport, transport._ssl_protocol)]
            transport.close()
            await protocol.gone
            await made[0].gone
            protocol.transport = protocol.made = made[0].transport = made[0].made = None
            del transport
            await settle()
            # Not the collector: the last reference is simply gone.
            assert [reference() for reference in seen] == [None, None]

    run(main())


def test_the_collector_takes_a_connection_that_nobody_ended(loop_factory):
    seen = []

    async def main():
        ours, theirs = contexts()
        made = []
        server = await asyncio.get_running_loop().create_server(
            lambda: made.append(Recorder()) or made[-1], "127.0.0.1", 0, ssl=ours
        )
        transport, _ = await connect(server.sockets[0].getsockname(), ssl=theirs, server_hostname="localhost")
        await made[0].made
        seen.extend([weakref.ref(transport), weakref.ref(transport._ssl_protocol)])
        server.close()

    loop = loop_factory()
    loop.run_until_complete(main())
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del loop
        gc.collect()
        gc.collect()
    assert [reference() for reference in seen] == [None, None]


def test_no_memory_stays_behind(run):
    """Neither of Python's nor of OpenSSL's."""
    libc = ctypes.CDLL(None)

    def used():
        gc.collect()
        libc.malloc_trim(0)
        with open("/proc/self/smaps_rollup") as lines:
            private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
        return sys.getallocatedblocks(), private

    async def main():
        ours, theirs = contexts()
        async with served(Echo, ssl=ours) as (address, made):

            async def some(count):
                for number in range(count):
                    transport, protocol = await connect(address, ssl=theirs, server_hostname="localhost")
                    transport.write(b"data" * 1000)
                    await protocol.until(4000)
                    transport.abort() if number % 3 == 0 else transport.close()
                    await protocol.gone
                    await made.pop().gone

            await some(60)
            blocks, private = used()
            for _ in range(4):
                await some(100)
                more_blocks, more_private = used()
                # An object each would be 100 blocks and more; a session of OpenSSL's each, 1,000 kB and more.
                if more_blocks - blocks < 100 and more_private - private < 500:
                    return
                blocks, private = more_blocks, more_private
            raise AssertionError(f"each hundred connections: {more_blocks} blocks, {more_private} kB in the end")

    run(main())
