"""What goes wrong with files: full disks, failing and interrupted calls, files cut short, no descriptors left, cancellation."""

import asyncio
import errno
import gc
import os
import resource
import shutil
import subprocess
import sys
import warnings

import pytest

import rondeau
from rondeau import _core, files


@pytest.fixture
def run():
    return rondeau.run


def opened(path):
    """How many descriptors of this process are this file's, or of files in this folder."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}").startswith(str(path))
        except FileNotFoundError:  # The descriptor that lists them.
            pass
    return found


async def none_open(path):
    """What was cancelled in flight gives its descriptor back when the kernel is done with it."""
    while opened(path):
        await asyncio.sleep(0.001)


@pytest.fixture
def small_disk(tmp_path):
    """64 KiB of tmpfs."""
    mount = shutil.which("mount")
    done = subprocess.run([mount or "false", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_a_full_disk(run, small_disk, mode):
    """As with open: the writes that were acknowledged and fit are there, the failure is told, and close tells it again."""
    data = b"x" * 10_000 if "b" in mode else "x" * 10_000

    async def main():
        file = await rondeau.open(small_disk / "soup", mode)

        async def fill():
            for _ in range(100):
                await file.write(data)
            await file.flush()

        with pytest.raises(OSError, match="No space left") as raised:
            await fill()
        assert raised.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match="No space left"):
            await file.close()
        assert file.closed
        assert opened(small_disk) == 0
        assert os.path.getsize(small_disk / "soup") == 65536

    run(main())


@pytest.mark.parametrize("driver", ["ring", "threads"])
@pytest.mark.parametrize("mode", ["wb", "w"])
def test_what_a_full_disk_took_in_part_is_written_once_when_there_is_room(run, small_disk, monkeypatch, mode, driver):
    """The flush that fails has written what fits; the next one goes on behind that: no byte is lost or doubled."""
    if driver == "threads":
        monkeypatch.setenv("RONDEAU_DRIVER", "epoll")
    (small_disk / "other").write_bytes(b"x" * 50_000)
    wanted = b"".join(b"%07d\n" % number for number in range(4000))

    async def main():
        file = await rondeau.open(small_disk / "soup", mode)
        for at in range(0, len(wanted), 1000):
            piece = wanted[at : at + 1000]
            await file.write(piece if "b" in mode else piece.decode())
        with pytest.raises(OSError, match="No space left"):
            await file.flush()
        there = (small_disk / "soup").read_bytes()
        assert 0 < len(there) < len(wanted)
        assert wanted.startswith(there)
        (small_disk / "other").unlink()
        await file.flush()
        assert (small_disk / "soup").read_bytes() == wanted
        await file.close()
        assert (small_disk / "soup").read_bytes() == wanted

    run(main())


@pytest.mark.parametrize("driver", ["ring", "threads"])
def test_interrupted_and_failing_calls_lose_nothing_of_lines(run, tmp_path, monkeypatch, driver):
    """Every third read is interrupted or fails: who asks again gets each line once."""
    if driver == "threads":
        monkeypatch.setenv("RONDEAU_DRIVER", "epoll")
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(100_000)))

    async def main():
        loop = asyncio.get_running_loop()
        got, failures = [], []
        async with rondeau.open(path, buffering=4096) as file:
            while True:
                if len(got) % 1000 == 0:
                    _core.file_fault(loop, "read", errno.EINTR)
                    _core.file_fault(loop, "read", errno.EIO, 2)
                try:
                    line = await anext(file, None)
                except OSError as error:
                    failures.append(error.errno)
                    continue
                if line is None:
                    break
                got.append(int(line))
        assert got == list(range(100_000))
        assert set(failures) == {errno.EIO}

    run(main())


def test_a_line_that_cannot_be_decoded_fails_where_it_is_awaited(run, tmp_path):
    """Not in `__anext__`: CPython 3.13's `anext` with a default crashes if that raises."""
    path = tmp_path / "lines"
    path.write_bytes(b"a\n" * 4 * 8192 + b"\xff\n" * 8192)

    async def main():
        async with rondeau.open(path, encoding="utf-8") as file:
            for _ in range(4 * 8192):
                assert await anext(file, None) == "a\n"
            with pytest.raises(UnicodeDecodeError):
                await anext(file, None)
        async with rondeau.open(path, encoding="utf-8") as file:
            for _ in range(4 * 8192):
                await anext(file)
            waiting = anext(file)
            with pytest.raises(UnicodeDecodeError):
                await waiting
        for wrong in (anext(file, None), anext(file)):
            with pytest.raises(ValueError, match="closed file"):
                await wrong

    run(main())


