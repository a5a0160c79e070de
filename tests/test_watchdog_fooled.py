"""What is no block is not taken for one: a machine with too much to do, a stopped process, a loop that waits.

The first is run with `RUNS` quiet runs of a loop (300 unless the environment says otherwise; `make quiet` takes 10,000), beside
eight processes a processor that compute.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import rondeau

RUNS = int(os.environ.get("RUNS", "300"))
THRESHOLD = 0.05  # Half of the default: harder to keep.


async def quiet(ours, theirs, with_thread):
    """A bit of all that a loop does, nothing of which takes long; and the longest that one line of it took by the clock."""
    loop = asyncio.get_running_loop()
    longest = 0.0

    def note():
        nonlocal longest
        before = time.monotonic()
        sum(range(20_000))
        longest = max(longest, time.monotonic() - before)

    reader, writer = await asyncio.open_connection(sock=ours)
    loop.call_soon(note)
    loop.call_later(0.001, note)
    writer.write(b"soup")
    await loop.sock_sendall(theirs, await loop.sock_recv(theirs, 4))
    await reader.readexactly(4)
    await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))
    if with_thread:
        await asyncio.to_thread(sum, range(100))
    writer.close()
    await writer.wait_closed()
    return longest


def one_run(number):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with theirs:
        return rondeau.run(quiet(ours, theirs, number % 10 == 0))


def test_no_false_report_on_a_loaded_machine(capsys):
    blocks = []
    compute = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10**6))"
    busy = [subprocess.Popen([sys.executable, "-c", compute]) for _ in range(8 * (os.cpu_count() or 1))]
    try:
        with rondeau.watchdog(THRESHOLD, log=False, on_block=blocks.append):
            longest = [one_run(number) for number in range(RUNS)]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    with capsys.disabled():
        fooling = sum(took >= THRESHOLD for took in longest)
        print(f"\n{RUNS} quiet runs: in {fooling} a line took {THRESHOLD} s by the clock, {len(blocks)} reports")
    assert [f"{block}\n{''.join(block.stack.format())}" for block in blocks] == []


def test_a_process_that_is_stopped_in_a_call_has_not_blocked():
    program = """
import os, rondeau, sys
seen = []
async def main():
    print("ready", flush=True)
    os.read(0, 1)
    await rondeau.sleep(0)
with rondeau.watchdog(1, log=False, on_block=seen.append):
    rondeau.run(main())
print(len(seen))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGSTOP)
        time.sleep(2)  # Twice the threshold: this is what must not count.
        child.send_signal(signal.SIGCONT)
        out, _ = child.communicate("x", timeout=60)
    assert out == "0\n"


def test_a_loop_that_waits_for_events_has_not_blocked():
    blocks = []
    with rondeau.watchdog(0.001, log=False, on_block=blocks.append):
        rondeau.run(asyncio.sleep(0.1))
    assert blocks == []


def test_threads_that_keep_the_gil_are_told_as_that():
    blocks = []
    done = threading.Event()

    def hold():
        while not done.is_set():
            sum(range(2_000_000))  # One call, in which no other thread gets the GIL.

    async def main():
        # Each access of the disk gives the GIL away, and the threads take it.
        while not any(block.kind == "kept" for block in blocks):
            os.stat("/")

    threads = [threading.Thread(target=hold) for _ in range(3)]
    with rondeau.watchdog(THRESHOLD, log=False, on_block=blocks.append):
        for thread in threads:
            thread.start()
        try:
            rondeau.run(main())
        finally:
            done.set()
            for thread in threads:
                thread.join()
    kept = next(block for block in blocks if block.kind == "kept")
    assert "other threads of this program held the GIL" in str(kept)
    assert "ProcessPoolExecutor" in kept.advice
