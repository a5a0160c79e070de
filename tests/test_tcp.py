"""TCP with protocols: what goes in comes out, in whatever sizes, and every callback comes in asyncio's order."""

import asyncio
import contextvars
import socket

import pytest

from protocols import Echo, Recorder, connect, served

V = contextvars.ContextVar("V", default="outside")
SIZES = [0, 1, 2, 63, 1000, 4095, 4096, 65_536, 65_537, 262_144, 262_145, 1_048_576]


@pytest.mark.parametrize("size", SIZES)
def test_echo(run, size):
    sent = bytes(range(256)) * (size // 256) + bytes(size % 256)

    async def main():
        async with served() as (address, made):
            transport, protocol = await connect(address)
            transport.write(sent)
            await protocol.until(size)
            assert protocol.received == sent
            transport.close()
            assert await protocol.gone is None
        assert made[0].events[-2:] == ["eof", ("lost", "NoneType")]

    run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_what_may_be_written(run, kind):
    async def main():
        async with served() as (address, _):
            transport, protocol = await connect(address)
            source = bytearray(b"soup" * 100)
            transport.write(kind(source))
            transport.writelines([kind(b"roast"), kind(b""), kind(b"salad")])
            transport.write(memoryview(bytearray(range(10)))[::1])
            source[:4] = b"xxxx"  # What was written was taken at once.
            await protocol.until(420)
            assert protocol.received == b"soup" * 100 + b"roastsalad" + bytes(range(10))
            transport.close()
            await protocol.gone

    run(main())


def test_what_may_not_be_written(compare):
    async def body(note):
        async with served() as (address, _):
            transport, protocol = await connect(address)
            for wrong in ["text", 1, None, [1], object]:
                try:
                    transport.write(wrong)
                except TypeError as error:
                    note(error)
            transport.write(b"")
            transport.writelines([])
            transport.close()
            await protocol.gone

    compare(body)


def test_many_small_writes_keep_their_order(run):
    async def main():
        async with served() as (address, _):
            transport, protocol = await connect(address)
            expected = b"".join(b"%d," % number for number in range(20_000))
            for number in range(20_000):
                transport.write(b"%d," % number)
            await protocol.until(len(expected))
            assert protocol.received == expected
            transport.close()
            await protocol.gone

    run(main())


def test_the_order_of_callbacks(compare):
    async def body(note):
        class Noisy(Recorder):
            def connection_made(self, transport):
                note("made", asyncio.current_task() is None)
                super().connection_made(transport)

            def data_received(self, data):
                note("data", bytes(data), asyncio.current_task() is None)
                super().data_received(data)

            def eof_received(self):
                note("eof")
                return super().eof_received()

            def connection_lost(self, error):
                note("lost", error)
                super().connection_lost(error)

        async with served() as (address, _):
            transport, protocol = await connect(address, Noisy)
            note("connected")
            transport.write(b"ping")
            note("written")
            await protocol.until(4)
            transport.close()
            note("closed", transport.is_closing())
            transport.close()
            await protocol.gone

    compare(body)


def test_the_context_of_callbacks(compare):
    async def body(note):
        def noting(side):
            class Noting(Recorder):
                def connection_made(self, transport):
                    note(side, "made", V.get())
                    V.set(f"{side} made")
                    super().connection_made(transport)

                def data_received(self, data):
                    note(side, "data", V.get())
                    V.set(f"{side} data")
                    super().data_received(data)
                    if side == "server":
                        self.transport.write(data)

                def connection_lost(self, error):
                    note(side, "lost", V.get())
                    super().connection_lost(error)

            return Noting

        V.set("making the server")
        async with served(noting("server")) as (address, _):
            V.set("connecting")
            transport, protocol = await connect(address, noting("client"))
            note(V.get())
            V.set("connected")
            transport.write(b"x")
            await protocol.until(1)
            transport.write(b"y")
            await protocol.until(2)
            V.set("closing")
            transport.close()
            await protocol.gone
            note(V.get())

    compare(body)


def test_close_sends_what_was_written(run):
    sent = b"dinner" * 500_000

    async def main():
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address)
            transport.write(sent)
            transport.close()
            assert transport.is_closing()
            assert await protocol.gone is None
            await made[0].ended
            assert made[0].received == sent

    run(main())


