"""Random programs of callbacks, timers and cancellations: both loops run them in the same order."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

# One instruction: what to do, to which callback or timer (counted modulo what there is), after how many ms.
instruction = st.tuples(
    st.sampled_from(["soon", "soon", "later", "later", "cancel", "future", "task", "stop"]),
    st.integers(0, 30),
    st.integers(0, 5),
)


async def play(program, note):
    """Every callback that runs takes the next instructions off the program, so that the order decides what follows."""
    loop = asyncio.get_running_loop()
    instructions = iter(program)
    start = loop.time()
    handles = []
    tasks = []

    def act(name):
        note(name)
        for _ in range(2):
            for what, number, delay in instructions:
                schedule(what, number, delay)
                break

    def schedule(what, number, delay):
        name = f"{what} {len(handles)}"
        if what == "soon":
            handles.append(loop.call_soon(act, name))
        elif what == "later":
            # Absolute times a millisecond apart: equal ones keep their order, others are never that close.
            handles.append(loop.call_at(start + 0.001 * delay, act, name))
        elif what == "cancel" and handles:
            handles[number % len(handles)].cancel()
        elif what == "future":
            future = loop.create_future()
            future.add_done_callback(lambda _: act(name))
            future.add_done_callback(lambda _: note(f"second of {name}"))
            future.cancel() if number % 2 else future.set_result(None)
        elif what == "task":
            tasks.append(asyncio.create_task(step(name, number % 4)))
        elif what == "stop" and tasks:
            tasks[number % len(tasks)].cancel()

    async def step(name, turns):
        try:
            for turn in range(turns):
                note(f"{name} turn {turn}")
                await asyncio.sleep(0)
            act(name)
        except asyncio.CancelledError:
            note(f"{name} cancelled")
            raise

    for what, number, delay in instructions:
        schedule(what, number, delay)
        if number % 3 == 0:
            break
    # Timers compare across loops only when all of them are due at once: hold the thread until they are.
    while loop.time() < start + 0.006:
        pass
    for _ in range(len(program) + 5):
        await asyncio.sleep(0)
        while loop.time() < start + 0.006:
            pass
    await asyncio.gather(*tasks, return_exceptions=True)
    return note


def test_both_loops_run_a_program_in_the_same_order(compare):
    async def body(note, program):
        await play(program, note)

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(st.lists(instruction, max_size=60))
    def check(program):
        compare(body, program)

    check()
