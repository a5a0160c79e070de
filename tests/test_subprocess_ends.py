"""How the end of a child is learnt: by pidfd, whoever else looks, in any thread, at any moment of its life."""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

import rondeau

PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL


@pytest.fixture(autouse=True)
def no_child_is_left():
    """Neither running nor a zombie, and 3.11's policy keeps no watcher."""
    yield
    if sys.version_info < (3, 12):
        asyncio.set_event_loop_policy(None)
    subprocess._cleanup()  # What Popen objects left for later, as any next Popen would.
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def rondeau_runs(main):
    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        return runner.run(main)


def test_no_thread_and_no_signal_handler():
    async def main():
        threads, handler = threading.enumerate(), signal.getsignal(signal.SIGCHLD)
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
        assert (threading.enumerate(), signal.getsignal(signal.SIGCHLD)) == (threads, handler)
        process.stdin.close()
        assert await process.wait() == 0

    rondeau_runs(main())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="child watchers are gone in 3.14")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_watcher_of_the_program_is_obeyed(run):
    class Watcher(asyncio.ThreadedChildWatcher):
        seen: ClassVar[list[int]] = []

        def add_child_handler(self, pid, callback, *args):
            self.seen.append(pid)
            super().add_child_handler(pid, callback, *args)

    async def main():
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
        assert Watcher.seen == [process.pid]

    asyncio.set_child_watcher(Watcher())
    try:
        run(main())
    finally:
        Watcher.seen.clear()
        asyncio.set_child_watcher(None)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="child watchers are gone in 3.14")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_the_policy_made_by_itself_is_no_choice():
    async def main():
        asyncio.get_child_watcher()
        threads = threading.enumerate()
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
        assert threading.enumerate() == threads
        process.stdin.close()
        return await process.wait()

    assert rondeau_runs(main()) == 0


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", -15), ("kill -KILL $$", -9)]
)
def test_exit_codes(run, script, code):
    async def main():
        process = await asyncio.create_subprocess_exec("sh", "-c", script)
        return await process.wait(), process.returncode

    assert run(main()) == (code, code)


def test_reaped_elsewhere(logged):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        process.kill()
        os.waitpid(process.pid, 0)
        return await process.wait()

    assert rondeau_runs(main()) == 255
    (message,) = logged
    assert message.endswith("exit status already read:  will report returncode 255")


def test_reaped_by_popen_itself():
    async def main():
        process = await asyncio.create_subprocess_exec("sh", "-c", "read x; exit 3", stdin=PIPE)
        process.stdin.write(b"now\n")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process._transport._proc.poll() == 3
        return await process.wait()

    # asyncio says 255 here and warns.
    assert rondeau_runs(main()) == 3


def test_signals_ignored_by_the_program(logged):
    async def main():
        process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    # The kernel then reaps children itself, and nobody learns the status.
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert rondeau_runs(main()) == 255
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert len(logged) == 1


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM, errno.EMFILE])
def test_without_pidfds_a_thread_waits(error, monkeypatch):
    def refused(pid, flags=0):
        raise OSError(error, os.strerror(error))

    async def main():
        monkeypatch.setattr(os, "pidfd_open", refused)
        process = await asyncio.create_subprocess_exec("sh", "-c", "exit 5")
        return await process.wait()

    assert rondeau_runs(main()) == 5


@pytest.mark.parametrize("turns", range(14))
def test_cancelling_the_start_at_any_turn(run, turns):
    async def main():
        starting = asyncio.create_task(asyncio.create_subprocess_exec("sleep", "60", stdin=PIPE, stdout=PIPE, stderr=PIPE))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled():
            process = starting.result()
            process.kill()
            assert await process.wait() == -9
            process._transport.close()

    run(main())


def test_killing_while_pipes_are_connected(run):
    class Killer(asyncio.SubprocessProtocol):
        def __init__(self):
            self.gone = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            transport.kill()

        def connection_lost(self, error):
            self.gone.set_result(error)

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Killer, "sleep", "60")
        assert await protocol.gone is None
        assert transport.get_returncode() == -9
        transport.close()

    run(main())


def test_a_program_that_is_not_there(compare):
    async def body(note):
        for arguments, options in [
            (["/no/such/program"], {}),
            (["true"], {"cwd": "/no/such/directory"}),
            (["/etc/hostname"], {}),
            ([], {}),
            ([1], {}),
            (["tr\0ue"], {}),
        ]:
            try:
                await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE, **options)
            except Exception as error:
                note(type(error).__name__, str(error))

    compare(body)


def test_many_at_once(run):
    async def main():
        async def one(number):
            process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}", stdout=DEVNULL)
            return await process.wait()

        return await asyncio.gather(*(one(number) for number in range(60)))

    assert run(main()) == list(range(60))


def test_two_loops_in_two_threads(run, loop_factory):
    async def main(word):
        for _ in range(5):
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            out, _ = await process.communicate(word)
            assert (out, process.returncode) == (word, 0)
        return word

    def in_thread(word):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            done.append(runner.run(main(word)))

    if sys.version_info < (3, 12) and loop_factory is not rondeau.new_event_loop:
        asyncio.get_event_loop_policy().get_child_watcher()
    done = []
    threads = [threading.Thread(target=in_thread, args=(word,)) for word in (b"soup", b"roast")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [b"roast", b"soup"]


def test_a_loop_that_is_closed_before_the_child_ends():
    process = None

    async def main():
        nonlocal process
        process = await asyncio.create_subprocess_exec("sleep", "60")

    loop = rondeau.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    popen = process._transport._proc
    popen.kill()
    popen.wait()
    # The pidfd went with the loop (tests/leaks.py looks); the transport knows that it was not closed.
    with contextlib.suppress(RuntimeError):
        process._transport.close()
    del process
    gc.collect()


def test_the_transport_is_closed_after_the_child_ended():
    async def main():
        process = await asyncio.create_subprocess_exec("sh", "-c", "read x; exit 4", stdin=PIPE, stdout=PIPE)
        process.stdin.write(b"now\n")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process._transport.close()
        return await process.wait()

    # asyncio asks Popen whether to kill, which takes the status, and then says 255.
    assert rondeau_runs(main()) == 4
