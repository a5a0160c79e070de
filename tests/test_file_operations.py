"""The native operations on files, of which all else about files is built: what they give, how they end, what they leave."""

import asyncio
import errno
import gc
import io
import os
import socket
import stat
import tracemalloc
import warnings

import pytest

import rondeau
from rondeau import _core

READ_WRITE = os.O_RDWR | os.O_CREAT


@pytest.fixture
def run():
    return rondeau.run


def opened(path):
    """How many descriptors of this process are this file's."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}") == str(path)
        except FileNotFoundError:  # The descriptor that lists them.
            pass
    return found


def test_what_they_give_is_what_os_gives(run, tmp_path):
    async def main():
        path = tmp_path / "soup"
        file = await _core.file_open(path, READ_WRITE, 0o640)
        assert await file.write([b"leek ", bytearray(b"and "), b"potato"], 0) == 15
        assert await file.read(4, 9) == b"pota"
        assert await file.read(100, 5) == b"and potato"
        assert await file.read(100, 15) == b"" == await file.read(0, 0)
        into, more = bytearray(4), bytearray(20)
        assert await file.readinto([into, more], 0) == 15
        assert (into, more[:11]) == (b"leek", b" and potato")
        await file.sync()
        await file.sync(True)
        await file.truncate(4)
        assert await file.stat() == os.stat(path) == await _core.file_stat(path)
        told, known = await file.stat(), os.stat(path)
        for name in dir(known):
            if name.startswith("st_"):
                assert getattr(told, name) == getattr(known, name), name
        await file.close()
        assert file.closed
        assert path.read_bytes() == b"leek"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640

    run(main())


def test_names_and_directories(run, tmp_path):
    async def main():
        folder, one, two = tmp_path / "menu", tmp_path / "menu" / "one", tmp_path / "menu" / "two"
        await _core.file_mkdir(folder, 0o750)
        await _core.file_write(one, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, b"bread")
        await _core.file_rename(one, two)
        await _core.file_symlink("two", one)
        assert await _core.file_readlink(one) == b"two"
        assert stat.S_ISLNK((await _core.file_stat(one, False)).st_mode)
        await _core.file_link(two, folder / "three")
        assert os.stat(two).st_nlink == 2
        assert sorted(await _core.file_list(folder)) == sorted(
            (entry.name, 10 if entry.is_symlink() else 8, entry.inode()) for entry in os.scandir(folder)
        )
        await _core.file_chmod(two, 0o444)
        await _core.file_utime(two, 1_500_000_001, 2_750_000_000)
        known = os.stat(two)
        assert (known.st_atime_ns, known.st_mtime_ns, known.st_mode & 0o777) == (1_500_000_001, 2_750_000_000, 0o444)
        await _core.file_access(two, os.R_OK)
        assert await _core.file_copy(two, folder / "copy") == 5
        assert (folder / "copy").read_bytes() == b"bread"
        await _core.file_replace(two, b"rye")
        assert (two.read_bytes(), os.stat(two).st_mode & 0o777) == (b"rye", 0o444)
        await _core.file_truncate(folder / "copy", 2)
        assert await _core.file_read(folder / "copy") == b"br"
        for name in ("one", "two", "three", "copy"):
            await _core.file_unlink(folder / name)
        await _core.file_rmdir(folder)
        assert not folder.exists()

    run(main())


def test_a_large_file_is_begun_and_handed_over(run, tmp_path):
    path = tmp_path / "larder"
    path.write_bytes(os.urandom(1 << 20))

    async def main():
        head, file, size = await _core.file_read(path)
        rest = await file.read(size, len(head))
        await file.close()
        assert head + rest == path.read_bytes()
        assert size == 1 << 20
        assert await _core.file_read("/proc/self/status") != b""

    run(main())


@pytest.mark.parametrize(
    ("call", "oracle"),
    [
        (lambda: _core.file_open("/nowhere/soup", 0, 0), lambda: os.open("/nowhere/soup", 0)),
        (lambda: _core.file_open(b"/nowhere/soup", 0, 0), lambda: os.open(b"/nowhere/soup", 0)),
        (lambda: _core.file_stat("/nowhere"), lambda: os.stat("/nowhere")),
        (lambda: _core.file_rename("/nowhere", "/elsewhere"), lambda: os.rename("/nowhere", "/elsewhere")),
        (lambda: _core.file_unlink("/tmp"), lambda: os.unlink("/tmp")),
        (lambda: _core.file_mkdir("/tmp"), lambda: os.mkdir("/tmp")),
        (lambda: _core.file_list("/nowhere"), lambda: os.listdir("/nowhere")),
        (lambda: _core.file_readlink("/tmp"), lambda: os.readlink("/tmp")),
        (lambda: _core.file_open("a\0b", 0, 0), lambda: io.FileIO("a\0b")),
        (lambda: _core.file_adopt(0, False).read(1, -1), lambda: os.pread(0, 1, -1)),
        (lambda: _core.file_adopt(0, False).write("soup", 0), lambda: os.write(0, "soup")),
    ],
)
def test_errors_are_those_of_os(run, call, oracle):
    async def main():
        await call()

    with pytest.raises(Exception) as expected:
        oracle()
    with pytest.raises(type(expected.value)) as raised:
        run(main())
    assert str(raised.value) == str(expected.value)
    for name in ("errno", "filename", "filename2"):
        assert getattr(raised.value, name, None) == getattr(expected.value, name, None)


def test_thousands_at_once_are_all_served(run, tmp_path):
    path = tmp_path / "grains"
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(5000)))

    async def main():
        file = await _core.file_open(path, os.O_RDONLY, 0)
        grains = await asyncio.gather(*(file.read(4, 4 * number) for number in range(5000)))
        await file.close()
        return [int.from_bytes(grain, "big") for grain in grains]

    assert run(main()) == list(range(5000))


def test_lanes_take_turns(run, tmp_path):
    """One file's two thousand reads do not keep another file's one waiting."""
    path = tmp_path / "queue"
    path.write_bytes(b"x" * 4096)

    async def main():
        ended = []
        greedy = await _core.file_open(path, os.O_RDONLY, 0)
        modest = await _core.file_open(path, os.O_RDONLY, 0)

        async def read(file, name):
            await file.read(4096, 0)
            ended.append(name)

        tasks = [asyncio.create_task(read(greedy, "greedy")) for _ in range(2000)]
        tasks.append(asyncio.create_task(read(modest, "modest")))
        await asyncio.gather(*tasks)
        await greedy.close()
        await modest.close()
        return ended.index("modest")

    assert run(main()) < 1000


def test_large_reads_take_turns(run, tmp_path):
    """Many large reads at once hold the memory of a few, keep no small one waiting, and each gets its own bytes."""
    size, files = 1 << 20, 64
    paths = [tmp_path / str(number) for number in range(files)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * size)

    async def main():
        opened = [await _core.file_open(path, os.O_RDONLY, 0) for path in paths]
        ended = []

        async def read(number, size):
            data = await opened[number].read(size, 0)
            assert data == bytes([number]) * size
            ended.append(size)

        tasks = [asyncio.create_task(read(number, size)) for number in range(files)]
        tasks.append(asyncio.create_task(read(0, 16)))
        await asyncio.sleep(0)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        await asyncio.gather(*tasks)
        _, peak = tracemalloc.get_traced_memory()
        for file in opened:
            await file.close()
        return ended.index(16), (peak - before) / size

    tracemalloc.start()
    try:
        place, held = run(main())
    finally:
        tracemalloc.stop()
    assert place < files // 2
    # Two for each core, at least four, and those that tasks look at.
    assert held < max(4, 2 * (os.cpu_count() or 1)) + 8


def test_large_reads_that_are_cancelled_in_their_lane(run, tmp_path):
    path = tmp_path / "stock"
    path.write_bytes(b"x" * (1 << 20))

    async def main():
        file = await _core.file_open(path, os.O_RDONLY, 0)
        tasks = [asyncio.create_task(read(file)) for _ in range(200)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        came = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in came[::2])
        assert came[1::2] == [1 << 20] * 100
        await file.close()

    async def read(file):
        return len(await file.read(1 << 20, 0))

    run(main())


@pytest.mark.parametrize("turns", range(4))
def test_a_cancelled_wait_leaves_nothing(run, tmp_path, turns):
    """Whatever the moment: an open that went through is closed, and no bytes are written to what is freed."""
    path = tmp_path / "stock"
    path.write_bytes(b"x" * 100_000)

    async def main():
        file = await _core.file_open(path, os.O_RDWR, 0)
        into = bytearray(100_000)
        for make in (
            lambda: _core.file_open(path, os.O_RDONLY, 0),
            lambda: file.read(100_000, 0),
            lambda: file.readinto(into, 0),
            lambda: file.write(bytes(100_000), 100_000),
            lambda: file.sync(),
            lambda: _core.file_read(path),
        ):
            task = asyncio.create_task(make())
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
                if make().__name__ == "readinto":
                    into[:] = b"y" * len(into)  # ours again, at once
            elif isinstance(task.result(), _core.File):
                task.result().drop()
        marked = bytes(into)
        await file.sync()
        await file.close()
        while opened(path):  # what was cancelled in flight is still to end
            await asyncio.sleep(0.001)
        assert bytes(into) == marked

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # made for its name only
        run(main())


def test_a_kept_operation_outlives_its_waiter(run):
    async def main():
        reader, writer = os.pipe()
        file = _core.file_adopt(reader, True)
        operation = file.read(4).start()

        async def wait():
            return await operation

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        os.write(writer, b"stew")
        os.close(writer)
        assert await operation == b"stew"
        assert operation.done()
        with pytest.raises(RuntimeError, match="reuse"):
            await operation
        await file.close()

    run(main())


def test_a_pipe_is_waited_for_and_let_go(run):
    async def main():
        reader, writer = os.pipe()
        end, other = _core.file_adopt(reader, True), _core.file_adopt(writer, True)
        waiting = asyncio.create_task(end.read(10))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await other.write(b"done")
        assert await waiting == b"done"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(end.read(10), 0.01)
        await other.close()
        assert await end.read(10) == b""
        await end.close()

    run(main())


def test_a_loop_closes_with_operations_in_flight(tmp_path):
    path = tmp_path / "left"
    path.write_bytes(b"x" * 1_000_000)
    loop = rondeau.new_event_loop()
    reader, writer = os.pipe()

    async def main():
        file = await _core.file_open(path, os.O_RDONLY, 0)
        kept = [file.read(1_000_000, 0).start() for _ in range(300)]
        return kept, _core.file_adopt(reader, False).read(1).start()

    left = loop.run_until_complete(main())
    loop.close()
    del left
    gc.collect()
    os.close(reader)
    os.close(writer)


def test_one_that_is_never_awaited_warns(run):
    with pytest.warns(RuntimeWarning, match="coroutine 'file_stat' was never awaited"):
        _core.file_stat("/tmp")
    operation = _core.file_stat("/tmp")
    assert asyncio.iscoroutine(operation)
    operation.close()


def test_another_loop_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="rondeau's event loop only"):
        asyncio.run(_core_stat())
    with pytest.raises(RuntimeError, match="no running event loop"):
        _core.file_stat("/").send(None)


async def _core_stat():
    await _core.file_stat("/")


@pytest.mark.parametrize("name", ["read", "write", "file_open"])
def test_an_injected_failure_is_raised_and_an_interruption_is_not(run, tmp_path, name):
    path = tmp_path / "fault"
    path.write_bytes(b"0123456789")

    async def main():
        loop = asyncio.get_running_loop()
        file = await _core.file_open(path, os.O_RDWR, 0)
        calls = {
            "read": lambda: file.read(10, 0),
            "write": lambda: file.write(b"0123456789", 0),
            "file_open": lambda: _core.file_open(path, os.O_RDONLY, 0),
        }
        _core.file_fault(loop, name, errno.EIO)
        with pytest.raises(OSError) as raised:
            await calls[name]()
        assert raised.value.errno == errno.EIO
        _core.file_fault(loop, name, errno.EINTR)
        got = await calls[name]()
        if name == "file_open":
            assert raised.value.filename == path
            await got.close()
        else:
            assert got in (10, b"0123456789")
        await file.close()

    run(main())


def pipe():
    ours, theirs = os.pipe()
    return ours, [theirs]


def terminal():
    ours, theirs = os.openpty()
    return theirs, [ours]


def pair():
    ours, theirs = socket.socketpair()
    return ours.detach(), [theirs.detach()]


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


WAITING = {"pipe": pipe, "terminal": terminal, "socket": pair, "eventfd": lambda: (os.eventfd(0), [])}


@pytest.mark.parametrize("kind", WAITING)
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_is_closed_while_a_cancelled_read_waits_for_ever(kind, buffering):
    """A read that was cancelled goes on in the kernel; closing must not wait for what may never come."""
    fd, others = WAITING[kind]()

    async def main():
        async with asyncio.timeout(20):
            async with rondeau.open(fd, "rb", buffering) as file:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(file.read(8), 0.02)
            while is_open(fd):  # Its number is free once the kernel has let go of the read.
                await asyncio.sleep(0.001)

    try:
        rondeau.run(main())
    finally:
        for other in others:
            os.close(other)


@pytest.mark.parametrize("buffering", [0, -1])
def test_what_a_cancelled_read_of_a_pipe_brings_is_the_next_ones(buffering):
    ours, theirs = os.pipe()

    async def main():
        async with rondeau.open(ours, "rb", buffering) as file:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(file.read(4), 0.02)
            os.write(theirs, b"soup")
            assert await file.read(4) == b"soup"
            os.close(theirs)
            assert await file.read() == b""

    rondeau.run(main())
