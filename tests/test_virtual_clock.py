"""`rondeau.testing.virtual_clock`: the loop's time stands still while anything can be done, and then is the next timer's."""

import asyncio
import os
import socket
import threading
import time

import pytest

import rondeau
from rondeau.testing import StuckError, virtual_clock

HOUR = 3600


def now():
    return asyncio.get_running_loop().time()


async def note_at(notes, seconds, what):
    await asyncio.sleep(seconds)
    notes.append((now(), what))


def timers(notes, scale):
    """A program whose order its timers decide; an hour is `scale` seconds."""

    async def main():
        start = now()
        loop = asyncio.get_running_loop()
        for number, hours in enumerate((3, 1, 2, 1, 0)):
            loop.call_later(hours * scale, notes.append, ("call_later", number, hours))
        cancelled = loop.call_at(start + scale, notes.append, "cancelled")
        cancelled.cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5 * scale):
                await asyncio.sleep(HOUR * scale)
        notes.append("timed out")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.2 * scale)
        notes.append("waited")
        done, left = await asyncio.wait(
            [asyncio.ensure_future(asyncio.sleep(hours * scale, hours)) for hours in (1, 5)], timeout=2 * scale
        )
        notes.append(sorted(task.result() for task in done))
        for task in left:
            task.cancel()

    return main()


@pytest.mark.parametrize("names", [asyncio, rondeau], ids=["asyncio's names", "rondeau's names"])
def test_all_that_waits_by_the_loops_time_waits_for_nothing(names, monkeypatch):
    """The order is that of a real loop whose hours are hundredths of a second."""
    real, virtual = [], []
    asyncio.run(timers(real, 0.02))
    monkeypatch.setattr("test_virtual_clock.asyncio", names, raising=False)
    began = time.monotonic()
    with virtual_clock():
        rondeau.run(timers(virtual, HOUR))
    assert virtual == real
    assert time.monotonic() - began < HOUR


def test_the_time_is_exactly_the_timers():
    @virtual_clock(start=0)
    async def main():
        notes = []
        await asyncio.gather(*(note_at(notes, seconds, number) for number, seconds in enumerate((2.5, 1e-3, 7, 1e-3))))
        assert notes == [(1e-3, 1), (1e-3, 3), (2.5, 0), (7.0, 2)]
        assert now() == 7.0

    rondeau.run(main())


def test_the_time_goes_on_afterwards_and_never_back():
    async def main():
        before = now()
        late = asyncio.ensure_future(asyncio.sleep(0.01, "late"))
        async with virtual_clock():
            await asyncio.sleep(HOUR)
            pending = asyncio.ensure_future(asyncio.sleep(0.01, "pending"))
            assert now() >= before + HOUR
        assert now() >= before + HOUR
        assert late.result() == "late"
        assert await pending == "pending"

    rondeau.run(main())


def test_the_programs_own_clocks_are_the_machines():
    @virtual_clock()
    async def main():
        before = time.monotonic()
        await asyncio.sleep(HOUR)
        assert time.monotonic() - before < HOUR

    rondeau.run(main())


def test_it_waits_for_an_executor():
    @virtual_clock(start=0)
    async def main():
        async with asyncio.timeout(1):
            assert await asyncio.to_thread(lambda: time.sleep(0.05) or "job") == "job"
        assert now() < 1

    rondeau.run(main())


def test_it_waits_for_a_file(tmp_path):
    @virtual_clock(start=0)
    async def main():
        async with asyncio.timeout(1):
            async with rondeau.open(tmp_path / "soup", "w") as file:
                await file.write("hot")
            assert await rondeau.Path(tmp_path / "soup").read_text() == "hot"
        assert now() < 1

    rondeau.run(main())


def test_a_connection_is_served_before_the_time_moves():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    @virtual_clock(start=0, patience=2)
    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(20):
            writer.write(b"line %d\n" % number)
            assert await asyncio.wait_for(reader.readline(), 0.001) == b"LINE %d\n" % number
        assert now() == 0
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(1)  # The other end closes too.
        server.close()
        await server.wait_closed()

    rondeau.run(main())


def test_a_silent_peer_holds_the_time_up_for_its_patience_only():
    @virtual_clock(start=0, patience=0.01)
    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(HOUR):
                    await asyncio.get_running_loop().sock_recv(ours, 1)
        assert now() == HOUR

    rondeau.run(main())


def test_another_thread_is_heard():
    @virtual_clock(start=0)
    async def main():
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        thread = threading.Timer(0.02, loop.call_soon_threadsafe, [heard.set])
        thread.start()
        await heard.wait()
        thread.join()

    rondeau.run(main())


