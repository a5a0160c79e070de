"""Asynchronous generators: those that a program drops are closed by the loop, as asyncio closes them."""

import asyncio
import gc
import sys

import pytest


def test_a_dropped_generator_is_closed(compare):
    async def body(note):
        async def menu():
            try:
                yield "soup"
                yield "roast"
            finally:
                await asyncio.sleep(0)
                note("cleared")

        async for course in menu():
            note(course)
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        note("end")

    assert compare(body) == ["soup", "cleared", "end"]


def test_the_end_of_the_program_closes_what_is_open(compare):
    async def body(note):
        async def menu():
            try:
                yield "soup"
            finally:
                note("cleared")

        kept.append(menu())
        note(await anext(kept[-1]))

    kept = []
    assert compare(body) == ["soup", "cleared"]


def test_a_generator_that_fails_to_close(compare, logged):
    async def body(note):
        async def menu():
            try:
                yield "soup"
            finally:
                raise ValueError("spilt")

        kept.append(menu())
        note(await anext(kept[-1]))
        note("end")

    kept = []
    compare(body)
    assert len(logged) == 2
    assert logged[0] == logged[1]
    assert "an error occurred during closing of asynchronous generator" in logged[0]


def test_hooks_are_ours_only_while_the_loop_runs(run):
    before = sys.get_asyncgen_hooks()

    async def main():
        assert sys.get_asyncgen_hooks() != before
        assert sys.get_asyncgen_hooks().firstiter is not None

    run(main())
    assert sys.get_asyncgen_hooks() == before


def test_started_after_the_shutdown(loop):
    async def menu():
        yield 1

    async def main():
        await loop.shutdown_asyncgens()
        generator = menu()
        with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
            await anext(generator)
        await generator.aclose()

    loop.run_until_complete(main())
