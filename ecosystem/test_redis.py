"""redis-py's asyncio client against a Redis server: asyncio streams, one pool of them."""

import asyncio
import contextlib

import pytest
import redis.asyncio as aioredis
from redis.exceptions import ConnectionError as RedisConnectionError


@pytest.fixture(params=["tcp", "unix"])
def client(request, redis):
    def connect(**options):
        if request.param == "unix":
            return aioredis.Redis(unix_socket_path=str(redis.socket), **options)
        return aioredis.Redis(host="127.0.0.1", port=redis.port, **options)

    @contextlib.asynccontextmanager
    async def empty(**options):
        async with connect(**options) as client:
            await client.flushall()
            yield client

    return empty


def test_two_hundred_at_once(compare, client):
    async def body():
        async with client(max_connections=50) as redis:
            # Values that are larger than a socket's buffer among small ones.
            one = [redis.set(f"pot {number}", b"%d " % number * (number**2)) for number in range(50)]
            await asyncio.gather(*one)
            lengths = await asyncio.gather(*(redis.strlen(f"pot {number}") for number in range(50)))
            big = [len(await redis.get(f"pot {number}")) for number in range(50)]
            counted = []
            for _ in range(4):
                counted += await asyncio.gather(*(redis.incr("count") for _ in range(50)))
            return lengths == big, sum(big), sorted(counted)

    same, total, counted = compare(body)
    assert same
    assert total == sum(len(b"%d " % number) * number**2 for number in range(50))
    assert counted == list(range(1, 201))


def test_pipelines_and_transactions(compare, client):
    async def body():
        async with client() as redis:
            async with redis.pipeline(transaction=False) as pipe:
                for number in range(5000):
                    pipe.set(f"key {number}", number)
                stored = await pipe.execute()

            async def add():
                while True:
                    async with redis.pipeline() as pipe:
                        try:
                            await pipe.watch("total")
                            value = int(await pipe.get("total") or 0)
                            pipe.multi()
                            pipe.set("total", value + 1)
                            await pipe.execute()
                            return
                        except aioredis.WatchError:
                            pass

            await asyncio.gather(*(add() for _ in range(20)))
            found = [key async for key in redis.scan_iter("key 499?")]
            return len(stored), await redis.get("total"), await redis.dbsize(), len(found)

    assert compare(body) == (5000, b"20", 5001, 10)


def test_publish_and_subscribe(compare, client):
    async def body():
        async with client(decode_responses=True) as redis:
            ready = [asyncio.Event() for _ in range(20)]

            async def listen(number):
                heard = []
                async with redis.pubsub() as channel:
                    await channel.psubscribe("orders.*")
                    async for message in channel.listen():
                        if message["type"] == "psubscribe":
                            ready[number].set()
                        elif message["data"] == "end":
                            break
                        else:
                            heard.append((message["channel"], message["data"]))
                return heard

            listeners = [asyncio.create_task(listen(number)) for number in range(20)]
            for event in ready:
                await event.wait()
            for number in range(30):
                assert await redis.publish(f"orders.{number % 3}", f"soup {number}") == 20
            await redis.publish("orders.end", "end")
            return await asyncio.gather(*listeners)

    assert compare(body) == [[(f"orders.{number % 3}", f"soup {number}") for number in range(30)]] * 20


def test_blocking_calls_time_out_and_are_cancelled(compare, client):
    async def body():
        async with client(max_connections=30) as redis:
            late = await redis.blpop("nothing", timeout=0.1)
            waiting = [asyncio.create_task(redis.blpop(f"order {number}", timeout=60)) for number in range(20)]
            while len([one for one in await redis.client_list() if "b" in one["flags"]]) < 20:
                await asyncio.sleep(0.001)
            for task in waiting[:10]:
                task.cancel()
            for number in range(10, 20):
                await redis.lpush(f"order {number}", "soup")
            found = await asyncio.gather(*waiting, return_exceptions=True)
            # A connection whose call was cancelled is not used again for somebody else's answer.
            after = await asyncio.gather(*(redis.echo(f"{number}") for number in range(30)))
            return late, [type(one).__name__ if isinstance(one, BaseException) else list(one) for one in found], after

    late, found, after = compare(body)
    assert late is None
    assert found == ["CancelledError"] * 10 + [[b"order %d" % number, b"soup"] for number in range(10, 20)]
    assert after == [b"%d" % number for number in range(30)]


def test_a_killed_connection_is_an_error_then_made_anew(compare, client):
    async def body():
        async with client(single_connection_client=True, retry=None, retry_on_error=[]) as redis, client() as other:
            ours = await redis.client_id()
            waiting = asyncio.create_task(redis.blpop("nothing", timeout=60))
            while not any(one["id"] == str(ours) and "b" in one["flags"] for one in await other.client_list()):
                await asyncio.sleep(0.001)
            await other.client_kill_filter(_id=ours)
            with pytest.raises(RedisConnectionError) as raised:
                await waiting
            return type(raised.value).__name__, await redis.ping(), await redis.client_id() != ours

    assert compare(body) == ("ConnectionError", True, True)