def test_a_next_line_that_is_not_to_be_had_fails_where_it_is_awaited(run):
    """Whatever goes wrong in `__anext__`, as in a class of one's own, is raised by the awaitable, once."""

    class Broken(_core.Lines):
        def _refill(self):
            raise KeyError("leek")

    class Empty(_core.Lines):
        def _refill(self):
            return False

    async def main():
        for kind, wrong in ((Broken, KeyError), (Empty, AttributeError)):
            for ask in (anext, lambda lines: anext(lines, None), lambda lines: lines.__anext__()):
                waiting = ask(kind())
                with pytest.raises(wrong):
                    await waiting
            with pytest.raises(wrong):
                async for _ in kind():
                    pass
            with pytest.raises(wrong):
                kind().__anext__().__await__().__next__()

    run(main())


def test_a_full_disk_leaves_the_old_file_whole(run, small_disk):
    async def main():
        (small_disk / "menu").write_bytes(b"soup")
        with pytest.raises(OSError, match="No space left"):
            await files.write_atomic(small_disk / "menu", b"x" * 100_000)
        assert os.listdir(small_disk) == ["menu"]
        assert (small_disk / "menu").read_bytes() == b"soup"

    run(main())


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_a_read_that_fails_has_moved_nothing(run, tmp_path, mode):
    path = tmp_path / "soup"
    path.write_bytes(b"leek\n" * 10)

    async def main():
        loop = asyncio.get_running_loop()
        async with rondeau.open(path, mode) as file:
            _core.file_fault(loop, "read", errno.EIO)
            with pytest.raises(OSError) as raised:
                await file.readline()
            assert raised.value.errno == errno.EIO
            _core.file_fault(loop, "read", errno.EINTR)
            assert len(await file.readline()) == 5
            assert await file.tell() == 5

    run(main())


def test_a_write_that_fails_is_told_and_tried_again(run, tmp_path):
    path = tmp_path / "soup"

    async def main():
        loop = asyncio.get_running_loop()
        file = await rondeau.open(path, "wb")
        await file.write(b"leek")
        _core.file_fault(loop, "write", errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            await file.flush()
        assert await file.tell() == 4
        await file.close()
        assert path.read_bytes() == b"leek"

    run(main())


def test_a_failing_close_is_told_and_the_file_is_closed(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        file = await rondeau.open(tmp_path / "soup", "wb")
        await file.write(b"leek")
        _core.file_fault(loop, "close", errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            await file.close()
        assert file.closed
        assert opened(tmp_path) == 0

    run(main())


def test_a_file_that_is_cut_short_or_removed_under_its_reader(run, tmp_path):
    path = tmp_path / "soup"
    path.write_bytes(b"x" * 600_000)

    async def main():
        async with rondeau.open(path, "rb") as file:
            assert len(await file.read(300_000)) == 300_000
            os.truncate(path, 100)
            await file.seek(0)
            assert len(await file.read()) == 100
            path.unlink()
            await file.seek(50)
            assert len(await file.read()) == 50
            assert await file.pread(10, 1000) == b""

    run(main())


def test_twenty_thousand_opens_at_a_limit_of_1024(run, tmp_path):
    """Each is served or fails with EMFILE; a semaphore gets all of them through; no descriptor is left."""
    path = tmp_path / "soup"
    path.write_bytes(b"leek")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main():
        async def read():
            async with rondeau.open(path, "rb") as file:
                return await file.read()

        async def read_in_turn():
            async with places:
                return await read()

        places = asyncio.Semaphore(500)
        came = await asyncio.gather(*(read_in_turn() for _ in range(20_000)))
        assert came == [b"leek"] * 20_000
        came = await asyncio.gather(*(read() for _ in range(20_000)), return_exceptions=True)
        failed = [each for each in came if each != b"leek"]
        assert all(isinstance(each, OSError) and each.errno == errno.EMFILE and each.filename for each in failed)
        await none_open(path)
        assert await read() == b"leek"

    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("turns", range(12))
def test_cancelled_at_any_step_a_program_has_lost_nothing(run, tmp_path, turns):
    """A program that writes, reads and writes is cancelled after so many turns: what write had acknowledged is in the file."""
    path = tmp_path / "soup"
    path.write_bytes(b"")

    async def main():
        acknowledged = 0

        async def program():
            nonlocal acknowledged
            async with rondeau.open(path, "w+b") as file:
                for number in range(20):
                    data = bytes([number]) * (100 if number % 3 else 80_000)
                    await file.write(data)
                    acknowledged += len(data)
                    if number % 4 == 3:
                        await file.flush()
                        assert await file.seek(0) == 0
                        await file.read(50)
                        await file.seek(0, 2)

        task = asyncio.create_task(program())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await none_open(path)
        content = path.read_bytes()
        assert len(content) >= acknowledged
        wanted = b"".join(bytes([number]) * (100 if number % 3 else 80_000) for number in range(20))
        assert wanted.startswith(content)

    run(main())


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_the_position_after_a_cancelled_read(run, tmp_path, mode):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(100_000)))

    async def main():
        async with rondeau.open(path, mode) as file:
            for turn in range(40):
                if await file.tell() > 600_000:
                    await file.seek(0)
                before = await file.tell()
                reading = asyncio.create_task(file.read(70_000))
                for _ in range(turn % 4):
                    await asyncio.sleep(0)
                if reading.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await reading
                    assert await file.tell() == before
                line = await file.readline()
                assert int(line) == (await file.tell()) // 8 - 1
                assert await file.tell() in (before + 8, before + 70_008)

    run(main())


@pytest.mark.parametrize(("method", "buffering"), [("read1", -1), ("read1", 0), ("read", 0), ("readline", 0)])
def test_what_a_cancelled_read_took_out_of_a_pipe_comes_with_the_next(run, method, buffering):
    async def main():
        reader, writer = os.pipe()
        async with rondeau.open(reader, "rb", buffering) as file:
            read = getattr(file, method)
            for number in range(50):
                reading = asyncio.create_task(read(3))
                await asyncio.sleep(0)
                os.write(writer, b"%02d\n" % number)
                for _ in range(number % 3):
                    await asyncio.sleep(0)
                reading.cancel()
                got = (await asyncio.gather(reading, return_exceptions=True))[0]
                if isinstance(got, asyncio.CancelledError):
                    got = await read(3)
                assert got == b"%02d\n" % number
            os.close(writer)
            assert await file.read() == b""

    run(main())


def test_tasks_share_a_file_in_the_order_in_which_they_asked(run, tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(1000)))

    async def main():
        async with rondeau.open(path, "rb", buffering=64) as file:
            got = await asyncio.gather(*(file.read(8) for _ in range(1000)))
        assert [int(line) for line in got] == list(range(1000))

    run(main())


