"""anyio on its asyncio back end: cancel scopes, streams, TLS, threads, processes, signals; its pytest plugin and its `run`."""

import os
import signal
import ssl
import subprocess
import sys

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.streams.tls import TLSListener, TLSStream

from conftest import ARMS


async def echo(stream):
    async with stream:
        try:
            async for piece in stream:
                await stream.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix"])
def test_sixty_connections(compare, certificates, tmp_path, kind):
    async def body():
        if kind == "unix":
            path = tmp_path / "socket"
            path.unlink(missing_ok=True)
            listener = await anyio.create_unix_listener(path)
        else:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
        if kind == "tls":
            listener = TLSListener(listener, certificates.server(), standard_compatible=False)

        async def connect():
            if kind == "unix":
                return await anyio.connect_unix(path)
            if kind == "tcp":
                return await anyio.connect_tcp("127.0.0.1", port)
            return await anyio.connect_tcp(
                "localhost", port, ssl_context=certificates.client(), tls_standard_compatible=False, tls_hostname="localhost"
            )

        right = []

        async def one(number):
            content = bytes([number]) * 150_000
            async with await connect() as stream, anyio.create_task_group() as both:
                both.start_soon(stream.send, content)
                found = b""
                while len(found) < len(content):
                    found += await stream.receive(65536)
                right.append((number, found == content))

        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with anyio.create_task_group() as clients:
                for number in range(60):
                    clients.start_soon(one, number)
            group.cancel_scope.cancel()
        await listener.aclose()
        return sorted(right)

    assert compare(body) == [(number, True) for number in range(60)]


def test_cancel_scopes_nest_shield_and_time_out(compare):
    async def body():
        log = []
        with anyio.move_on_after(0.05) as outer:
            with anyio.CancelScope(shield=True) as inner:
                await anyio.sleep(0.1)
                log.append("shielded to its end")
            try:
                await anyio.sleep(60)
            finally:
                log.append("then cancelled")
        log.append((outer.cancelled_caught, inner.cancelled_caught))
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.05):
                await anyio.Event().wait()

        async def fails():
            await anyio.sleep(0)
            raise ValueError("burnt")

        async def waits(task_status):
            task_status.started("on the stove")
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                log.append("sibling cancelled")
                raise

        with pytest.raises(ExceptionGroup) as raised:
            async with anyio.create_task_group() as group:
                log.append(await group.start(waits))
                group.start_soon(fails)
        log.append([str(error) for error in raised.value.exceptions])
        # Cancellation is delivered again at each await, until the scope is left.
        with anyio.CancelScope() as scope:
            scope.cancel()
            for _ in range(3):
                try:
                    await anyio.lowlevel.checkpoint()
                except anyio.get_cancelled_exc_class():
                    log.append("again")
            await anyio.lowlevel.checkpoint()
        return log

    assert compare(body) == [
        "shielded to its end",
        "then cancelled",
        (True, False),
        "on the stove",
        "sibling cancelled",
        ["burnt"],
        "again",
        "again",
        "again",
    ]


def test_threads_there_and_back(compare):
    async def body():
        async def double(number):
            await anyio.sleep(0.001)
            return number * 2

        def work(number):
            anyio.from_thread.check_cancelled()
            return anyio.from_thread.run(double, number) + anyio.from_thread.run_sync(int, "1")

        found = {}

        async def one(number):
            found[number] = await anyio.to_thread.run_sync(work, number)

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)
        return sorted(found.items())

    assert compare(body) == [(number, number * 2 + 1) for number in range(100)]


def test_processes_and_their_pipes(compare):
    async def body():
        program = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); sys.exit(3)"
        done = await anyio.run_process([sys.executable, "-c", program], input=b"ab" * 200_000, check=False)
        async with await anyio.open_process([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
            process.send_signal(signal.SIGTERM)
            status = await process.wait()
        with pytest.raises(subprocess.CalledProcessError):
            await anyio.run_process([sys.executable, "-c", "raise SystemExit(1)"])
        return done.returncode, done.stdout == b"ba" * 200_000, status

    assert compare(body) == (3, True, -signal.SIGTERM)


def test_signals_and_datagrams(compare):
    async def body():
        with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            first = await anext(signals)
            os.kill(os.getpid(), signal.SIGUSR2)
            second = await anext(signals)
        async with await anyio.create_udp_socket(local_host="127.0.0.1") as server:
            port = server.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.create_connected_udp_socket("127.0.0.1", port) as client:
                await client.send(b"soup?")
                packet, (host, back) = await server.receive()
                await server.sendto(packet.upper(), host, back)
                answer = await client.receive()
        return first, second, answer

    assert compare(body) == (signal.SIGUSR1, signal.SIGUSR2, b"SOUP?")


def test_memory_streams_and_locks_under_contention(compare):
    async def body():
        send, receive = anyio.create_memory_object_stream(3)
        limiter, lock, order, total = anyio.CapacityLimiter(4), anyio.Lock(), [], []

        async def produce(number):
            async with send.clone() as stream, limiter:
                for turn in range(10):
                    await stream.send(number * 100 + turn)

        async def consume():
            async with receive.clone() as stream:
                async for item in stream:
                    async with lock:
                        total.append(item)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(produce, number)
            for _ in range(5):
                group.start_soon(consume)
            await anyio.lowlevel.checkpoint()  # By now each has its clone.
            await send.aclose()
            await receive.aclose()
        order.append(sorted(total))
        return order

    assert compare(body) == [sorted(number * 100 + turn for number in range(20) for turn in range(10))]


def test_a_stranger_hangs_up_in_the_handshake(compare, certificates):
    async def body():
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)

            async def rude(stream):
                async with stream:
                    await stream.receive(5)

            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, rude)
                plain = await anyio.connect_tcp("127.0.0.1", port)
                with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError)) as raised:
                    await TLSStream.wrap(plain, ssl_context=certificates.client(), hostname="localhost")
                await plain.aclose()
                group.cancel_scope.cancel()
        return isinstance(raised.value, Exception)

    assert compare(body)


@pytest.mark.parametrize("arm", ARMS)
def test_run_with_a_loop_factory(arm):
    async def body():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        return type(__import__("asyncio").get_running_loop()) is type(probe)

    probe = ARMS[arm]()
    assert anyio.run(body, backend_options={"loop_factory": ARMS[arm]})
    with anyio.from_thread.start_blocking_portal(backend_options={"loop_factory": ARMS[arm]}) as portal:
        assert portal.call(body)
        assert [portal.start_task_soon(body).result() for _ in range(20)] == [True] * 20
    probe.close()
