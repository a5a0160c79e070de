"""Random chunks against random reads: the native reader gives what asyncio's gives, and leaves what it leaves."""

import asyncio
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

import rondeau

# Few letters, so that separators are found, found late, and nearly found.
data = st.lists(st.sampled_from([b"a", b"b", b"\n", b"--", b"-", b"ab\n", b"aaaaaaaa"]), max_size=30).map(b"".join)
separator = st.sampled_from([b"\n", b"-", b"--", b"ab", b"aaab"])
separators = separator
if sys.version_info >= (3, 13):
    separators = separator | st.lists(separator, min_size=1, max_size=3).map(tuple)
read = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 20)),
    st.tuples(st.just("readexactly"), st.integers(0, 20)),
    st.tuples(st.just("readline")),
    st.tuples(st.just("readuntil"), separators),
    st.tuples(st.just("__anext__")),
)
step = st.one_of(
    read.map(lambda each: ("read", each)),
    data.map(lambda each: ("feed", each)),
    st.just(("give way",)),
    st.just(("cancel",)),
    st.just(("look",)),  # `_buffer` is asked for: from then on the reader lives in a bytearray.
)


class Transport:
    def __init__(self, trace):
        self.trace = trace

    def pause_reading(self):
        self.trace.append("pause")

    def resume_reading(self):
        self.trace.append("resume")


def described(error):
    return type(error).__name__, str(error), getattr(error, "partial", None), getattr(error, "consumed", None)


async def run(aio, limit, steps, trace):
    reader = aio.StreamReader(limit=limit)
    reader.set_transport(Transport(trace))
    task = None

    async def reading(name, *args):
        try:
            trace.append((name, await getattr(reader, name)(*args)))
        except (Exception, asyncio.CancelledError) as error:
            trace.append((name, described(error)))

    for kind, *what in steps:
        if kind == "read" and (task is None or task.done()):
            task = asyncio.create_task(reading(*what[0]))
        elif kind == "feed":
            reader.feed_data(*what)
        elif kind == "give way":
            await asyncio.sleep(0)
        elif kind == "cancel" and task is not None:
            task.cancel()
        elif kind == "look":
            trace.append(bytes(reader._buffer))
        trace.append((reader._paused, reader._waiter is not None))
    await asyncio.sleep(0)
    reader.feed_eof()
    if task is not None:
        await asyncio.wait([task])
    trace.append((await reader.read(), reader.at_eof(), reader._paused))


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 12), st.lists(step, max_size=25))
def test_random_chunks_against_random_reads(limit, steps):
    traces = {}
    for name, aio, factory in (
        ("asyncio", asyncio, asyncio.SelectorEventLoop),
        ("rondeau", rondeau, rondeau.new_event_loop),
        ("mixed", rondeau, asyncio.SelectorEventLoop),
    ):
        traces[name] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run(aio, limit, steps, traces[name]))
    assert traces["rondeau"] == traces["asyncio"]
    assert traces["mixed"] == traces["asyncio"]