def test_one_that_is_dropped_open_warns_and_has_written_what_it_had(run, tmp_path):
    path = tmp_path / "soup"

    async def main():
        file = await rondeau.open(path, "wb")
        await file.write(b"leek")

    with pytest.warns(ResourceWarning, match="unclosed file"):
        run(main())
    assert path.read_bytes() == b"leek"
    assert opened(path) == 0


def test_a_descriptor_that_is_not_ours_stays_open(run, tmp_path):
    path = tmp_path / "soup"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)

    async def main():
        async with rondeau.open(fd, "w", closefd=False) as file:
            await file.write("leek")

    run(main())
    assert os.pread(fd, 10, 0) == b"leek"
    os.close(fd)


def test_no_reference_is_left_behind(run, tmp_path):
    path = tmp_path / "soup"
    path.write_bytes(b"leek\n" * 100)
    data = b"x" * 100_000
    into = bytearray(500)

    async def main():
        for _ in range(50):
            async with rondeau.open(path, "r+b") as file:
                await asyncio.gather(
                    file.pread(10, 0), file.pwrite(b"leek", 0), file.readv([into], 0), file.writev([data], 600)
                )
                task = asyncio.create_task(file.pwrite(data, 1000))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            async with rondeau.open(path, errors="replace") as text:
                async for _ in text:
                    pass

    run(main())
    gc.collect()
    before = sys.getrefcount(data), sys.getrefcount(into), len(gc.get_objects())
    run(main())
    gc.collect()
    assert (sys.getrefcount(data), sys.getrefcount(into)) == before[:2]
    assert len(gc.get_objects()) - before[2] < 50
    into.append(0)  # No export is left.


def test_a_borrowed_buffer_cannot_be_resized_until_it_is_written(run):
    async def main():
        reader, writer = os.pipe()
        os.set_blocking(writer, True)
        data = bytearray(1 << 20)  # more than a pipe holds
        file = _core.file_adopt(writer, True)
        writing = file.write(data).start()
        await asyncio.sleep(0)
        with pytest.raises(BufferError):
            data.append(0)
        left = len(data)
        while left:
            left -= len(os.read(reader, left))
            await asyncio.sleep(0)
        assert await writing == 1 << 20
        data.append(0)
        await file.close()
        os.close(reader)

    with warnings.catch_warnings():
        run(main())