def test_a_program_that_waits_for_ever_ends_with_who_waits_where():
    async def guest():
        await asyncio.Event().wait()

    @virtual_clock()
    async def main():
        await asyncio.create_task(guest(), name="the guest")

    with pytest.raises(StuckError) as caught:
        rondeau.run(main())
    assert "2 tasks wait for ever" in str(caught.value)
    assert "- the guest in guest, " in str(caught.value)
    assert "await asyncio.Event().wait()" in str(caught.value)


# By hand


def test_paused_time_moves_when_it_is_told_to():
    async def main():
        notes = []
        async with virtual_clock(start=0, paused=True) as clock:
            tasks = [asyncio.ensure_future(note_at(notes, seconds, seconds)) for seconds in (1, 2, 3)]
            await asyncio.sleep(0)
            assert now() == 0
            await clock.advance(0.5)
            assert (now(), notes) == (0.5, [])
            await clock.advance(1.5)
            assert (now(), notes) == (2.0, [(1.0, 1), (2.0, 2)])
            clock.resume()
            await asyncio.gather(*tasks)
            assert notes[-1] == (3.0, 3)
            clock.pause()
            sleeper = asyncio.ensure_future(asyncio.sleep(1))
            await clock.advance(0.999)
            assert not sleeper.done()
            await clock.advance(0.001)
            assert sleeper.done()

    rondeau.run(main())


def test_what_a_timer_starts_runs_before_advance_returns():
    async def main():
        steps = []

        async def worker():
            await asyncio.sleep(1)
            for number in range(5):
                await asyncio.sleep(0)
                steps.append(number)
            await asyncio.sleep(0.5)
            steps.append("half")

        async with virtual_clock(paused=True) as clock:
            task = asyncio.ensure_future(worker())
            await clock.advance(1)
            assert steps == [0, 1, 2, 3, 4]
            await clock.advance(1)
            assert steps[-1] == "half"
            await task

    rondeau.run(main())


def test_a_step_goes_to_the_next_timer():
    async def main():
        async with virtual_clock(start=0, paused=True) as clock:
            tasks = [asyncio.ensure_future(asyncio.sleep(seconds)) for seconds in (5, 7, 7)]
            times = []
            while await clock.step():
                times.append((now(), sum(task.done() for task in tasks)))
            assert times == [(5.0, 1), (7.0, 3)]

    rondeau.run(main())


def test_two_that_move_the_time_get_there_in_their_order():
    async def main():
        async with virtual_clock(start=0, paused=True) as clock:
            order = []

            async def mover(seconds):
                await clock.advance(seconds)
                order.append((seconds, now()))

            await asyncio.gather(mover(3), mover(1), mover(2))
            assert order == [(1, 1.0), (2, 2.0), (3, 3.0)]
            cancelled = asyncio.ensure_future(clock.advance(10))
            await asyncio.sleep(0)
            cancelled.cancel()
            await clock.advance(1)
            assert now() == 4.0

    rondeau.run(main())


def test_paused_for_ever_says_so():
    async def main():
        async with virtual_clock(paused=True):
            await asyncio.sleep(1)

    with pytest.raises(StuckError, match="the time is paused: "):
        rondeau.run(main())


# Refusals


def test_what_is_refused():
    with pytest.raises(ValueError, match="patience must be at least 0 seconds"):
        virtual_clock(patience=-1)

    async def main():
        async with virtual_clock() as clock:
            with pytest.raises(ValueError, match="the time moves on only"):
                await clock.advance(-1)
            with pytest.raises(RuntimeError, match="virtual already"):
                async with virtual_clock():
                    pass
        with pytest.raises(RuntimeError, match="is not this virtual_clock's"):
            clock.pause()

    rondeau.run(main())

    async def own():
        asyncio.get_running_loop().time = lambda: 0.0
        with pytest.raises(RuntimeError, match="a clock or a selector of the program's own"):
            async with virtual_clock():
                pass

    rondeau.run(own())

    async def on_asyncio():
        with pytest.raises(RuntimeError, match="for Rondeau's loops only"):
            async with virtual_clock():
                pass

    asyncio.run(on_asyncio())
    clock = virtual_clock()
    with clock, pytest.raises(RuntimeError, match="entered already"), clock:
        pass


def test_only_this_threads_loops_are_taken():
    with virtual_clock(start=0):
        elsewhere = []

        async def main():
            elsewhere.append(now())

        thread = threading.Thread(target=rondeau.run, args=(main(),))
        thread.start()
        thread.join()
        assert elsewhere[0] > 0


def test_debug_mode_and_a_signal_go_on():
    @virtual_clock()
    async def main():
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_signal_handler(10, told.set)
        loop.call_later(HOUR, os.kill, os.getpid(), 10)
        await told.wait()
        loop.remove_signal_handler(10)

    rondeau.run(main(), debug=True)
