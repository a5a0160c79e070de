"""httpx (by way of anyio's streams) against a server of `asyncio.start_server` that does what it is told, byte by byte."""

import asyncio
import contextlib

import httpx
import pytest


@contextlib.asynccontextmanager
async def serving(handle, tls=None):
    """Calls `handle(head, reader, writer)` for each request of each connection until it returns False."""
    tasks = set()

    async def connection(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await handle((await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer):
                    await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=tls and tls.server())
    try:
        yield f"http{'s' if tls else ''}://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def field(head, name):
    return next((line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith(name)), None)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_hundred_and_fifty_requests_over_ten_connections(compare, certificates, tls):
    async def body():
        connections = set()

        async def echo(head, reader, writer):
            connections.add(writer)
            content = await reader.readexactly(int(field(head, "content-length") or 0))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
            writer.write(content[::-1])
            return True

        async with serving(echo, certificates if tls else None) as url:
            limits = httpx.Limits(max_connections=10, max_keepalive_connections=10)
            async with httpx.AsyncClient(verify=certificates.client(), limits=limits, timeout=60) as client:

                async def one(number):
                    sent = b"%d " % number * 500
                    return (await client.post(url, content=sent)).content == sent[::-1]

                right = await asyncio.gather(*(one(number) for number in range(150)))
            return right, len(connections)

    right, connections = compare(body)
    assert right == [True] * 150
    assert connections == 10


@pytest.mark.parametrize("how", ["connect", "read", "write", "pool"])
def test_each_time_out_is_its_own(compare, certificates, how):
    async def body():
        release = asyncio.Event()

        async def stall(head, reader, writer):
            await release.wait()
            return False

        # A listener whose backlog is full takes no further connection: connect(2) waits.
        full = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=1, start_serving=False)
        async with serving(stall) as url:
            if how == "connect":
                url = url.replace("http:", "https:")  # The server waits for a head and never shakes hands.
            limits = httpx.Limits(max_connections=1 if how == "pool" else 10)
            timeout = httpx.Timeout(60, **{how: 0.2})
            async with httpx.AsyncClient(limits=limits, timeout=timeout, verify=certificates.client()) as client:
                other = None
                if how == "pool":
                    other = asyncio.create_task(client.get(url))
                    await asyncio.sleep(0)
                with pytest.raises(httpx.TimeoutException) as raised:
                    await client.post(url, content=b"x" * (64 << 20 if how == "write" else 10))
                release.set()
                if other:
                    with pytest.raises(httpx.RemoteProtocolError):
                        await other
        full.close()
        return type(raised.value).__name__

    assert (
        compare(body)
        == {"connect": "ConnectTimeout", "read": "ReadTimeout", "write": "WriteTimeout", "pool": "PoolTimeout"}[how]
    )


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_response_left_half_read_frees_its_connection(compare, certificates, tls):
    async def body():
        async def endless(head, reader, writer):
            if "/end" in head.splitlines()[0]:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend")
                return True
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()

        async with serving(endless, certificates if tls else None) as url:
            limits = httpx.Limits(max_connections=2)
            async with httpx.AsyncClient(verify=certificates.client(), limits=limits, timeout=60) as client:
                lengths = []
                for _ in range(10):
                    async with client.stream("GET", url) as answer:
                        lengths.append(len(await anext(answer.aiter_bytes(100_000))))
                return lengths, (await client.get(f"{url}/end")).text

    assert compare(body) == ([100_000] * 10, "end")


def test_cancelled_requests_leave_the_pool_usable(compare):
    async def body():
        async def sometimes(head, reader, writer):
            if "/never" in head.splitlines()[0]:
                await asyncio.Event().wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return True

        async with serving(sometimes) as url, httpx.AsyncClient(limits=httpx.Limits(max_connections=5), timeout=60) as client:
            for turns in range(30):
                task = asyncio.create_task(client.get(f"{url}/never"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return [answer.text for answer in await asyncio.gather(*(client.get(url) for _ in range(20)))]

    assert compare(body) == ["ok"] * 20


def test_a_server_that_ends_early_is_an_error(compare):
    async def body():
        async def short(head, reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            return False

        async with serving(short) as url, httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError) as raised:
                await client.get(url)
            return str(raised.value)

    assert "peer closed connection without sending complete message body" in compare(body)
