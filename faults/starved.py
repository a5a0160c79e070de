"""Programs for memory.py: each uses one native thing, by the names of `aio` (rondeau or asyncio), and checks what comes of it.

They are small, so that each of their allocations can fail. Sockets are given to them, since making one is CPython's own code.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import rondeau
import rondeau.recorder


class Given:
    """What a program is given, made while there is memory: CPython itself loses what it was about to wrap. For one run."""

    def __init__(self) -> None:
        self.sockets = socket.socketpair()
        self.datagrams = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
        for one in self.datagrams:
            one.bind(("127.0.0.1", 0))
        for one, other in zip(self.datagrams, reversed(self.datagrams), strict=True):
            one.connect(other.getsockname())
        for one in (*self.sockets, *self.datagrams):
            one.setblocking(False)
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name

    def close(self) -> None:
        for one in (*self.sockets, *self.datagrams):
            one.close()
        self._folder.cleanup()


async def give(aio, value, turns: int = 1):
    for _ in range(turns):
        await aio.sleep(0)
    return value


async def fails(aio, turns: int = 1):
    await give(aio, None, turns)
    raise KeyError("asked for")


async def sleeps(aio, given) -> None:
    assert await aio.sleep(0, "soon") == "soon"
    assert await aio.sleep(0.0002, "later") == "later"
    task = aio.create_task(aio.sleep(3600))
    await aio.sleep(0)
    task.cancel()
    try:
        await task
    except aio.CancelledError:
        return
    raise AssertionError("not cancelled")


async def tasks(aio, given) -> None:
    seen: list[Any] = []
    task = aio.create_task(give(aio, 1, 3), name="named")
    task.add_done_callback(lambda done: seen.append(done.result()))
    assert await task == 1
    await aio.sleep(0)
    if not seen:
        raise MemoryError("the callback's handle, which is reported")
    failed = aio.create_task(fails(aio))
    try:
        await failed
    except KeyError:
        return
    raise AssertionError("did not fail")


async def futures(aio, given) -> None:
    loop = aio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, 7)
    assert await future == 7
    future = loop.create_future()
    loop.call_later(0.0001, future.set_exception, KeyError("asked for"))
    try:
        await future
    except KeyError:
        pass
    future = loop.create_future()
    loop.call_soon_threadsafe(future.cancel, "why")
    try:
        await future
    except aio.CancelledError:
        pass
    repr(future)


async def gathered(aio, given) -> None:
    assert await aio.gather(*(give(aio, number, number) for number in range(4)), aio.sleep(0, 4)) == [0, 1, 2, 3, 4]
    found = await aio.gather(fails(aio), give(aio, 2), return_exceptions=True)
    if isinstance(found[0], SystemError):
        raise found[0]  # What that means is memory.py's to say.
    assert isinstance(found[0], KeyError | MemoryError), found
    assert found[1] == 2 or isinstance(found[1], MemoryError), found


async def waited(aio, given) -> None:
    todo = {aio.create_task(give(aio, number, number)) for number in range(3)}
    done, left = await aio.wait(todo, return_when=aio.FIRST_COMPLETED)
    assert done
    assert done | left == todo
    done, left = await aio.wait(todo, timeout=30)
    assert (done, left) == (todo, set())
    for task in done:
        task.result()


async def waited_for(aio, given) -> None:
    assert await aio.wait_for(give(aio, 1), 30) == 1
    try:
        await aio.wait_for(aio.sleep(3600), 0.0002)
    except TimeoutError:
        return
    raise AssertionError("no time-out")


async def timeouts(aio, given) -> None:
    async with aio.timeout(30) as limit:
        limit.reschedule(aio.get_running_loop().time() + 60)
        await aio.sleep(0)
    try:
        async with aio.timeout(0.0002):
            await aio.sleep(3600)
    except TimeoutError:
        return
    raise AssertionError("no time-out")


async def shielded(aio, given) -> None:
    inner = aio.create_task(give(aio, 1, 4))
    outer = aio.create_task(aio.wait_for(aio.shield(inner), 30))
    await aio.sleep(0)
    await aio.sleep(0)
    outer.cancel()
    await aio.wait([outer])
    assert outer.cancelled() or isinstance(outer.exception(), MemoryError)
    assert await inner == 1


async def as_completed(aio, given) -> None:
    found = [await one for one in aio.as_completed([give(aio, number, number) for number in range(3)])]
    assert sorted(found) == [0, 1, 2], found


async def groups(aio, given) -> None:
    async with aio.TaskGroup() as group:
        made = [group.create_task(give(aio, number, number)) for number in range(3)]
    assert [task.result() for task in made] == [0, 1, 2]
    try:
        async with aio.TaskGroup() as group:
            group.create_task(fails(aio))
            group.create_task(aio.sleep(3600))
            await aio.sleep(3600)
    except* KeyError:
        pass
    else:
        raise AssertionError("did not fail")


async def locks(aio, given) -> None:
    lock = aio.Lock()
    held: list[int] = []

    async def one(number: int) -> None:
        async with lock:
            assert not held, "two hold the lock"
            held.append(number)
            try:
                await aio.sleep(0)
            finally:
                held.remove(number)

    await aio.gather(*map(one, range(3)))
    assert not lock.locked()


async def events(aio, given) -> None:
    event = aio.Event()
    waiting = aio.gather(event.wait(), event.wait())
    await aio.sleep(0)
    event.set()
    assert await waiting == [True, True]


async def conditions(aio, given) -> None:
    condition = aio.Condition()
    ready: list[int] = []

    async def waits() -> None:
        async with condition:
            await condition.wait_for(lambda: ready)

    waiting = aio.gather(waits(), waits())
    await aio.sleep(0)
    await aio.sleep(0)
    ready.append(1)
    async with condition:
        condition.notify_all()
    await waiting


async def semaphores(aio, given) -> None:
    semaphore = aio.BoundedSemaphore(2)
    within: list[int] = []

    async def one(number: int) -> None:
        async with semaphore:
            within.append(number)
            assert len(within) <= 2
            try:
                await aio.sleep(0)
            finally:
                within.remove(number)

    await aio.gather(*map(one, range(4)))


async def barriers(aio, given) -> None:
    barrier = aio.Barrier(3)
    found = await aio.gather(*(aio.wait_for(barrier.wait(), 30) for _ in range(3)))
    assert sorted(found) == [0, 1, 2], found


async def queues(aio, given) -> None:
    for kind in (aio.Queue, aio.LifoQueue, aio.PriorityQueue):
        queue = kind(1)
        got: list[int] = []

        async def put(queue=queue) -> None:
            for number in range(3):
                await queue.put(number)

        async def take(queue=queue, got=got) -> None:
            for _ in range(3):
                got.append(await queue.get())
                queue.task_done()

        await aio.gather(put(), take())
        await queue.join()
        assert got == [0, 1, 2], got


async def workers(aio, given) -> None:
    loop = aio.get_running_loop()
    assert await aio.to_thread(pow, 3, 2) == 9
    assert await loop.run_in_executor(None, pow, 3, 2) == 9


async def generators(aio, given) -> None:
    async def numbers():
        for number in range(3):
            await aio.sleep(0)
            yield number

    assert [number async for number in numbers()] == [0, 1, 2]
    async for _ in numbers():
        break  # Left to the loop to close.


async def watched_sockets(aio, given) -> None:
    loop = aio.get_running_loop()
    one, other = given.sockets
    future = loop.create_future()
    loop.add_reader(other, lambda: future.done() or future.set_result(other.recv(10)))
    try:
        await loop.sock_sendall(one, b"abc")
        assert await future == b"abc"
    finally:
        loop.remove_reader(other)
    receiving = loop.create_task(loop.sock_recv(one, 10))
    await aio.sleep(0)
    await loop.sock_sendall(other, b"def")
    assert await receiving == b"def"
    into = bytearray(4)
    receiving = loop.create_task(loop.sock_recv_into(one, into))
    await aio.sleep(0)
    await loop.sock_sendall(other, b"g")
    assert await receiving == 1
    assert into[:1] == b"g"


async def fed_readers(aio, given) -> None:
    reader = aio.StreamReader(limit=64)
    reading = aio.create_task(reader.readline())
    await aio.sleep(0)
    reader.feed_data(b"one\ntwo")
    assert await reading == b"one\n"
    reading = aio.create_task(reader.readexactly(6))
    await aio.sleep(0)
    reader.feed_data(b"...and the rest")
    assert await reading == b"two..."
    reader.feed_eof()
    assert await reader.read() == b"and the rest"
    assert await reader.read() == b""


async def streams(aio, given) -> None:
    """Both ends of a connection are streams."""
    (reader, writer), (other, answering) = [await aio.open_connection(sock=one) for one in given.sockets]

    async def echo() -> None:
        try:
            while line := await other.readline():
                answering.writelines([line[:2], line[2:]])
                await answering.drain()
            answering.close()
        except BaseException:
            writer.transport.abort()  # It would wait for ever.
            raise

    answers = aio.create_task(echo())
    try:
        for line in (b"one\n", b"two, which is longer\n"):
            writer.write(line)
            await writer.drain()
            assert await reader.readexactly(len(line)) == line
        writer.write_eof()
        assert await reader.read() == b""
        await answers
    except (OSError, EOFError, AssertionError):
        await answers  # Why it came to that.
        raise
    finally:
        answers.cancel()
        writer.close()
        answering.close()
        await aio.wait([answers])
    await writer.wait_closed()


class Peer(asyncio.Protocol):
    """Says hello, keeps what it hears, and hangs up after `enough` bytes."""

    def __init__(self, hello: bytes, enough: int) -> None:
        self.hello, self.enough = hello, enough
        self.got = b""
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(self.hello)

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.transport.pause_reading()
        if len(self.got) >= self.enough:
            self.transport.close()
        else:
            self.transport.resume_reading()

    def connection_lost(self, error) -> None:
        if not self.gone.done():
            self.gone.set_result(error)


async def protocols(aio, given) -> None:
    """Both ends of a connection are protocols; what one sends does not fit into the socket at once."""
    loop = aio.get_running_loop()
    large = bytes(range(256)) * 4096
    pairs = []
    try:
        for sock, hello, enough in zip(given.sockets, (large, b"hello"), (5, len(large)), strict=True):
            pairs.append(await loop.create_connection(lambda hello=hello, enough=enough: Peer(hello, enough), sock=sock))
        for _, peer in pairs:
            await peer.gone
        (_, one), (_, other) = pairs
        assert large.startswith(other.got)
        assert b"hello".startswith(one.got)
    finally:
        for transport, _ in pairs:
            transport.abort()
        await aio.sleep(0)


class Hears(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, address) -> None:
        if not self.heard.done():
            self.heard.set_result(data)


async def datagrams(aio, given) -> None:
    loop = aio.get_running_loop()
    ends = []
    try:
        for sock in given.datagrams:
            ends.append(await loop.create_datagram_endpoint(Hears, sock=sock))
        (one, _), (_, hears) = ends
        one.sendto(b"a datagram")
        assert await hears.heard == b"a datagram"
    finally:
        for transport, _ in ends:
            transport.close()
        await aio.sleep(0)


async def file_lines(aio, given) -> None:
    name = os.path.join(given.folder, "lines")
    async with rondeau.open(name, "w", encoding="utf-8") as file:
        assert await file.write("eins\nzwei\ndrei\n") == 15
    async with rondeau.open(name, encoding="utf-8") as file:
        assert [line async for line in file] == ["eins\n", "zwei\n", "drei\n"]
    async with rondeau.open(name, "r+b") as file:
        assert await file.readline() == b"eins\n"
        assert await file.seek(5) == 5
        assert await file.readinto(bytearray(3)) == 3
        assert await file.truncate(4) == 4


async def paths(aio, given) -> None:
    path = rondeau.Path(given.folder) / "name"
    assert await path.write_bytes(b"abc") == 3
    assert await path.read_bytes() == b"abc"
    assert (await path.stat()).st_size == 3
    assert [str(found) async for found in rondeau.Path(given.folder).iterdir()] == [str(path)]
    await path.unlink()
    assert not await path.exists()


async def recorded(aio, given) -> None:
    rondeau.recorder.start(capacity=1 << 10)
    try:
        await aio.gather(give(aio, 1), aio.sleep(0.0001))
        async with aio.Lock():
            pass
        assert rondeau._core.recorded(rondeau._core.record_snapshot(), 0)["tasks"]
    finally:
        rondeau.recorder.stop()


async def eager(aio, given) -> None:
    loop = aio.get_running_loop()
    if not hasattr(aio, "eager_task_factory"):
        return
    loop.set_task_factory(aio.eager_task_factory)
    try:
        assert await aio.create_task(give(aio, 1, 0)) == 1
        assert await aio.create_task(give(aio, 2, 2)) == 2
    finally:
        loop.set_task_factory(None)


async def loops(aio, given) -> None:
    """A second loop is made and closed."""
    loop = type(aio.get_running_loop())()
    loop.call_soon(print)
    loop.call_later(1, print)
    loop.close()


PROGRAMS: dict[str, Callable[[Any, Given], Awaitable[None]]] = {
    program.__name__: program
    for program in [
        sleeps,
        tasks,
        futures,
        gathered,
        waited,
        waited_for,
        timeouts,
        shielded,
        as_completed,
        groups,
        locks,
        events,
        conditions,
        semaphores,
        barriers,
        queues,
        workers,
        generators,
        watched_sockets,
        fed_readers,
        streams,
        protocols,
        datagrams,
        file_lines,
        paths,
        recorded,
        eager,
        loops,
    ]
}
