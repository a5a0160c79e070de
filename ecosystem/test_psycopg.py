"""psycopg 3 against PostgreSQL: libpq owns the descriptor, and the loop only watches it (add_reader, add_writer)."""

import asyncio

import psycopg
import psycopg_pool
import pytest


@pytest.fixture(params=["unix", "tcp", "tls"])
def where(request, postgres):
    options = {"user": "rondeau", "dbname": "postgres", "port": postgres.port}
    match request.param:
        case "unix":
            options |= {"host": postgres.folder}
        case "tcp":
            options |= {"host": "127.0.0.1", "sslmode": "disable"}
        case "tls":
            options |= {
                "host": "localhost",
                "hostaddr": "127.0.0.1",
                "sslmode": "verify-full",
                "sslrootcert": postgres.authority,
            }
    return psycopg.conninfo.make_conninfo(**{name: str(value) for name, value in options.items()})


def test_two_hundred_queries_over_a_pool_of_ten(compare, where):
    async def body():
        async with psycopg_pool.AsyncConnectionPool(where, min_size=10, max_size=10, open=False) as pool:

            async def one(number):
                async with pool.connection() as connection:
                    cursor = await connection.execute("select %s::int, %s, pg_sleep(0.001)", (number, "x" * number * 101))
                    found = await cursor.fetchone()
                    return found[0], len(found[1])

            return await asyncio.gather(*(one(number) for number in range(200)))

    assert compare(body) == [(number, number * 101) for number in range(200)]


def test_transactions_copies_and_pipelines(compare, where):
    async def body():
        log = []
        async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
            await connection.execute("create temporary table dish (name text, minutes int)")
            async with connection.cursor() as cursor:
                async with cursor.copy("copy dish from stdin") as copy:
                    for number in range(20_000):
                        await copy.write_row((f"soup {number}", number))
                async with cursor.copy("copy dish to stdout") as copy:
                    log.append(sum([len(piece) async for piece in copy]))
            with pytest.raises(psycopg.errors.DivisionByZero):
                async with connection.transaction():
                    await connection.execute("delete from dish")
                    await connection.execute("select 1 / 0")
            async with connection.pipeline():
                cursors = [await connection.execute("select count(*) + %s from dish", (number,)) for number in range(50)]
            log.append([(await cursor.fetchone())[0] for cursor in cursors])
            async with connection.cursor() as cursor:
                total = 0
                async for row in cursor.stream("select minutes from dish"):
                    total += row[0]
            log.append(total)
        return log

    lines = sum(len(f"soup {n}\t{n}\n") for n in range(20_000))
    assert compare(body) == [lines, [20_000 + number for number in range(50)], sum(range(20_000))]


def test_a_cancelled_query_ends_on_the_server(compare, where):
    async def body():
        async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.execute("select 'ragout', pg_sleep(60)")
            # psycopg asks the server to cancel, waits for that, and the connection stays usable.
            still = "state = 'active' and query like '%ragout%' and pid <> pg_backend_pid()"
            counted = await connection.execute(f"select count(*) from pg_stat_activity where {still}")
            return (await counted.fetchone())[0], connection.closed

    assert compare(body) == (0, False)


def test_notifications(compare, where):
    async def body():
        async with (
            await psycopg.AsyncConnection.connect(where, autocommit=True) as listener,
            await psycopg.AsyncConnection.connect(where, autocommit=True) as speaker,
        ):
            await listener.execute("listen orders")

            async def hear():
                return [notice.payload async for notice in listener.notifies(stop_after=50, timeout=60)]

            hearing = asyncio.create_task(hear())
            for number in range(50):
                await speaker.execute("select pg_notify('orders', %s)", (f"soup {number}",))
            return await hearing

    assert compare(body) == [f"soup {number}" for number in range(50)]


def test_a_server_that_is_not_there(compare, postgres):
    async def body():
        with pytest.raises(psycopg.OperationalError) as refused:
            await psycopg.AsyncConnection.connect(f"host={postgres.folder} port=1 user=rondeau", connect_timeout=10)
        return "No such file" in str(refused.value)

    assert compare(body)
