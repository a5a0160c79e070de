"""fork: a child that uses its parent's loop is told so and takes nothing from it; processes, threads, interpreters."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import socket
import sys
import threading
import warnings

import pytest

import rondeau
from test_fork import forked

SAID = "this event loop belongs to process {}, and process {} is a fork of it: make a loop of its own here"


def said(function, *arguments):
    """Whether calling it says what is wrong, and where the way out is."""
    try:
        function(*arguments)
    except RuntimeError as error:
        return str(error).startswith(SAID.format(os.getppid(), os.getpid())) and "asyncio.run" in str(error)
    return False


def test_the_child_is_told():
    loop = rondeau.new_event_loop()
    loop.call_soon(loop.stop)
    loop.run_forever()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        async def nothing():
            pass

        def child():
            coroutine = nothing()
            call = loop.sock_recv(ours, 10)
            said_so = [
                said(loop.run_forever),
                said(loop.run_until_complete, coroutine),
                said(loop.add_reader, ours, print),
                said(loop.add_writer, ours, print),
                said(loop.call_soon_threadsafe, print),
                said(call.send, None),
            ]
            coroutine.close()
            return all(said_so) and not loop.is_running() and not loop.remove_reader(ours)

        assert forked(child) == 0
    loop.close()


def test_a_child_of_a_running_loop_is_told():
    async def main():
        loop = asyncio.get_running_loop()
        return forked(lambda: said(loop.run_forever) and not loop.is_running())

    assert rondeau.run(main()) == 0


def test_a_child_that_goes_on_in_its_parents_loop_ends_there():
    """os.fork() in a coroutine, and the child returns from it as if nothing had happened."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        transport.write(b"once")
        loop.call_soon(lambda: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            seen.append(os.fork())
        for _ in range(5):
            await asyncio.sleep(0)
        transport.close()
        await asyncio.sleep(0)

    status = 1
    try:
        rondeau.run(main())
    except RuntimeError as error:
        status = 0 if str(error).startswith(SAID.format(parent, os.getpid())) else 2
    finally:
        if os.getpid() != parent:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(seen[0], 0)[1]) == 0
    with theirs:
        # What the transport held at the fork was sent by the parent alone.
        assert theirs.recv(100) == b"once"
        assert theirs.recv(100) == b""


def test_the_childs_end_leaves_the_parents_connections_alone(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        received = loop.create_future()

        class Once(asyncio.Protocol):
            def data_received(self, data):
                received.set_result(data)

        transport, _ = await loop.create_connection(Once, sock=ours)
        transport.write(b"from the parent")
        waiting = asyncio.create_task(loop.sock_recv(theirs, 1))
        await waiting
        watched = asyncio.Event()
        other, far = socket.socketpair()
        loop.add_reader(other, watched.set)

        def child():
            # As a child's exit would: everything is let go of.
            loop.remove_reader(other)
            transport.abort()
            waiting.cancel()
            return True

        if type(loop) is rondeau.EventLoop:  # asyncio's child would take the parent's descriptors out of its epoll.
            assert forked(child) == 0
        theirs.send(b"still there")
        assert await received == b"still there"
        far.send(b"x")
        await watched.wait()
        assert loop.remove_reader(other)
        transport.close()
        await asyncio.sleep(0)
        for sock in (theirs, other, far):
            sock.close()

    run(main())


def work(number):
    async def inner():
        await asyncio.sleep(0.001)
        return number * 2

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        return runner.run(inner())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_multiprocessing_by_fork_inside_a_running_loop(run):
    async def main():
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=lambda: sender.send(work(21)))
        process.start()
        sender.close()
        ready = asyncio.Event()
        loop.add_reader(receiver.fileno(), ready.set)
        await ready.wait()
        assert receiver.recv() == 42
        assert loop.remove_reader(receiver.fileno())
        receiver.close()
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0
        process.close()

    run(main())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pool_of_processes_as_executor(run):
    async def main():
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            return await asyncio.gather(*(loop.run_in_executor(pool, work, number) for number in range(6)))

    assert run(main()) == [0, 2, 4, 6, 8, 10]


def test_a_signal_to_the_child_is_not_the_parents(run):
    async def main():
        loop = asyncio.get_running_loop()
        told = []
        loop.add_signal_handler(signal.SIGUSR1, told.append, "parent")

        def child():
            signal.signal(signal.SIGUSR1, lambda *_: told.append("child"))
            os.kill(os.getpid(), signal.SIGUSR1)
            return told == ["child"]

        assert forked(child) == 0
        # What the child's signal would have written is there already: a look at the kernel would find it.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            receiving = asyncio.create_task(loop.sock_recv(ours, 1))
            await asyncio.sleep(0)
            theirs.send(b"x")
            await receiving
        await asyncio.sleep(0)
        assert told == []
        loop.remove_signal_handler(signal.SIGUSR1)

    if sys.version_info < (3, 12) and "asyncio" in str(run.__closure__[0].cell_contents):
        pytest.skip("asyncio 3.11 leaves the wake-up descriptor to the child")
    run(main())


def test_loops_in_several_threads_at_once(loop_factory):
    async def talk(number):
        made = []

        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                made.append(transport)

            def data_received(self, data):
                self.transport.write(data)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for round_ in range(50):
            message = b"%d:%d" % (number, round_)
            writer.write(message)
            assert await reader.readexactly(len(message)) == message
            await asyncio.sleep(0)
        assert await asyncio.to_thread(lambda: number) == number
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return number

    def in_thread(number):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            done.append(runner.run(talk(number)))

    done = []
    threads = [threading.Thread(target=in_thread, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(6))


def test_subinterpreters_are_refused():
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters
    else:
        import _xxsubinterpreters as interpreters
    program = (
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "try:\n"
        "    import rondeau\n"
        "except ImportError as error:\n"
        "    text = str(error)\n"
        "    assert 'subinterpreters' in text and 'rondeau' in text, text\n"
        "else:\n"
        "    raise AssertionError('imported')\n"
    )
    kinds = ["legacy", "isolated"] if sys.version_info >= (3, 13) else [False, True]
    for kind in kinds:
        identifier = interpreters.create(kind) if sys.version_info >= (3, 13) else interpreters.create(isolated=kind)
        try:
            failed = interpreters.run_string(identifier, program)
            assert failed is None, failed
        finally:
            interpreters.destroy(identifier)