def test_write_after_close_is_dropped(compare, logged):
    async def body(note):
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address)
            transport.close()
            transport.write(b"too late")
            await protocol.gone
            for _ in range(8):
                transport.write(b"far too late")
            await made[0].gone
            note(bytes(made[0].received))

    compare(body)
    assert logged[: len(logged) // 2] == logged[len(logged) // 2 :]


def test_abort_drops_what_was_written(run):
    async def main():
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address)
            while not made:
                await asyncio.sleep(0)
            server_side = await made[0].made
            server_side.pause_reading()
            transport.write(b"x" * 10_000_000)
            transport.abort()
            assert transport.is_closing()
            assert await protocol.gone is None
            assert transport.get_write_buffer_size() == 0
            server_side.resume_reading()
            await made[0].gone
            assert len(made[0].received) < 10_000_000

    run(main())


@pytest.mark.parametrize("end", ["abort", "error"])
def test_a_last_word_before_the_connection_is_lost_arrives(compare, logged, end):
    async def body(note):
        class LastWord(Recorder):
            def data_received(self, data):
                self.transport.write(b"cannot ")
                self.transport.write(b"serve this")
                if end == "abort":
                    self.transport.abort()
                else:
                    raise ValueError("burnt")

        async with served(LastWord) as (address, made):
            transport, protocol = await connect(address)
            transport.write(b"order")
            await protocol.gone
            note(bytes(protocol.received))
            note(await made[0].gone)

    assert compare(body)[0] == b"cannot serve this"


def test_half_close(compare):
    async def body(note):
        class Answers(Recorder):
            def eof_received(self):
                super().eof_received()
                self.transport.write(b"you said: " + self.received)
                self.transport.close()
                return True

        async with served(Answers) as (address, _):
            transport, protocol = await connect(address)
            note(transport.can_write_eof())
            transport.write(b"hello")
            transport.write_eof()
            try:
                transport.write(b"more")
            except RuntimeError as error:
                note(error)
            try:
                transport.writelines([b"more"])
            except RuntimeError as error:
                note(error)
            transport.write_eof()
            await protocol.gone
            note(bytes(protocol.received), protocol.events)

    compare(body)


def test_write_eof_waits_for_the_buffer(run):
    sent = b"y" * 5_000_000

    async def main():
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address)
            transport.write(sent)
            transport.write_eof()
            await protocol.gone
            assert made[0].received == sent
            assert made[0].events[-2:] == ["eof", ("lost", "NoneType")]

    run(main())


def test_eof_received_may_keep_it_open(run):
    class KeepsOpen(Recorder):
        def __init__(self):
            super().__init__(keep_open=True)

    async def main():
        async with served(KeepsOpen) as (address, made):
            transport, protocol = await connect(address)
            transport.write_eof()
            while not made:
                await asyncio.sleep(0)
            await made[0].ended
            assert not made[0].transport.is_closing()
            made[0].transport.write(b"still here")
            await protocol.until(10)
            made[0].transport.close()
            await protocol.gone

    run(main())


def test_pause_and_resume_reading(compare):
    async def body(note):
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address)
            note(transport.is_reading())
            transport.write(b"a")
            while not made:
                await asyncio.sleep(0)
            server_side = await made[0].made
            await made[0].until(1)
            server_side.pause_reading()
            server_side.pause_reading()
            note(server_side.is_reading())
            transport.write(b"b")
            for _ in range(50):
                await asyncio.sleep(0)
            note(bytes(made[0].received))
            server_side.resume_reading()
            server_side.resume_reading()
            note(server_side.is_reading())
            await made[0].until(2)
            note(bytes(made[0].received))
            transport.close()
            transport.resume_reading()
            transport.pause_reading()
            note(transport.is_reading())
            await protocol.gone
            note(server_side.is_reading())

    compare(body)


