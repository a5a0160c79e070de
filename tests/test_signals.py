"""add_signal_handler, and Ctrl-C as asyncio.Runner has it. Signals go to this process, or to a child."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import rondeau

ARM_OF = {"asyncio": "asyncio.SelectorEventLoop", "rondeau": "rondeau.new_event_loop"}


@pytest.fixture(autouse=True)
def same_handlers_afterwards():
    watched = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGALRM]
    before = [signal.getsignal(number) for number in watched]
    yield
    assert [signal.getsignal(number) for number in watched] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_handler_is_called_on_the_loop(run):
    async def main():
        loop = asyncio.get_running_loop()
        caught = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, lambda *args: caught.set_result((args, asyncio.get_running_loop())), 1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert await caught == ((1,), loop)
        assert loop.remove_signal_handler(signal.SIGUSR1)
        assert not loop.remove_signal_handler(signal.SIGUSR1)

    run(main())


def test_a_signal_wakes_a_loop_that_sleeps_for_ever(loop):
    seen = []
    me = threading.get_ident()
    loop.add_signal_handler(signal.SIGUSR1, lambda: (seen.append("usr1"), loop.stop()))
    thread = threading.Thread(target=lambda: (asleep.wait(), signal.pthread_kill(me, signal.SIGUSR1)))
    asleep = threading.Event()
    thread.start()
    loop.call_soon(asleep.set)
    loop.run_forever()
    thread.join()
    loop.remove_signal_handler(signal.SIGUSR1)
    assert seen == ["usr1"]


def test_a_plain_signal_handler_runs_while_the_loop_sleeps(loop):
    """signal.signal without the loop: the interrupted wait runs Python's handler, then goes on waiting."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: (seen.append("alarm"), loop.call_soon_threadsafe(loop.stop)))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    loop.run_forever()
    signal.signal(signal.SIGALRM, before)
    assert seen == ["alarm"]


def test_a_plain_handler_may_raise_out_of_the_loop(loop):
    class Alarm(BaseException):
        pass

    def ring(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with pytest.raises(Alarm):
        loop.run_forever()
    signal.signal(signal.SIGALRM, before)
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_signal_just_before_the_wait_raises_out_of_the_loop():
    """No Python code runs between the two. (asyncio's own does, and reports what the handler raises, or raises it.)"""

    class Alarm(BaseException):
        pass

    def ring(*_):
        raise Alarm

    loop = rondeau.new_event_loop()
    before = signal.signal(signal.SIGUSR1, ring)
    loop.call_soon(getattr(ctypes.CDLL(None), "raise"), int(signal.SIGUSR1))
    loop.call_later(30, loop.stop)
    with pytest.raises(Alarm):
        loop.run_forever()
    signal.signal(signal.SIGUSR1, before)
    loop.close()


def test_several_signals_and_replacement(run):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        done = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "replaced")
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "usr1")
        loop.add_signal_handler(signal.SIGUSR2, lambda: (seen.append("usr2"), done.set()))
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        await done.wait()
        # close() removes the two.
        return sorted(seen)

    assert run(main()) == ["usr1", "usr2"]


def test_a_signal_handler_that_raises(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()

        def fail():
            loop.call_soon(passed.set)
            raise ValueError("in a signal")

        passed = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, fail)
        os.kill(os.getpid(), signal.SIGUSR1)
        await passed.wait()
        loop.remove_signal_handler(signal.SIGUSR1)

    compare(body)
    assert logged[0] == logged[1]


def test_misuse(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        async def coroutine():
            pass

        for number, handler in [
            ("SIGUSR1", print),
            (0, print),
            (1000, print),
            (signal.SIGKILL, print),
            (signal.SIGUSR1, coroutine),
        ]:
            try:
                loop.add_signal_handler(number, handler)
            except (TypeError, ValueError, RuntimeError) as error:
                note(type(error).__name__, error)
        for number in ["SIGUSR1", 0, 1000]:
            try:
                note(loop.remove_signal_handler(number))
            except (TypeError, ValueError) as error:
                note(type(error).__name__, error)

    compare(body)


def test_only_in_the_main_thread(loop_factory):
    errors = []

    def other():
        loop = loop_factory()
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except (ValueError, RuntimeError) as error:
            errors.append(str(error))
        loop.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert errors == ["set_wakeup_fd only works in main thread of the main interpreter"]


def child(arm, body, **options):
    """A Python process that runs `main` of `body` on the arm and is sent signals by itself."""
    program = (
        f"import asyncio, os, signal, rondeau\n{textwrap.dedent(body)}\n"
        f"with asyncio.Runner(loop_factory={ARM_OF[arm]}) as runner:\n    runner.run(main())\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("arm", ARM_OF)
def test_ctrl_c_cancels_the_main_task(arm):
    done = child(
        arm,
        """
        async def main():
            try:
                asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled")
                await asyncio.sleep(0)
                print("cleaned up")
                raise
        """,
    )
    assert done.stdout == "cancelled\ncleaned up\n"
    assert done.returncode == -signal.SIGINT
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("arm", ARM_OF)
def test_ctrl_c_from_outside_while_the_loop_sleeps(arm):
    program = f"""
import asyncio, rondeau
async def main():
    print("asleep", flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        print("cleaned up")
with asyncio.Runner(loop_factory={ARM_OF[arm]}) as runner:
    try:
        runner.run(main())
    except KeyboardInterrupt:
        print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "cleaned up\ninterrupted\n"
    assert process.returncode == 0


@pytest.mark.parametrize("arm", ARM_OF)
def test_ctrl_c_interrupts_a_coroutine_that_computes(arm):
    done = child(
        arm,
        """
        async def main():
            async def compute():
                signal.raise_signal(signal.SIGINT)
                while True:
                    await asyncio.sleep(0)
            await compute()
        """,
    )
    assert done.returncode == -signal.SIGINT


@pytest.mark.parametrize("arm", ARM_OF)
def test_a_second_ctrl_c_does_not_wait(arm):
    done = child(
        arm,
        """
        async def main():
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("first", flush=True)
                signal.raise_signal(signal.SIGINT)
                print("not reached")
        """,
    )
    assert done.stdout == "first\n"
    assert done.returncode == -signal.SIGINT
