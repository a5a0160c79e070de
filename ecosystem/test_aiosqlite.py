"""aiosqlite: a thread for each database, which answers by `call_soon_threadsafe`."""

import asyncio
import sqlite3

import aiosqlite
import pytest


def test_a_hundred_tasks_on_ten_databases(compare, tmp_path):
    async def body():
        async def one(number):
            async with aiosqlite.connect(":memory:") as database:
                await database.execute("create table dish (name text, minutes int)")

                async def add(turn):
                    await database.execute("insert into dish values (?, ?)", (f"soup {turn}", turn * number))

                await asyncio.gather(*(add(turn) for turn in range(100)))
                await database.commit()
                async with database.execute("select minutes from dish order by minutes") as cursor:
                    return sum([row[0] async for row in cursor])

        return await asyncio.gather(*(one(number) for number in range(10)))

    assert compare(body) == [sum(range(100)) * number for number in range(10)]


def test_errors_rollback_and_two_writers(compare, tmp_path):
    async def body():
        path = tmp_path / "kitchen.db"
        path.unlink(missing_ok=True)
        log = []
        async with aiosqlite.connect(path) as one, aiosqlite.connect(path, timeout=0.05) as other:
            await one.execute("create table dish (name text unique)")
            await one.commit()
            await one.execute("insert into dish values ('soup')")
            with pytest.raises(sqlite3.OperationalError) as locked:
                await other.execute("insert into dish values ('roast')")
            log.append(str(locked.value))
            await one.rollback()
            await other.execute("insert into dish values ('roast')")
            await other.commit()
            with pytest.raises(sqlite3.IntegrityError):
                await one.execute("insert into dish values ('roast')")
            log.append(await (await one.execute("select * from dish")).fetchall())
        return log

    assert compare(body) == ["database is locked", [("roast",)]]


def test_a_cancelled_query_leaves_the_database_usable(compare):
    async def body():
        async with aiosqlite.connect(":memory:") as database:
            endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
            task = asyncio.create_task(database.execute_fetchall(endless))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await database.interrupt()
            return list(await database.execute_fetchall("select 42"))

    assert compare(body) == [(42,)]