def test_pause_reading_within_data_received(run):
    class Sips(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main():
        sent = bytes(3_000_000)
        async with served(Sips) as (address, made):
            transport, protocol = await connect(address)
            transport.write(sent)
            transport.close()
            await protocol.gone
            await made[0].gone
            assert made[0].received == sent

    run(main())


def test_watermarks(compare):
    async def body(note):
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address)
            note(transport.get_write_buffer_limits(), transport.get_write_buffer_size())
            for limits in [{"high": 1000}, {"low": 100}, {"high": 10, "low": 5}, {"high": 0}, {}]:
                transport.set_write_buffer_limits(**limits)
                note(transport.get_write_buffer_limits())
            for wrong in [{"high": 1, "low": 2}, {"low": -1}, {"high": -1}]:
                try:
                    transport.set_write_buffer_limits(**wrong)
                except ValueError as error:
                    note(error)
            while not made:
                await asyncio.sleep(0)
            server_side = await made[0].made
            server_side.pause_reading()
            transport.set_write_buffer_limits(high=100_000, low=10_000)
            sent = 20_000_000
            transport.write(bytes(sent))
            await asyncio.sleep(0)
            note(protocol.events, transport.get_write_buffer_size() > 100_000)
            server_side.resume_reading()
            await made[0].until(sent)
            while transport.get_write_buffer_size():
                await asyncio.sleep(0)
            note(protocol.events)
            transport.close()
            await protocol.gone

    assert compare(body)[-1] == ["made", "pause", "resume"]


def test_pause_writing_that_raises_is_reported(compare, logged):
    async def body(note):
        class Fails(Recorder):
            def pause_writing(self):
                note("pause")
                raise ValueError("pause")

            def resume_writing(self):
                note("resume")
                raise ValueError("resume")

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: note(sorted(context), context["message"], context["exception"]))
        async with served(Recorder) as (address, made):
            transport, protocol = await connect(address, Fails)
            transport.write(bytes(20_000_000))
            transport.close()
            await protocol.gone
            await made[0].gone
            note(len(made[0].received))

    compare(body)


def test_buffered_protocol(run):
    class Buffered(Recorder, asyncio.BufferedProtocol):
        def __init__(self):
            super().__init__()
            self.buffer = bytearray(1000)

        def get_buffer(self, hint):
            return self.buffer

        def buffer_updated(self, count):
            Recorder.data_received(self, bytes(self.buffer[:count]))

        data_received = None

    async def main():
        sent = bytes(range(256)) * 1000
        async with served(Buffered) as (address, made):
            transport, protocol = await connect(address)
            transport.write(sent)
            transport.close()
            await protocol.gone
            await made[0].gone
            assert made[0].received == sent

    run(main())


def test_set_protocol(run):
    async def main():
        async with served() as (address, _):
            transport, protocol = await connect(address)
            assert transport.get_protocol() is protocol
            other = Recorder()
            other.connection_made(transport)
            transport.set_protocol(other)
            assert transport.get_protocol() is other
            transport.write(b"to the other")
            await other.until(12)
            assert protocol.received == b""
            transport.close()
            await other.gone
            assert not protocol.gone.done()

    run(main())


def test_extra_info(compare):
    async def body(note):
        async with served() as (address, made):
            transport, protocol = await connect(address)
            note(transport.get_extra_info("peername") == address, transport.get_extra_info("nothing"))
            note(transport.get_extra_info("nothing", "default"))
            name = transport.get_extra_info("sockname")
            sock = transport.get_extra_info("socket")
            note(sock.getsockname() == name, sock.getpeername() == address, sock.family, sock.fileno() > 0)
            note(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
            note(isinstance(transport, asyncio.Transport), transport.is_closing())
            transport.write(b"x")
            await protocol.until(1)
            note(made[0].transport.get_extra_info("peername") == name)
            transport.close()
            await protocol.gone
            note(transport.get_extra_info("peername") == address)

    compare(body)


def test_representation_names_the_state(run):
    async def main():
        async with served() as (address, _):
            transport, protocol = await connect(address)
            text = repr(transport)
            assert "fd=" in text, text
            transport.close()
            assert "clos" in repr(transport)
            await protocol.gone

    run(main())


def test_a_callback_that_raises_closes_the_connection(compare, logged):
    async def body(note):
        class Fails(Recorder):
            def data_received(self, data):
                raise ValueError("in data_received")

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: note(sorted(context), context["message"], context["exception"]))
        async with served(Fails) as (address, made):
            transport, protocol = await connect(address)
            transport.write(b"x")
            await protocol.gone
            note(protocol.events, made[0].events)

    compare(body)


