"""What else has descriptors: the loop itself, executors, sendfile, threads, signals."""

import asyncio
import os
import signal
import socket
import tempfile
import threading

import rondeau
from wire import Wire, all_of, serving

from .tcp import Peer

SIZE = 400_000


async def started_and_stopped(wire: Wire) -> None:
    """A second loop's whole life, in a thread of its own."""
    loop = asyncio.get_running_loop()
    kind = type(loop)

    def live() -> None:
        other = kind()
        try:
            other.run_until_complete(asyncio.sleep(0))
            other.call_soon(other.stop)
            other.run_forever()
        finally:
            other.close()

    failed: list[BaseException] = []

    def run() -> None:
        try:
            live()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def executor(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    results = await asyncio.gather(*(loop.run_in_executor(None, pow, number, 2) for number in range(6)))
    if results != [number**2 for number in range(6)]:
        wire.wrong.append(f"executor: {results}")
    await loop.getaddrinfo("127.0.0.1", 80)


async def files(wire: Wire) -> None:
    """Files through the loop: several at once, so that their operations are asked for together."""
    pattern = wire.pattern(1, 70_000)

    async def one(name: str) -> None:
        async with rondeau.open(name, "wb") as file:
            await file.write(pattern)
        async with rondeau.open(name, "rb") as file:
            got = await file.read()
        if got != pattern:
            wire.wrong.append(f"files: {len(got)} bytes, and not what was written")

    with tempfile.TemporaryDirectory() as folder:
        await all_of(*(wire.steps(one(f"{folder}/{number}")) for number in range(3)))


async def sendfile(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    made: list[Peer] = []

    class Sink(Peer):
        def data_received(self, data) -> None:
            self.got += data
            self.wire.check_any(self.size, self.got, "sink")

    def factory() -> Peer:
        made.append(Sink(wire, SIZE))
        return made[-1]

    with tempfile.TemporaryFile() as file:
        file.write(wire.pattern(9, SIZE))
        file.seek(0)  # The fallback reads from where the file is.
        async with serving(await loop.create_server(factory, "127.0.0.1", 0)) as address:

            async def send() -> None:
                transport, peer = await loop.create_connection(lambda: Peer(wire, SIZE), *address)
                try:
                    if transport.is_closing():
                        raise OSError("the connection could not be watched")
                    await loop.sendfile(transport, file)
                finally:
                    transport.close()
                    await peer.done

            await wire.steps(send())
            for peer in made:
                await peer.done
                if len(peer.got) != SIZE:
                    raise EOFError


async def sock_sendfile(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as file, ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        file.write(wire.pattern(8, SIZE))
        file.seek(0)  # The fallback reads from where the file is.

        async def receive() -> None:
            got = bytearray()
            while len(got) < SIZE:
                data = await loop.sock_recv(theirs, 1 << 16)
                got += data
                wire.check(8, SIZE, got, "sendfile")

        await all_of(wire.steps(loop.sock_sendfile(ours, file)), wire.steps(receive()))


async def threads(wire: Wire) -> None:
    """Another thread wakes the loop."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(event.set))
    thread.start()
    try:
        await event.wait()
    finally:
        thread.join()


async def signals(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, event.set)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        await event.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
