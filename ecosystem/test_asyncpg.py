"""asyncpg against PostgreSQL: its protocol is Cython on a transport; TLS is `loop.start_tls` after a byte in the clear."""

import asyncio
import ssl

import asyncpg
import pytest


def way(server, kind):
    if kind == "unix":
        return {"host": str(server.folder), "port": server.port}
    context = False
    if kind == "tls":
        context = ssl.create_default_context(cafile=server.authority)
    return {"host": "127.0.0.1", "port": server.port, "ssl": context}


@pytest.fixture(params=["unix", "tcp", "tls"])
def where(request, postgres):
    return {"user": "rondeau", "database": "postgres"} | way(postgres, request.param)


def test_two_hundred_queries_over_a_pool_of_ten(compare, where):
    async def body():
        async with asyncpg.create_pool(min_size=10, max_size=10, **where) as pool:

            async def one(number):
                text = "ß" * (number * 101)
                query = "select $1::int as number, upper($2) as text, pg_sleep(0.001)"
                row = await pool.fetchrow(query, number, text)
                return row["number"], row["text"] == text.upper().replace("SS", "ß") or len(row["text"])

            found = await asyncio.gather(*(one(number) for number in range(200)))
            return found, pool.get_size()

    found, size = compare(body)
    assert [number for number, _ in found] == list(range(200))
    assert all(text is True for _, text in found)
    assert size == 10


def test_transactions_copies_and_cursors(compare, where):
    async def body():
        connection = await asyncpg.connect(**where)
        log = []
        await connection.execute("create temporary table dish (name text, minutes int)")
        log.append(await connection.copy_records_to_table("dish", records=[(f"soup {n}", n) for n in range(20_000)]))
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("delete from dish")
                await connection.execute("select 1 / 0")
        log.append(await connection.fetchval("select count(*) from dish"))
        async with connection.transaction():
            total = 0
            async for row in connection.cursor("select minutes from dish", prefetch=500):
                total += row["minutes"]
        log.append(total)
        pieces = []

        async def keep(piece):
            pieces.append(len(piece))
            await asyncio.sleep(0)

        await connection.copy_from_query("select name, minutes from dish", output=keep)
        log.append(sum(pieces))
        await connection.close()
        return log

    lines = sum(len(f"soup {n}\t{n}\n") for n in range(20_000))
    assert compare(body) == ["COPY 20000", 20_000, sum(range(20_000)), lines]


def test_a_time_out_cancels_the_query_on_the_server(compare, where):
    async def body():
        async with asyncpg.create_pool(min_size=2, max_size=2, **where) as pool:
            with pytest.raises(TimeoutError):
                await pool.execute("select 'stew', pg_sleep(60)", timeout=0.2)
            task = asyncio.create_task(pool.execute("select 'stew', pg_sleep(60)"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(task)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            still = "state = 'active' and query like '%''stew''%pg_sleep%' and pid <> pg_backend_pid()"
            while await pool.fetchval(f"select count(*) from pg_stat_activity where {still}"):
                await asyncio.sleep(0.01)
            return await asyncio.gather(*(pool.fetchval("select 1") for _ in range(20)))

    assert compare(body) == [1] * 20


def test_notifications_come_while_others_work(compare, where):
    async def body():
        heard, listener, speaker = asyncio.Queue(), await asyncpg.connect(**where), await asyncpg.connect(**where)
        await listener.add_listener("orders", lambda connection, pid, channel, payload: heard.put_nowait(payload))
        for number in range(50):
            await speaker.execute("select pg_notify('orders', $1)", f"soup {number}")
        found = [await heard.get() for _ in range(50)]
        await listener.close()
        await speaker.close()
        return found

    assert compare(body) == [f"soup {number}" for number in range(50)]


def test_a_connection_that_the_server_ends(compare, where):
    async def body():
        one, other = await asyncpg.connect(**where), await asyncpg.connect(**where)
        ended = asyncio.Event()
        one.add_termination_listener(lambda connection: ended.set())
        waiting = asyncio.create_task(one.execute("select pg_sleep(60)"))
        active = "select 1 from pg_stat_activity where pid = $1 and state = 'active' and query like '%pg_sleep%'"
        while not await other.fetchval(active, one.get_server_pid()):
            await asyncio.sleep(0.001)
        await other.execute("select pg_terminate_backend($1)", one.get_server_pid())
        with pytest.raises(asyncpg.PostgresError):  # Whether by the server's last message or by the end of the connection.
            await waiting
        await ended.wait()
        await other.close()
        return one.is_closed()

    assert compare(body)
