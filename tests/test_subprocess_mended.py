"""What CPython mended about subprocesses in later patch releases is right on every Python, native names or not."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

import rondeau

PIPE = subprocess.PIPE


@pytest.fixture(autouse=True)
def no_child_is_left():
    yield
    if sys.version_info < (3, 12):
        asyncio.set_event_loop_policy(None)
    subprocess._cleanup()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture(params=["plain", "installed"])
def runs(request):
    """Run a coroutine on Rondeau; `installed`: with its names where asyncio keeps its own."""

    def run(main):
        with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
            return runner.run(main)

    if request.param == "installed":
        rondeau.install()
    yield run
    if request.param == "installed":
        rondeau.uninstall()


def test_wait_while_a_grandchild_holds_the_pipe(runs):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "sleep 1000 & echo $!; exit 3", stdin=subprocess.DEVNULL, stdout=PIPE
        )
        grandchild = int(await process.stdout.readline())
        code = await process.wait()
        os.kill(grandchild, signal.SIGKILL)
        assert await process.stdout.read() == b""
        return code

    assert runs(main()) == 3


def test_a_cancelled_wait_leaves_nothing(runs):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
        waiting = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not process._transport._waiting
        process.stdin.close()
        return await process.wait()

    assert runs(main()) == 0


@pytest.mark.parametrize("turns", range(12))
def test_a_start_cancelled_with_everything_below_it(runs, turns):
    """The task that connects the pipes is cancelled too, as `asyncio.run` does at its end."""

    async def child():
        process = await asyncio.create_subprocess_exec("sleep", "0.002", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        try:
            await process.communicate()
        except asyncio.CancelledError:
            process._transport.close()
            await process.wait()
            raise

    async def main():
        task = asyncio.create_task(child())
        for _ in range(turns):
            await asyncio.sleep(0)
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        await asyncio.wait([task])

    runs(main())


@pytest.mark.parametrize("which", ["connect_read_pipe", "connect_write_pipe"])
def test_a_start_whose_pipes_do_not_connect(runs, which):
    class Loop(rondeau.EventLoop):
        pass

    async def refuse(self, factory, pipe):
        await asyncio.sleep(0)
        raise OSError("no more pipes")

    setattr(Loop, which, refuse)

    async def main():
        with pytest.raises(OSError, match="no more pipes"):
            await asyncio.create_subprocess_exec("sleep", "60", stdin=PIPE, stdout=PIPE)
        await asyncio.sleep(0)  # The pipes that were there are lost in the next turn.

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_what_a_cancelled_communicate_had_read_is_kept(runs):
    async def main():
        stdin, go = os.pipe()
        told, tell = os.pipe()
        script = f"head -c 300000 /dev/zero; echo half >&2; echo >/proc/self/fd/{tell}; head -c 1; echo end"
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", script, stdin=stdin, stdout=PIPE, stderr=PIPE, pass_fds=[tell]
        )
        task = asyncio.create_task(process.communicate())
        await asyncio.to_thread(os.read, told, 1)  # All but what a pipe holds was taken; the child waits.
        task.cancel()
        await asyncio.wait([task])
        os.write(go, b"!")
        for descriptor in (stdin, go, told, tell):
            os.close(descriptor)
        out, err = await process.communicate()
        return len(out), out[-5:], err, process.returncode

    assert runs(main()) == (300_005, b"!end\n", b"half\n", 0)


def test_no_signal_goes_to_a_child_that_was_reaped(runs, monkeypatch):
    sent = []

    async def main():
        process = await asyncio.create_subprocess_exec("true")
        transport = process._transport
        while not transport._reaped:
            await asyncio.sleep(0)
        monkeypatch.setattr(os, "kill", lambda *call: sent.append(call))
        process.kill()
        process.terminate()
        process.send_signal(signal.SIGUSR1)
        return await process.wait()

    assert runs(main()) == 0
    assert not sent


def test_a_transport_is_closed_after_its_loop(runs):
    process = None

    async def main():
        nonlocal process
        process = await asyncio.create_subprocess_exec("sleep", "60", stdin=PIPE, stdout=PIPE)

    loop = rondeau.new_event_loop()
    loop.run_until_complete(main())
    stdin, stdout = (process._transport.get_pipe_transport(number) for number in (0, 1))
    stdin.close()
    stdout.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    process._transport.close()
    assert process._transport._proc.wait() == -signal.SIGKILL


def test_input_goes_to_the_first_communicate_only():
    async def main():
        process = await rondeau.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        task = rondeau.create_task(process.communicate(b"soup" * 50_000))
        await rondeau.sleep(0)
        task.cancel()
        await rondeau.wait([task])
        with pytest.raises(ValueError, match="Cannot send input after starting communication"):
            await process.communicate(b"roast")
        out, err = await process.communicate()
        assert (out, err, process.returncode) == (b"soup" * 50_000, None, 0)
        assert await process.communicate() == (b"", None)

    rondeau.run(main())


def test_without_input_the_childs_input_is_closed():
    async def main():
        process = await rondeau.create_subprocess_shell("cat; echo end", stdin=PIPE, stdout=PIPE)
        return await process.communicate()

    assert rondeau.run(main()) == (b"end\n", None)
