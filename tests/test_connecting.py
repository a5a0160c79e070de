"""create_connection: several addresses, happy eyeballs, where from, errors of all; on addresses that a resolver makes up."""

import asyncio
import gc
import io
import socket
import sys

import pytest

import rondeau
from protocols import Echo, Recorder, connect, served

DEAD = "127.9.9.9"


def resolves_to(loop, monkeypatch, *infos):
    """Have every name mean these (family, address) pairs; what is a literal stays one."""
    asked = []

    async def getaddrinfo(host, port, **options):
        asked.append((host, port))
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in infos]

    monkeypatch.setattr(type(loop), "getaddrinfo", lambda self, *args, **options: getaddrinfo(*args, **options))
    return asked


def unused():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def closed(transport, protocol):
    transport.close()
    await protocol.gone


@pytest.mark.parametrize("options", [{}, {"happy_eyeballs_delay": 0.01}, {"happy_eyeballs_delay": 0, "interleave": 2}])
def test_the_next_address_is_tried(run, monkeypatch, options):
    async def main():
        loop = asyncio.get_running_loop()
        async with served() as (address, _):
            infos = [(socket.AF_INET, (DEAD, unused())), (socket.AF_INET6, ("::1", unused(), 0, 0)), (socket.AF_INET, address)]
            with monkeypatch.context() as patch:
                resolves_to(loop, patch, *infos)
                transport, protocol = await loop.create_connection(Recorder, "kitchen", 1, **options)
            assert transport.get_extra_info("peername") == address
            transport.write(b"soup")
            await protocol.until(4)
            await closed(transport, protocol)

    run(main())


def test_a_slow_address_is_overtaken(run, monkeypatch):
    """The first address never answers: a listener whose queue is full drops what comes."""

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            fillers = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(silent.getsockname())
                fillers.append(filler)
            async with served() as (address, _):
                with monkeypatch.context() as patch:
                    resolves_to(loop, patch, (socket.AF_INET, silent.getsockname()), (socket.AF_INET, address))
                    transport, protocol = await loop.create_connection(Recorder, "kitchen", 1, happy_eyeballs_delay=0.01)
                assert transport.get_extra_info("peername") == address
                await closed(transport, protocol)
            for filler in fillers:
                filler.close()

    run(main())


def test_interleaving_takes_families_in_turns(compare, monkeypatch):
    async def body(note):
        loop = asyncio.get_running_loop()
        tried = []

        async def sock_connect(self, sock, address):
            tried.append((sock.family.name, address[0]))
            raise ConnectionRefusedError("closed")

        infos = [(socket.AF_INET6, (f"::{number}", 1, 0, 0)) for number in (1, 2, 3)]
        infos += [(socket.AF_INET, (f"127.0.0.{number}", 1)) for number in (1, 2)]
        for options in ({}, {"interleave": 1}, {"interleave": 2}, {"happy_eyeballs_delay": 0}):
            with monkeypatch.context() as patch:
                resolves_to(loop, patch, *infos)
                patch.setattr(type(loop), "sock_connect", sock_connect)
                try:
                    await loop.create_connection(Recorder, "kitchen", 1, **options)
                except OSError as error:
                    note(type(error).__name__, str(error))
            note(list(tried))
            tried.clear()

    compare(body)


def test_errors_of_all_addresses(compare, monkeypatch):
    async def body(note):
        loop = asyncio.get_running_loop()
        port = unused()

        def told(error):
            return type(error).__name__, str(error).replace(str(port), "PORT")

        infos = [(socket.AF_INET, (f"127.0.0.{number}", port)) for number in (1, 2)]
        for some in (infos, infos[:1], infos[:1] * 2, []):
            for options in ({}, *([{"all_errors": True}] if sys.version_info >= (3, 12) else [])):
                with monkeypatch.context() as patch:
                    resolves_to(loop, patch, *some)
                    try:
                        await loop.create_connection(Recorder, "kitchen", port, **options)
                    except OSError as error:
                        note(told(error))
                    except BaseExceptionGroup as group:
                        note(str(group), [told(error) for error in group.exceptions])

    compare(body)


