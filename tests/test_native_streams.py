"""The native StreamReader by itself: every read, limits, errors, waiting, and what it is to whoever looks inside."""

import asyncio
import gc
import pickle
import sys
import warnings
import weakref

import pytest

import rondeau


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error


class Transport:
    """What a reader asks of a transport, written down."""

    def __init__(self, note, can_pause=True):
        self.note = note
        self.can_pause = can_pause

    def pause_reading(self):
        self.note("pause")
        if not self.can_pause:
            raise NotImplementedError

    def resume_reading(self):
        self.note("resume")

    def __repr__(self):
        return "<Transport>"


def test_reads_with_the_data_at_hand(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        reader.feed_data(b"line\nuntil;exactly12345some more")
        note(await reader.readline(), await reader.readuntil(b";"), await reader.readexactly(12), await reader.read(4))
        note(await reader.read(0), await reader.readexactly(0), await reader.read(100), reader.at_eof())
        reader.feed_data(b"the rest")
        reader.feed_eof()
        note(reader.at_eof(), await reader.read(), reader.at_eof(), await reader.read(), await reader.read(5))
        note(await reader.readline(), await outcome(reader.readexactly(2)), await outcome(reader.readuntil(b"x")))

    compare_native(body)


def test_reads_that_wait(compare_native):
    async def body(note, aio):
        for read in (
            lambda reader: reader.read(3),
            lambda reader: reader.read(),
            lambda reader: reader.readexactly(7),
            lambda reader: reader.readline(),
            lambda reader: reader.readuntil(b"--"),
            lambda reader: reader.readuntil(separator=b"\r\n"),
            lambda reader: reader.__anext__(),
        ):
            reader = aio.StreamReader()
            task = asyncio.create_task(outcome(read(reader)))
            for piece in (b"ab", b"cd\r", b"\nef-", b"-gh"):
                await asyncio.sleep(0)
                note(task.done(), reader._waiter is not None)
                reader.feed_data(piece)
            await asyncio.sleep(0)
            reader.feed_eof()
            note(await task, reader._waiter, repr(reader))

    compare_native(body)


def test_async_iteration(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        reader.feed_data(b"a\nb\n\nlast")
        reader.feed_eof()
        note([line async for line in reader], aiter(reader) is reader)

    assert compare_native(body) == [([b"a\n", b"b\n", b"\n", b"last"], True)]


def test_the_limit(compare_native):
    async def body(note, aio):
        for data, read in (
            (b"x" * 11 + b"\n", lambda reader: reader.readline()),
            (b"x" * 10 + b"\nnext\n", lambda reader: reader.readline()),
            (b"x" * 12, lambda reader: reader.readline()),
            (b"x" * 11 + b"--", lambda reader: reader.readuntil(b"--")),
            (b"x" * 14, lambda reader: reader.readuntil(b"--")),
            (b"x" * 11 + b"-", lambda reader: reader.readuntil(b"--")),
        ):
            reader = aio.StreamReader(limit=10)
            reader.feed_data(data)
            reader.feed_eof()
            error = await outcome(read(reader))
            note(error, getattr(error, "consumed", None), getattr(error, "__context__", None))
            note(repr(reader), await reader.read(), bytes(reader._buffer))

    compare_native(body)


def test_bad_limits(compare_native):
    async def body(note, aio):
        for limit in (0, -1, "1", None, 0.5, 10**30, True):
            try:
                reader = aio.StreamReader(limit=limit)
                reader.feed_data(b"data\n")
                note(repr(reader), await reader.readline())
            except (TypeError, ValueError) as error:
                note(error)

    compare_native(body)


def test_the_transport_is_paused_at_twice_the_limit(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader(limit=4)
        reader.set_transport(Transport(note))
        for piece in (b"12345678", b"9", b"0"):
            reader.feed_data(piece)
            note(repr(reader))
        note(await reader.read(5), reader._paused)
        note(await reader.read(1), reader._paused)
        reader.feed_data(b"123456")
        note(reader._paused)
        task = asyncio.create_task(reader.readexactly(20))
        await asyncio.sleep(0)
        note("waits", reader._paused)
        reader.feed_data(b"1234567890")
        note(await task, repr(reader))
        try:
            reader.set_transport(Transport(note))
        except AssertionError as error:
            note(error)

    compare_native(body)


def test_a_transport_that_cannot_be_paused_is_asked_once(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader(limit=1)
        reader.set_transport(Transport(note, can_pause=False))
        reader.feed_data(b"123")
        reader.feed_data(b"456")
        note(reader._transport, reader._paused, await reader.read(6))

    assert compare_native(body)[0] == "pause"


def test_only_one_may_wait(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        first = asyncio.create_task(reader.read(1))
        await asyncio.sleep(0)
        for read in (reader.read, reader.readline, reader.readuntil, lambda: reader.readexactly(1), reader.__anext__):
            note(await outcome(read()))
        reader.feed_data(b"x")
        note(await first)

    compare_native(body)


def test_exceptions(compare_native):
    async def body(note, aio):
        for error in (
            ConnectionResetError("gone"),
            asyncio.IncompleteReadError(b"part", 9),
            asyncio.LimitOverrunError("over", 1),
            StopIteration(3),
            None,
        ):
            for waits in (False, True):
                for name in ("read", "readline", "readuntil", "__anext__"):
                    reader = aio.StreamReader()
                    reader.feed_data(b"a\nrest" if not waits else b"")
                    read = getattr(reader, name)
                    task = asyncio.create_task(outcome(read())) if waits else None
                    await asyncio.sleep(0)
                    if error is None:
                        reader.feed_eof()
                    try:
                        reader.set_exception(error)
                    except TypeError as refused:
                        note(name, refused)
                        task.cancel()  # Nobody wakes it any more.
                    note(name, await (task or outcome(read())), reader.exception(), bytes(reader._buffer), reader._waiter)

    compare_native(body)


def test_arguments_that_are_not_the_usual_ones(compare_native):
    async def body(note, aio):
        class Index:
            def __index__(self):
                return 2

        for call in (
            lambda r: r.read(Index()),
            lambda r: r.read(None),
            lambda r: r.read("1"),
            lambda r: r.read(True),
            lambda r: r.read(n=2),
            lambda r: r.read(-5),
            lambda r: r.readexactly(-1),
            lambda r: r.readexactly(2.0),
            lambda r: r.readexactly(n=3),
            lambda r: r.readexactly(10**30),
            lambda r: r.readuntil(b""),
            lambda r: r.readuntil("-"),
            lambda r: r.readuntil(bytearray(b"-")),
            lambda r: r.readuntil(memoryview(b"-")),
            lambda r: r.readuntil(5),
        ):
            reader = aio.StreamReader()
            reader.feed_data(b"some-data")
            reader.feed_eof()
            note(await outcome(call(reader)), bytes(reader._buffer))
        for call in (
            lambda r: r.read(1, 2),
            lambda r: r.readexactly(),
            lambda r: r.read(m=1),
            lambda r: r.read(1, n=1),
            lambda r: r.readline(1),
        ):
            with pytest.raises(TypeError):
                call(aio.StreamReader())

    compare_native(body)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a tuple of separators came with 3.13")
def test_several_separators(compare_native):
    async def body(note, aio):
        for separators in (
            (b"\n", b"\r\n"),
            (b"--", b"-", b"="),
            (b"abc",),
            (),
            (b"", b"x"),
            (b"x", 3),
            ("x",),
            (b"=", b"ata-d"),
        ):
            reader = aio.StreamReader(limit=8)
            task = asyncio.create_task(outcome(reader.readuntil(separators)))
            for piece in (b"da", b"ta-", b"-data=", b"x\r", b"\n"):
                await asyncio.sleep(0)
                if not task.done():
                    reader.feed_data(piece)
            reader.feed_eof()
            error = await task
            note(separators, error, getattr(error, "consumed", None), bytes(reader._buffer))

    compare_native(body)


def test_a_read_that_is_never_awaited_takes_nothing_and_warns(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        reader.feed_data(b"data")
        for name in ("read", "readline", "readuntil", "__anext__"):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                getattr(reader, name)()
                gc.collect()
            note([str(each.message) for each in caught])
        reader.read(1).close()
        note(await reader.read(9))

    compare_native(body)


def test_a_read_is_a_coroutine(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        read = reader.read(2)
        note(aio.iscoroutine(read), read.__name__, read.__qualname__, read.cr_running, hasattr(read, "__next__"))
        note(repr(read), weakref.ref(read)() is read)
        with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
            read.send(1)
        waiter = read.send(None)
        note(waiter is reader._waiter, waiter._asyncio_future_blocking)
        waiter._asyncio_future_blocking = False
        again = asyncio.create_task(outcome(use(read)))
        note(await again)
        reader.feed_data(b"ab")
        try:
            read.send(None)
        except StopIteration as stop:
            note(stop.value, stop.args)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            read.send(None)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await read

        thrown = reader.readline()
        with pytest.raises(KeyError):
            thrown.throw(KeyError("k"))
        waits = reader.readline()
        waits.send(None)._asyncio_future_blocking = False
        with pytest.raises(KeyError):
            waits.throw(KeyError("k"))
        note(reader._waiter)
        waits = reader.readline()
        waits.send(None)._asyncio_future_blocking = False
        waits.close()
        note(reader._waiter)
        waits = reader.readline()
        waits.send(None)._asyncio_future_blocking = False
        del waits
        note(reader._waiter)

    async def use(coroutine):
        return await coroutine

    compare_native(body)


def test_reads_in_tasks_time_outs_and_gathers(compare_native):
    async def body(note, aio):
        reader, other = aio.StreamReader(), aio.StreamReader()
        other.feed_data(b"other")
        note(await asyncio.gather(reader.read(1), other.readexactly(3), feed(reader)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.001)
        note(repr(reader), reader._waiter)
        note(await asyncio.wait_for(reader.read(1), None) if reader._buffer else "empty")
        task = asyncio.create_task(reader.readline())
        await asyncio.sleep(0)
        reader.feed_data(b"kept\n")
        task.cancel()
        note(await outcome(task), await reader.readline())

    async def feed(reader):
        reader.feed_data(b"1")

    compare_native(body)


def test_what_looks_inside_is_believed(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        reader.feed_data(b"abcdef")
        reader._buffer.extend(b"gh\n")
        del reader._buffer[:2]
        note(bytes(reader._buffer), type(reader._buffer), await reader.read(1), await reader.readline())
        reader.feed_data(b"xyz")
        note(bytes(reader._buffer), reader._buffer is reader._buffer)
        reader._buffer = bytearray(b"put there\n")
        note(await reader.readexactly(4), await reader.readline())
        reader.feed_data(b"held")
        view = memoryview(reader._buffer)
        note(await outcome(reader.read(2)))
        view.release()
        note(await reader.read(9), reader._limit, reader._eof, reader._paused, reader._exception, reader._transport)
        reader._limit = 2
        reader.feed_data(b"long\n")
        note(await outcome(reader.readline()), repr(reader))
        reader._eof = True
        note(reader.at_eof(), await reader.read())
        try:
            reader.feed_data(b"late")
        except AssertionError as error:
            note(error)
        reader._exception = ValueError("set")
        note(await outcome(reader.read()), reader.exception())

    compare_native(body)


def test_odd_data(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        for data in (
            bytearray(b"ab"),
            memoryview(b"cd"),
            [101, 102],
            b"",
            bytearray(),
            memoryview(b""),
            type("B", (bytes,), {})(b"gh"),
        ):
            reader.feed_data(data)
            note(bytes(reader._buffer))
        for data in ("text", [300], 3, object()):
            try:
                reader.feed_data(data)
            except (TypeError, ValueError) as error:
                note(type(error).__name__)
        reader.feed_data(None)
        note(await reader.read(100))

    compare_native(body)


def test_subclasses_are_asked(compare_native):
    async def body(note, aio):
        class Loud(aio.StreamReader):
            async def readuntil(self, separator=b"\n"):
                note("readuntil", separator)
                return await super().readuntil(separator)

            def feed_data(self, data):
                note("feed", data)
                super().feed_data(data)

            async def _wait_for_data(self, name):
                note("wait", name)
                await super()._wait_for_data(name)

        class Quiet(aio.StreamReader):
            extra = 1

        for kind in (Loud, Quiet):
            reader = kind(limit=100)
            reader.more = 2
            task = asyncio.create_task(reader.readline())
            await asyncio.sleep(0)
            reader.feed_data(b"line\nrest")
            note(await task, await reader.read(2), isinstance(reader, asyncio.StreamReader), reader.more)

    compare_native(body)


def test_a_method_replaced_on_one_reader_counts(compare_native):
    async def body(note, aio):
        async def wait(name):
            note("waits", name)
            reader.feed_data(b"given\n")

        reader = aio.StreamReader()
        reader._wait_for_data = wait
        note(await reader.readline())

    assert compare_native(body) == [("waits", "readuntil"), b"given\n"]


def test_never_initialised(compare_native):
    async def body(note, aio):
        class Forgot(aio.StreamReader):
            def __init__(self):
                pass

        reader = Forgot()
        for call in (
            lambda: reader._buffer,
            reader.at_eof,
            lambda: reader.feed_data(b"x"),
            reader.exception,
            lambda: reader._eof,
        ):
            try:
                call()
            except AttributeError as error:
                note(error)
        note(type(await outcome(reader.read(1))).__name__, type(await outcome(reader.readline())).__name__)

    trace = compare_native(body)
    assert len(trace) == 6


def test_in_debug_mode_it_knows_where_it_was_made(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        note(reader._source_traceback[-1].name, reader._source_traceback[-1].filename == __file__)
        protocol = aio.StreamReaderProtocol(reader)
        note(protocol._source_traceback is reader._source_traceback)

    compare_native(body, debug=True)


def test_it_is_not_pickled_and_can_be_weakly_referred_to(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        for thing in (reader, reader.read(1)):
            with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
                pickle.dumps(thing)
            if thing is not reader:
                thing.close()
        gone = weakref.ref(reader)
        del reader, thing
        note(gone() is None)

    assert compare_native(body) == [True]


def test_cycles_are_collected(compare_native):
    async def body(note, aio):
        reader = aio.StreamReader()
        reader.me = reader
        reader.read_later = reader.read(1)
        waits = reader.readline()
        waits.send(None)._asyncio_future_blocking = False
        reader.waits = waits
        gone = weakref.ref(reader)
        reader.read_later.close()
        del reader, waits
        gc.collect()
        note(gone() is None)

    assert compare_native(body) == [True]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 makes a loop where there is none")
def test_without_a_loop():
    with pytest.raises((RuntimeError, DeprecationWarning)):
        asyncio.StreamReader()
    with pytest.raises((RuntimeError, DeprecationWarning)):
        rondeau.StreamReader()


def test_the_classes_are_asyncios_too():
    for name in ("StreamReader", "StreamWriter", "StreamReaderProtocol"):
        native, theirs = getattr(rondeau, name), getattr(asyncio, name)
        assert issubclass(native, theirs)
        assert native is not theirs
        assert native.__name__ == name
        public = {each for each in vars(theirs) if not each.startswith("__") and callable(vars(theirs)[each])}
        assert all(callable(getattr(native, each)) for each in public)
