"""add_reader and add_writer: level-triggered, one callback per direction, on sockets, pipes and bare numbers."""

import asyncio
import gc
import os
import socket
import weakref

import pytest

import rondeau


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def test_a_reader_is_called_while_there_is_something(compare, pair):
    async def body(note):
        ours, theirs = pair
        loop = asyncio.get_running_loop()
        eaten = asyncio.Event()
        left = list("soup")

        def readable(*args):
            note("readable", args, ours.recv(1))
            left.pop()
            if not left:
                note(loop.remove_reader(ours))
                eaten.set()

        loop.add_reader(ours, readable, "argument")
        theirs.send(b"soup")
        await eaten.wait()

    compare(body)


def test_level_triggered(compare, pair):
    async def body(note):
        ours, theirs = pair
        loop = asyncio.get_running_loop()
        times = []
        done = loop.create_future()

        def readable():
            times.append(1)  # Nothing is read: it stays readable.
            if len(times) == 3:
                loop.remove_reader(ours)
                done.set_result(None)

        loop.add_reader(ours, readable)
        theirs.send(b"x")
        await done
        note(len(times), ours.recv(10))

    assert compare(body) == [(3, b"x")]


def test_a_writer(compare, pair):
    async def body(note):
        ours, _ = pair
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.add_writer(ours.fileno(), done.set_result, "writable")
        note(await done, loop.remove_writer(ours.fileno()), loop.remove_writer(ours.fileno()))

    compare(body)


def test_both_directions(compare, pair):
    async def body(note):
        ours, theirs = pair
        loop = asyncio.get_running_loop()
        read, written = loop.create_future(), loop.create_future()

        def readable():
            loop.remove_reader(ours)
            read.set_result(ours.recv(10))

        def writable():
            loop.remove_writer(ours)
            written.set_result(None)

        loop.add_reader(ours, readable)
        loop.add_writer(ours, writable)
        await written
        theirs.send(b"x")
        note(await read)
        note(loop.remove_reader(ours), loop.remove_writer(ours))

    compare(body)


def test_replacing_a_callback(compare, pair):
    async def body(note):
        ours, theirs = pair
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.add_reader(ours, note, "replaced")
        loop.add_reader(ours, lambda: (note("second"), loop.remove_reader(ours), done.set()))
        theirs.send(b"x")
        await done.wait()

    assert compare(body) == ["second"]


def test_removing_before_it_runs(compare, pair):
    async def body(note):
        ours, theirs = pair
        loop = asyncio.get_running_loop()
        theirs.send(b"x")
        loop.add_reader(ours, note, "must not run")
        note(loop.remove_reader(ours), loop.remove_reader(ours))
        for _ in range(100):
            await asyncio.sleep(0)

    assert compare(body) == [(True, False)]


def test_one_callback_removes_the_others(run):
    """Both are ready in the same turn; the first removes the second, which then must not run."""

    async def main():
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        seen = []

        def readable(me, other):
            seen.append(me)
            loop.remove_reader(pairs[me][0])
            loop.remove_reader(pairs[other][0])

        loop.add_reader(pairs[0][0], readable, 0, 1)
        loop.add_reader(pairs[1][0], readable, 1, 0)
        for _, theirs in pairs:
            theirs.send(b"x")
        while not seen:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        for both in pairs:
            for sock in both:
                sock.close()
        return len(seen)

    assert run(main()) == 1


def test_end_of_file_and_hang_up(compare, pair):
    async def body(note):
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.add_reader(ours, lambda: (loop.remove_reader(ours), done.set_result(ours.recv(10))))
        theirs.close()
        note(await done)
        ours.close()
        read_end, write_end = os.pipe()
        done = loop.create_future()
        loop.add_writer(write_end, lambda: (loop.remove_writer(write_end), done.set_result("hung up")))
        os.close(read_end)
        note(await done)
        os.close(write_end)

    compare(body)