def test_where_it_comes_from(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        async with served() as (address, made):
            port = unused()
            transport, protocol = await connect(address, local_addr=("127.0.0.3", port))
            note(transport.get_extra_info("sockname") == ("127.0.0.3", port))
            transport.write(b"soup")
            await protocol.until(4)
            note(made[-1].transport.get_extra_info("peername") == ("127.0.0.3", port))
            await closed(transport, protocol)
            for local in [("192.0.2.1", 0), ("::1", 0)]:
                try:
                    await loop.create_connection(Recorder, *address, local_addr=local)
                except OSError as error:
                    note(type(error).__name__, str(error).replace(str(address[1]), "PORT"))

    compare(body)


def test_a_socket_of_ones_own(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with served() as (address, _):
            sock = socket.create_connection(address)
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            assert sock.gettimeout() == 0
            transport.write(b"soup")
            await protocol.until(4)
            if sys.version_info >= (3, 12):  # 3.11 makes a second transport.
                with pytest.raises(RuntimeError, match="is used by transport"):
                    await loop.create_connection(Recorder, sock=sock)
            await closed(transport, protocol)
            assert sock.fileno() == -1
            for wrong in [{"host": "127.0.0.1"}, {"port": 1}]:
                with socket.socket() as other, pytest.raises((ValueError, OSError)):
                    await loop.create_connection(Recorder, sock=other, **wrong)

    run(main())


def test_an_accepted_socket_of_ones_own(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            client = asyncio.create_task(connect(listener.getsockname()))
            accepted, _ = await loop.sock_accept(listener)
            transport, echo = await loop.connect_accepted_socket(Echo, accepted)
            with pytest.raises(ValueError, match="A Stream Socket was expected"), socket.socket(type=socket.SOCK_DGRAM) as sock:
                await loop.connect_accepted_socket(Echo, sock)
            theirs, recorder = await client
            theirs.write(b"soup")
            await recorder.until(4)
            await closed(theirs, recorder)
            await echo.gone
            assert transport.is_closing()

    run(main())


@pytest.mark.parametrize("turns", range(8))
def test_cancelling_at_any_turn(run, monkeypatch, turns):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with monkeypatch.context() as patch:
                resolves_to(loop, patch, (socket.AF_INET, listener.getsockname()))
                connecting = asyncio.create_task(loop.create_connection(Recorder, "kitchen", 1))
                for _ in range(turns):
                    await asyncio.sleep(0)
                connecting.cancel()
                await asyncio.wait([connecting])
            if not connecting.cancelled():
                await closed(*connecting.result())

    run(main())


def test_cancelled_as_the_winner_connects(loop_factory, monkeypatch):
    """The winner's socket is closed, and not left to the collector; asyncio leaves it."""

    async def main():
        loop = asyncio.get_running_loop()
        connect, won = type(loop).sock_connect, []

        async def sock_connect(self, sock, address):
            await connect(self, sock, address)
            won.append(sock)
            loop.call_soon(connecting.cancel)  # Before those who wait for the winner's task hear of it.

        with socket.create_server(("127.0.0.1", 0)) as listener, monkeypatch.context() as patch:
            resolves_to(loop, patch, (socket.AF_INET, listener.getsockname()), (socket.AF_INET, (DEAD, unused())))
            patch.setattr(type(loop), "sock_connect", sock_connect)
            connecting = asyncio.create_task(loop.create_connection(Recorder, "kitchen", 1, happy_eyeballs_delay=10))
            await asyncio.wait([connecting])
            accepted, _ = listener.accept()
        assert connecting.cancelled()
        (sock,) = won
        was_closed = sock.fileno() < 0
        sock.close()
        with accepted:
            assert accepted.recv(1) == b""
        return was_closed

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) or loop_factory is not rondeau.new_event_loop


@pytest.mark.parametrize("options", [{}, {"happy_eyeballs_delay": 0.01}])
def test_a_failure_is_no_cycle(compare, options):
    """The error goes with its last reference, and does not wait for the collector."""

    async def body(note):
        loop = asyncio.get_running_loop()
        gc.collect()
        gc.disable()
        try:
            try:
                await loop.create_connection(Recorder, "127.0.0.1", unused(), **options)
            except OSError as error:
                note([type(other).__name__ for other in gc.get_referrers(error) if isinstance(other, list | tuple)])
        finally:
            gc.enable()

    compare(body)


def test_what_connects_after_a_race_is_not_its_own(run, monkeypatch):
    """A task started by the winner's protocol has the race's context, and connects on its own account."""

    class Second(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.task = asyncio.create_task(connect(transport.get_extra_info("peername")))

    async def main():
        loop = asyncio.get_running_loop()
        async with served() as (address, _):
            with monkeypatch.context() as patch:
                resolves_to(loop, patch, (socket.AF_INET, address))
                transport, protocol = await loop.create_connection(Second, "kitchen", 1, happy_eyeballs_delay=0.01)
            await closed(*await protocol.task)
            await closed(transport, protocol)

    run(main())


def full(tmp_path):
    """A connection whose peer reads nothing, with little room; and a file that does not fit in."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
    path = tmp_path / "menu"
    path.write_bytes(bytes(10_000_000))
    return ours, theirs, path.open("rb")


@pytest.mark.parametrize("end", ["abort", "close"])
@pytest.mark.parametrize("before", [0, 500_000])
def test_the_connection_ends_while_sendfile_waits(loop_factory, tmp_path, before, end):
    """For room, or for what was written before. On asyncio some of it waits for ever, and it reports an InvalidStateError."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["message"]))
        ours, theirs, file = full(tmp_path)
        with file, theirs:
            transport, protocol = await loop.create_connection(Recorder, sock=ours)
            transport.write(bytes(before))
            sending = asyncio.create_task(loop.sendfile(transport, file))
            for _ in range(5):
                await asyncio.sleep(0)
            getattr(transport, end)()
            if before and end == "close":  # What was written is still sent, and then the connection is lost.
                left = before
                theirs.setblocking(False)
                while left:
                    left -= len(await loop.sock_recv(theirs, left))
            await protocol.gone
            if loop_factory is not rondeau.new_event_loop and not (before and end == "abort"):
                sending.cancel()
                await asyncio.wait([sending])
                return
            with pytest.raises(ConnectionError, match="^Connection is closed by peer$"):
                await sending
            assert file.tell() == 0 if before else file.tell() > 0
        assert not reported

    reported = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def test_the_number_of_a_lost_sendfile_is_free(tmp_path):
    """Who gets the descriptor next is not disturbed by what waited there; on asyncio its first use is a FileNotFoundError."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs, file = full(tmp_path)
        number = ours.fileno()
        with file, theirs:
            transport, protocol = await loop.create_connection(Recorder, sock=ours)
            sending = asyncio.create_task(loop.sendfile(transport, file))
            for _ in range(5):
                await asyncio.sleep(0)
            transport.abort()
            await protocol.gone
            next_one, other = socket.socketpair()
            with next_one, other:
                assert next_one.fileno() == number
                next_one.setblocking(False)
                waiting = asyncio.create_task(loop.sock_recv(next_one, 10))
                await asyncio.wait([sending])
                other.send(b"soup")
                assert await waiting == b"soup"
            assert isinstance(sending.exception(), ConnectionError)

    rondeau.run(main())


def test_sendfile_and_its_fallback(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = tmp_path / "menu"
        path.write_bytes(bytes(range(256)) * 2_000)
        whole = path.read_bytes()
        async with served(Recorder) as (address, made):
            for kind in ("file", "no descriptor"):
                transport, protocol = await connect(address)
                transport.write(b"before")
                with path.open("rb") as file:
                    if kind == "file":
                        source = file
                    else:
                        source = io.BytesIO(whole)
                        with pytest.raises(asyncio.SendfileNotAvailableError):
                            await loop.sendfile(transport, source, fallback=False)
                    assert await loop.sendfile(transport, source, 10, 300_000) == 300_000
                    assert source.tell() == 300_010
                    assert await loop.sendfile(transport, source, 511_990) == 10
                transport.write(b"after")
                await closed(transport, protocol)
                await made[-1].gone
                assert made[-1].received == b"before" + whole[10:300_010] + whole[511_990:] + b"after"

    run(main())