def test_callbacks_that_raise_elsewhere(compare, logged):
    async def body(note):
        def fails_in(name):
            class Fails(Recorder):
                pass

            def fail(self, *args):
                getattr(Recorder, name)(self, *args)
                raise ValueError(f"in {name}")

            setattr(Fails, name, fail)
            return Fails

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: note(context["message"].split("(")[0], context["exception"]))
        for name in ["connection_made", "eof_received", "connection_lost"]:
            async with served(fails_in(name)) as (address, _):
                transport, protocol = await connect(address)
                transport.write_eof()
                if name == "connection_made":
                    transport.close()
                await protocol.gone

    compare(body)


def test_many_connections_at_once(run):
    async def main():
        async with served() as (address, _):

            async def client(number):
                transport, protocol = await connect(address)
                message = b"%d" % number * 1000
                transport.write(message)
                await protocol.until(len(message))
                transport.close()
                await protocol.gone
                return protocol.received == message

            assert all(await asyncio.gather(*(client(number) for number in range(100))))

    run(main())


def test_server_object(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
        note(server.is_serving(), server.get_loop() is loop, len(server.sockets))
        await server.start_serving()
        await server.start_serving()
        note(server.is_serving(), isinstance(server, asyncio.AbstractServer))
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        forever.cancel()
        note(await asyncio.gather(forever, return_exceptions=True), server.is_serving(), server.sockets)
        server.close()
        await server.wait_closed()
        async with await loop.create_server(Recorder, "127.0.0.1", 0) as server:
            note(server.is_serving())
        note(server.is_serving())
        try:
            await server.serve_forever()
        except RuntimeError as error:
            note(str(error).split(" ")[-1])

    compare(body)


def test_create_server_arguments(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        for arguments in [
            {},
            {"host": "127.0.0.1", "port": 0, "sock": sock},
            {"sock": socket.socket(socket.AF_INET, socket.SOCK_DGRAM)},
        ]:
            try:
                await loop.create_server(Recorder, **arguments)
            except (ValueError, TypeError) as error:
                note(type(error).__name__, str(error)[:40])
            if "sock" in arguments and arguments["sock"] is not sock:
                arguments["sock"].close()
        server = await loop.create_server(Recorder, sock=sock, backlog=5)
        note(server.sockets[0].getsockname() == sock.getsockname())
        server.close()
        await server.wait_closed()

    compare(body)


def test_create_connection_arguments(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        async with served() as (address, _):
            sock = socket.create_connection(address)
            sock.setblocking(False)
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            transport.write(b"own socket")
            await protocol.until(10)
            note(bytes(protocol.received))
            transport.close()
            await protocol.gone
            note(sock.fileno())

            transport, protocol = await connect(address, local_addr=("127.0.0.1", 0))
            transport.close()
            await protocol.gone
        for arguments in [
            {},
            {"host": "127.0.0.1", "port": 1, "sock": sock},
            {"host": "127.0.0.1", "port": 1, "server_hostname": "name"},
        ]:
            try:
                await loop.create_connection(Recorder, **arguments)
            except (ValueError, TypeError) as error:
                note(type(error).__name__, error)

    compare(body)


def test_connect_accepted_socket(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, protocol = await loop.connect_accepted_socket(Echo, ours)
        theirs.sendall(b"hand-made")
        theirs.shutdown(socket.SHUT_WR)
        await protocol.gone
        assert theirs.recv(100) == b"hand-made"
        theirs.close()
        assert transport.is_closing()

    run(main())
