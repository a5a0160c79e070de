"""grpc.aio: its core polls in a thread of its own and wakes the loop through a descriptor (add_reader).

The four kinds of calls by generic handlers, so that no code is generated.
"""

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest


class Kitchen(grpc.GenericRpcHandler):
    def __init__(self):
        self.cancelled = asyncio.Event()
        self.methods = {
            "/kitchen/One": grpc.unary_unary_rpc_method_handler(self.one),
            "/kitchen/Many": grpc.unary_stream_rpc_method_handler(self.many),
            "/kitchen/Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "/kitchen/Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "/kitchen/Never": grpc.unary_unary_rpc_method_handler(self.never),
            "/kitchen/Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
        }

    def service(self, details):
        return self.methods.get(details.method)

    async def one(self, request, context):
        await asyncio.sleep(0.001)
        return request[::-1]

    async def many(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    async def sum(self, requests, context):
        return b"%d" % sum([int(request) async for request in requests])

    async def talk(self, requests, context):
        async for request in requests:
            yield request.upper()

    async def never(self, request, context):
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def refuse(self, request, context):
        context.set_trailing_metadata((("why", "closed"),))
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no soup left")


@contextlib.asynccontextmanager
async def serving(certificates=None):
    server, kitchen = grpc.aio.server(), Kitchen()
    server.add_generic_rpc_handlers((kitchen,))
    if certificates:
        key = certificates.issued.private_key_pem.bytes()
        chain = b"".join(pem.bytes() for pem in certificates.issued.cert_chain_pems)
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, chain)]))
        trust = grpc.ssl_channel_credentials(certificates.authority.cert_pem.bytes())
        channel = grpc.aio.secure_channel(f"localhost:{port}", trust)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    await server.start()
    try:
        async with channel:
            yield channel, kitchen
    finally:
        await server.stop(5)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_two_hundred_calls_of_all_kinds_at_once(compare, certificates, tls):
    async def body():
        async with serving(certificates if tls else None) as (channel, _):

            async def one(number):
                match number % 4:
                    case 0:
                        return await channel.unary_unary("/kitchen/One")(b"%d" % number * 1000) == (b"%d" % number * 1000)[::-1]
                    case 1:
                        return [int(found) async for found in channel.unary_stream("/kitchen/Many")(b"%d" % number)]
                    case 2:

                        async def numbers():
                            for each in range(number):
                                yield b"%d" % each

                        return int(await channel.stream_unary("/kitchen/Sum")(numbers()))
                    case 3:
                        call = channel.stream_stream("/kitchen/Talk")()
                        found = []
                        for _ in range(5):
                            await call.write(b"soup %d" % number)
                            found.append(await call.read())
                        await call.done_writing()
                        return found, await call.read() is grpc.aio.EOF

            return await asyncio.gather(*(one(number) for number in range(200)))

    found = compare(body)
    assert found[4::4] == [True] * 49
    assert found[1::4] == [list(range(number)) for number in range(1, 200, 4)]
    assert found[2::4] == [number * (number - 1) // 2 for number in range(2, 200, 4)]
    assert found[3::4] == [([b"SOUP %d" % number] * 5, True) for number in range(3, 200, 4)]


@pytest.mark.leaves(
    "grpc's core may keep a cancelled call's poller (an epoll and an eventfd) for longer than a test waits, on either loop"
)
def test_deadline_cancel_and_refusal(compare):
    async def body():
        log = []
        async with serving() as (channel, kitchen):
            with pytest.raises(grpc.aio.AioRpcError) as late:
                await channel.unary_unary("/kitchen/Never")(b"", timeout=0.2)
            log.append(late.value.code().name)
            await kitchen.cancelled.wait()
            kitchen.cancelled.clear()

            call = channel.unary_unary("/kitchen/Never")(b"")
            task = asyncio.create_task(_result(call))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(task)
            call.cancel()
            log.append(await task)
            await kitchen.cancelled.wait()

            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary("/kitchen/Refuse")(b"")
            log.append((refused.value.code().name, refused.value.details(), dict(refused.value.trailing_metadata())["why"]))
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await channel.unary_unary("/kitchen/Nothing")(b"")
            log.append(unknown.value.code().name)
        return log

    async def _result(call):
        try:
            return await call
        except asyncio.CancelledError:
            return (await call.code()).name

    assert compare(body) == [
        "DEADLINE_EXCEEDED",
        "CANCELLED",
        ("RESOURCE_EXHAUSTED", "no soup left", "closed"),
        "UNIMPLEMENTED",
    ]


def test_a_stream_left_early_ends_on_the_server(compare):
    async def body():
        async with serving() as (channel, _):
            call = channel.unary_stream("/kitchen/Many")(b"1000000")
            async for found in call:
                if found == b"100":
                    break
            call.cancel()
            return found, (await channel.unary_unary("/kitchen/One")(b"after"))

    assert compare(body) == (b"100", b"retfa")
