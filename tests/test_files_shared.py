"""An open file whose descriptor others have too: they and the file go on behind each other, as with `open`."""

import asyncio
import io
import os
import sys
import threading

import pytest

import rondeau


@pytest.fixture(params=["ring", "threads"])
def run(request, monkeypatch):
    if request.param == "threads":
        monkeypatch.setenv("RONDEAU_DRIVER", "epoll")
    with rondeau.Runner() as runner:
        yield runner.run


def kinds(binary):
    return [("wb", -1), ("wb", 0), ("w+b", -1), ("ab", -1)] if binary else [("w", -1), ("w+", -1), ("a", -1)]


@pytest.mark.parametrize(("mode", "buffering"), [*kinds(binary=True), *kinds(binary=False)])
def test_what_a_child_writes_is_not_written_over(run, tmp_path, mode, buffering):
    path = tmp_path / "log"
    child = [sys.executable, "-c", "print('child')"]

    def text(line):
        return line.encode() if "b" in mode else line

    async def main():
        async with rondeau.open(path, mode, buffering) as log:
            for round in range(2):
                await log.write(text(f"before {round}\n"))
                await log.flush()
                process = await asyncio.create_subprocess_exec(*child, stdout=log)
                assert await process.wait() == 0
                assert await log.tell() == len("before 0\nchild\n") * (round + 1)
            await log.write(text("after\n"))

    run(main())
    assert path.read_text() == "before 0\nchild\nbefore 1\nchild\nafter\n"


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_number_that_was_given_keeps_its_position(run, tmp_path, buffering):
    path = tmp_path / "given"
    number = os.open(path, os.O_RDWR | os.O_CREAT)
    try:

        async def main():
            os.write(number, b"one,")
            async with rondeau.open(number, "wb", buffering, closefd=False) as file:
                await file.write(b"two,")
            os.write(number, b"three,")
            async with rondeau.open(number, "wb", buffering, closefd=False) as file:
                await file.write(b"four,")
                await file.flush()
                os.write(number, b"five,")
                await file.write(b"six")
            os.lseek(number, 0, os.SEEK_SET)
            async with rondeau.open(number, "rb", buffering, closefd=False) as file:
                assert await file.read(4) == b"one,"
            # Not behind what was read ahead: who has the number goes on at the position.
            assert os.read(number, 4) == b"two,"

        run(main())
        assert path.read_bytes() == b"one,two,three,four,five,six"
    finally:
        os.close(number)


@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_who_has_the_number_moves_the_position(run, tmp_path, mode):
    """As io's: seen by what asks the descriptor next, and not by what was read ahead."""
    path = tmp_path / "moved"
    path.write_bytes(bytes(range(256)))

    def steps(file, ask):
        yield ask(file.read(10))
        number = file.fileno()
        yield ask(file.seek(200))
        yield os.lseek(number, 0, os.SEEK_CUR) >= 200
        yield ask(file.seek(20))
        os.lseek(number, 256, os.SEEK_SET)
        yield ask(file.seek(0, os.SEEK_END))
        os.lseek(number, 100, os.SEEK_SET)
        yield ask(file.tell())
        yield ask(file.read(5))

    with open(path, mode) as plain:
        expected = list(steps(plain, lambda value: value))

    with rondeau.Runner() as runner:
        file = runner.run(awaited(rondeau.open(path, mode)))
        got = list(steps(file, lambda value: runner.run(awaited(value))))
        runner.run(file.close())
    assert got == expected


async def awaited(value):
    return await value


@pytest.mark.parametrize("turns", range(1, 12))
def test_a_cancelled_operation_leaves_it_at_one_place(run, tmp_path, turns):
    """What a cancelled read took comes with the next one, and a write that went on is behind what was there."""
    path = tmp_path / "cancelled"
    content = bytes(range(256)) * 4096
    path.write_bytes(content)

    async def interrupted(awaitable):
        task = asyncio.ensure_future(awaited(awaitable))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    async def main():
        async with rondeau.open(path, "rb", 0) as file:
            file.fileno()
            first = await interrupted(file.read(1000)) or b""
            rest = b""
            while piece := await file.read(300000):
                rest += piece
            assert first + rest == content
        async with rondeau.open(path, "r+b") as file:
            number = file.fileno()
            await interrupted(file.write(b"x" * 100000))
            await file.flush()
            at = await file.tell()
            assert at == os.lseek(number, 0, os.SEEK_CUR)
            await file.write(b"end")
        now = path.read_bytes()
        assert now[: at + 3] == b"x" * at + b"end"
        assert now[at + 3 :] == content[at + 3 :]

    run(main())


