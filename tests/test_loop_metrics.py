"""What a loop counts of itself: `loop._metrics()` follows what the loop does, and delays are sampled when asked for."""

import asyncio
import os
import socket
import threading

import pytest

import rondeau


@pytest.fixture
def loop():
    """Rondeau's only: asyncio counts nothing."""
    loop = rondeau.new_event_loop()
    yield loop
    if not loop.is_closed():
        loop.close()


def test_a_loop_that_never_ran_has_counted_nothing(loop):
    counted = loop._metrics()
    assert [counted[key] for key in ("turns", "asks", "waits", "ran", "waited", "thread", "ready", "timers")] == [0] * 8
    assert counted["parked"] is False
    assert counted["delays"] == []


def test_each_turn_is_counted(loop):
    async def main():
        before = loop._metrics()["turns"]
        for _ in range(1000):
            await asyncio.sleep(0)
        return loop._metrics()["turns"] - before

    assert loop.run_until_complete(main()) == 1000


def test_a_wait_in_the_kernel_is_time_spent_waiting(loop):
    loop.run_until_complete(asyncio.sleep(0.01))
    counted = loop._metrics()
    assert counted["waits"] >= 1
    assert 0 < counted["waited"] <= counted["ran"]


def test_the_present_run_and_the_present_wait_count_already(loop):
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    while not loop._metrics()["parked"]:
        pass
    first = loop._metrics()
    while (second := loop._metrics())["waited"] == first["waited"]:
        pass
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    assert first["ran"] < second["ran"]
    assert first["waited"] < second["waited"]
    assert first["waits"] == second["waits"]  # It was one wait.
    assert loop._metrics()["ran"] >= second["ran"]
    assert loop._metrics()["ran"] == loop._metrics()["ran"]  # It does not run any more.


def test_the_thread_is_the_kernels_number_of_it(loop):
    seen = []
    loop.call_soon(lambda: seen.append(threading.get_native_id()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert loop._metrics()["thread"] == seen[0] == os.getpid()


def test_what_is_ready_and_what_waits_for_its_time_is_counted(loop):
    handles = [loop.call_soon(print), loop.call_soon(print), loop.call_later(1000, print)]
    counted = loop._metrics()
    assert (counted["ready"], counted["timers"]) == (2, 1)
    for handle in handles:
        handle.cancel()


def test_connections_are_told_from_other_descriptors(loop):
    async def main():
        before = loop._metrics()
        left, right = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        right.setblocking(False)
        loop.add_reader(right, print)
        after = loop._metrics()
        loop.remove_reader(right)
        transport.close()
        right.close()
        await asyncio.sleep(0)
        return [after[key] - before[key] for key in ("connections", "descriptors")]

    assert loop.run_until_complete(main()) == [1, 1]


def test_delays_are_sampled_once_somebody_has_asked(loop):
    async def main(rounds):
        for _ in range(rounds):
            await asyncio.sleep(0)

    loop.run_until_complete(main(100))
    assert loop._metrics()["delays"] == []
    loop.run_until_complete(main(1000))
    delays = loop._metrics()["delays"]
    assert delays
    assert all(count > 0 for _, count in delays)
    assert [upper for upper, _ in delays] == sorted(upper for upper, _ in delays)


def test_who_stands_behind_a_slow_callback_waits_as_long_as_it_takes(loop):
    loop._metrics()
    for _ in range(100):  # A probe starts behind one item in four, so behind one of these, but for one time in 10**12.
        loop.call_soon(threading.Event().wait, 0.0005)
    loop.call_soon(loop.stop)
    loop.run_forever()
    counted = loop._metrics()
    assert counted["delays"][-1][0] > 0.0005
    assert counted["longest"] > 0.05  # All of them ran between two looks at the kernel.