def test_pipes(run):
    async def main():
        loop = asyncio.get_running_loop()
        read_end, write_end = os.pipe()
        done = loop.create_future()
        loop.add_reader(read_end, lambda: (loop.remove_reader(read_end), done.set_result(os.read(read_end, 10))))
        loop.call_soon(os.write, write_end, b"through")
        assert await done == b"through"
        os.close(read_end)
        os.close(write_end)

    run(main())


def test_a_number_that_is_used_again(run):
    """The descriptor is closed by its owner, the number comes back, and the new one is watched as usual."""

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20):
            ours, theirs = socket.socketpair()
            done = loop.create_future()
            loop.add_reader(ours, lambda sock=ours, done=done: done.done() or done.set_result(sock.recv(10)))
            theirs.send(b"x")
            assert await done == b"x"
            loop.remove_reader(ours)
            ours.close()
            theirs.close()

    run(main())


def test_misuse(compare, tmp_path):
    async def body(note):
        loop = asyncio.get_running_loop()
        with (tmp_path / "file").open("w") as file:
            for wrong in [-1, "text", None, object(), 10_000, file]:
                for add in [loop.add_reader, loop.add_writer]:
                    try:
                        add(wrong, print)
                    except (ValueError, OSError, TypeError) as error:
                        note(type(error).__name__, getattr(error, "errno", None))
            note(loop.remove_reader(10_000), loop.remove_writer(file))

    compare(body)


def test_not_over_a_transport(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        number = ours.fileno()
        for call in [
            lambda: loop.add_reader(number, print),
            lambda: loop.add_writer(number, print),
            lambda: loop.remove_reader(number),
            lambda: loop.remove_writer(number),
        ]:
            try:
                call()
            except RuntimeError as error:
                note(str(error).replace(str(number), "FD").split("transport")[0])
        for call in [lambda: loop.sock_recv(ours, 1), lambda: loop.sock_sendall(ours, b"x")]:
            try:
                await call()
            except RuntimeError as error:
                note(str(error).replace(str(number), "FD").split("transport")[0])
        transport.close()
        theirs.close()
        await asyncio.sleep(0)

    compare(body)


def test_a_callback_that_raises(compare, logged, pair):
    async def body(note):
        ours, theirs = pair
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def fails():
            ours.recv(10)
            loop.remove_reader(ours)
            loop.call_soon(done.set)
            raise ValueError("reader")

        loop.set_exception_handler(lambda _, context: note(sorted(context), context["exception"]))
        loop.add_reader(ours, fails)
        theirs.send(b"x")
        await done.wait()

    compare(body)


def test_many_descriptors(run):
    async def main():
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(200)]
        left = set(range(200))
        done = loop.create_future()

        def readable(number):
            loop.remove_reader(pairs[number][0])
            left.remove(number)
            if not left:
                done.set_result(None)

        for number, (ours, _) in enumerate(pairs):
            loop.add_reader(ours, readable, number)
        for _, theirs in reversed(pairs):
            theirs.send(b"x")
        await done
        for both in pairs:
            for sock in both:
                sock.close()

    run(main())