def test_large_writes_at_the_descriptors_own_position(run, tmp_path):
    path = tmp_path / "large"
    data = os.urandom(5_000_000)

    async def main():
        async with rondeau.open(path, "w+b") as file:
            file.fileno()
            await file.write(data)
            await file.write(b"end")
            assert await file.tell() == len(data) + 3
            assert await file.seek(1) == 1
            assert await file.read() == data[1:] + b"end"
        async with rondeau.open(path, "ab") as file:
            await file.write(data)
            assert await file.tell() == 2 * len(data) + 3

    run(main())
    assert path.read_bytes() == data + b"end" + data


def test_one_that_is_dropped_open_writes_where_the_others_are(run, tmp_path):
    path = tmp_path / "dropped"

    async def main():
        file = await rondeau.open(path, "wb")
        number = file.fileno()
        os.write(number, b"before ")
        await file.write(b"soup")
        with pytest.warns(ResourceWarning):
            del file

    run(main())
    assert path.read_bytes() == b"before soup"


def test_one_that_is_never_awaited_warns(tmp_path):
    with pytest.warns(RuntimeWarning, match=r"<rondeau.open\('soup', 'w'\)> was never awaited"):
        rondeau.open("soup", "w")


def test_whether_closing_closes_the_descriptor(run, tmp_path):
    path = tmp_path / "soup"
    number = os.open(path, os.O_RDWR | os.O_CREAT)
    try:

        async def main():
            for opened, kept in ((path, False), (number, True)):
                with open(opened, "r+b", 0, closefd=not kept) as plain:
                    expected = plain.closefd
                async with rondeau.open(opened, "r+b", 0, closefd=not kept) as file:
                    assert file.closefd is expected is not kept

        run(main())
    finally:
        os.close(number)


@pytest.mark.parametrize("mode", ["r+", "r+b", "w+b", "a+"])
def test_a_stream_is_not_read_and_written_by_one_buffer(run, mode):
    """As io refuses it: what was read ahead would be lost by a write."""
    read, write = os.pipe()
    try:
        with pytest.raises(io.UnsupportedOperation, match="not seekable"):
            open(write, mode, closefd=False)  # noqa: SIM115

        async def main():
            with pytest.raises(io.UnsupportedOperation, match="not seekable"):
                await rondeau.open(write, mode, closefd=False)
            async with rondeau.open(write, "r+b", 0, closefd=False) as file:
                await file.write(b"soup")

        run(main())
        assert os.read(read, 10) == b"soup"
    finally:
        os.close(read)
        os.close(write)


def test_two_threads_loops_take_turns(run, tmp_path):
    """Whose loop sleeps is woken when its turn has come; one that was closed while it waited is passed over."""
    path = tmp_path / "both"
    rounds = 200

    async def write(file, byte):
        for _ in range(rounds):
            await file.write(byte * 100_000)

    async def main():
        async with rondeau.open(path, "wb") as file:
            thread = threading.Thread(target=rondeau.run, args=(write(file, b"b"),))
            thread.start()
            await write(file, b"a")
            while thread.is_alive():
                await asyncio.sleep(0)
            thread.join()

    run(main())
    content = path.read_bytes()
    assert len(content) == 2 * rounds * 100_000
    assert content.count(b"a") == content.count(b"b")


def test_the_turn_of_a_loop_that_is_closed_is_passed_on(run, tmp_path):
    path = tmp_path / "closed"

    async def main():
        async with rondeau.open(path, "wb") as file:
            await file._take_turn()
            loop = rondeau.new_event_loop()

            def wait_there():
                waiting = loop.create_task(file.flush())
                loop.run_until_complete(asyncio.sleep(0))
                loop.close()
                waiting._log_destroy_pending = False

            thread = threading.Thread(target=wait_there)
            thread.start()
            thread.join()
            assert len(file._waiters) == 1
            file._end_turn()
            assert await file.write(b"soup") == 4

    run(main())
    assert path.read_bytes() == b"soup"
