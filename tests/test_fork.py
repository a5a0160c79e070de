"""fork: the child does not hold on to the parent's loop, and can run one of its own."""

import asyncio
import os
import warnings


def forked(child):
    """Run `child` in a fork; its exit status is 0 when it returned True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # A thread somewhere: this child execs nothing.
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if child() is True else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_of_a_running_loop_runs_its_own(run, loop_factory):
    async def main():
        def child():
            async def inner():
                await asyncio.sleep(0.001)
                return await asyncio.to_thread(lambda: 42)

            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(inner()) == 42

        assert asyncio.get_running_loop() is not None
        assert forked(child) == 0
        # The parent's loop still works: its descriptors were not the child's to disturb.
        await asyncio.sleep(0.001)
        assert await asyncio.to_thread(lambda: 1) == 1

    run(main())


def test_a_child_has_no_running_loop(run):
    async def main():
        assert forked(lambda: asyncio._get_running_loop() is None) == 0

    run(main())


def test_a_child_may_close_the_loop_it_inherited(loop):
    loop.call_later(60, print)
    loop.call_soon(loop.stop)
    loop.run_forever()

    def child():
        loop.close()
        return loop.is_closed()

    assert forked(child) == 0
    seen = []
    loop.call_later(0.001, lambda: (seen.append("timer"), loop.stop()))
    loop.call_soon_threadsafe(seen.append, "threadsafe")
    loop.run_forever()
    assert seen == ["threadsafe", "timer"]