def test_numbers_that_are_no_descriptors(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        numbers = [-1, -(2**31) - 1, -(10**30), 2**31 - 1, 2**31, 2**32, 2**32 + 5, 2**63, 2**64, 10**30]
        for number in [*numbers, 1.0, None, "x"]:
            for call in (loop.add_reader, loop.remove_reader, loop.add_writer, loop.remove_writer):
                try:
                    note(call(number, print) if call in (loop.add_reader, loop.add_writer) else call(number))
                except Exception as error:
                    note(type(error).__name__, str(error))

    compare(body)


def test_a_number_that_is_cut_short_is_not_anothers(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        with theirs:
            with pytest.raises(OverflowError):
                loop.add_reader(2**32 + ours.fileno(), print)
            assert not loop.remove_reader(2**32 + ours.fileno())
            transport.close()
            await asyncio.sleep(0)

    run(main())


def test_a_transport_that_is_closing_keeps_its_descriptor():
    """asyncio lets a reader in beside it, which then waits on a descriptor that is closed."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        with theirs:
            transport.write(bytes(5_000_000))
            transport.close()
            for call in (loop.add_reader, loop.add_writer):
                with pytest.raises(RuntimeError, match=f"File descriptor {ours.fileno()} is used by transport <"):
                    call(ours, print)
            with pytest.raises(RuntimeError, match="is used by transport <SocketTransport closing"):
                await loop.sock_recv(ours, 1)
            assert not loop.remove_reader(ours)
            transport.abort()
            await asyncio.sleep(0)

    rondeau.run(main())


def test_a_number_that_was_closed_unsaid_and_comes_back(loop_factory):
    """Who asks for the new descriptor is told, and who waited for the old one hears nothing of it."""
    if loop_factory is asyncio.SelectorEventLoop:
        pytest.skip("asyncio keeps the number: it waits for ever, or fails with ENOENT")
    loop = loop_factory()
    told = []
    for old_waits in [("reader",), ("writer",), ("reader", "writer")]:
        old, old_peer = socket.socketpair()
        number = old.fileno()
        for side in old_waits:
            getattr(loop, f"add_{side}")(old, told.append, f"old {side}")
        old.close()
        new, new_peer = socket.socketpair()
        fresh, other = (new, new_peer) if new.fileno() == number else (new_peer, new)
        assert fresh.fileno() == number
        other.send(b"for the reader")
        loop.add_writer(fresh, lambda told=told: (told.append("new writer"), loop.stop()))
        loop.run_forever()
        assert told == ["new writer"], (old_waits, told)
        told.clear()
        assert loop.remove_writer(fresh)
        assert not loop.remove_reader(fresh)
        for sock in (old_peer, new, new_peer):
            sock.close()
    loop.close()


@pytest.mark.parametrize("remove", ["remove_reader", "remove_writer"])
def test_a_closed_file_is_known_again(compare, remove):
    """Also where its number is somebody else's by now. What was never watched is no file any more."""

    async def body(note):
        loop = asyncio.get_running_loop()
        add = getattr(loop, remove.replace("remove", "add"))
        a, b = socket.socketpair()
        other = socket.socket()
        with a, b, other:
            add(a, note, "called")
            number = a.fileno()
            a.close()
            taken = os.dup(b.fileno())
            note(taken == number, getattr(loop, remove)(a))
            other.close()
            for file in (a, other):
                try:
                    note(getattr(loop, remove)(file))
                except ValueError as error:
                    note(str(error))
            os.close(taken)
            await asyncio.sleep(0)

    assert compare(body) == [(True, True), *["Invalid file descriptor: -1"] * 2]


def test_a_file_that_is_watched_is_kept(compare):
    """Until nobody waits in either direction: the loop's reference is the only one."""

    async def body(note):
        loop = asyncio.get_running_loop()
        a, b = socket.socketpair()
        with b:
            number, gone = a.fileno(), weakref.ref(a)
            loop.add_reader(a, note, "called")
            loop.add_writer(number, note, "called")
            del a
            gc.collect()
            note(gone() is not None)
            loop.remove_reader(number)
            note(gone() is not None)
            gone().detach()
            loop.remove_writer(number)
            note(gone() is None)
            os.close(number)

    assert compare(body) == [True, True, True]


def test_a_file_is_kept_by_the_loop_until_it_is_closed(loop_factory):
    a, b = socket.socketpair()
    gone = weakref.ref(a)
    loop = loop_factory()
    loop.add_reader(a, print)
    with b, a:
        pass
    del a
    assert gone() is not None
    loop.close()
    gc.collect()
    assert gone() is None


def test_a_number_that_comes_back_keeps_the_new_file(run):
    """asyncio keeps the old one, and fails."""

    async def main():
        loop = asyncio.get_running_loop()
        if not isinstance(loop, rondeau.EventLoop):
            return
        a, b = socket.socketpair()
        loop.add_reader(a, print)
        number, old = a.fileno(), weakref.ref(a)
        a.close()
        c, d = socket.socketpair()
        with b, c, d:
            assert c.fileno() == number
            called = asyncio.Event()
            loop.add_reader(c, called.set)
            del a
            gc.collect()
            assert old() is None
            d.send(b"x")
            await called.wait()
            c.close()
            assert loop.remove_reader(c)

    run(main())
