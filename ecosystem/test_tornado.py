"""Tornado's HTTP server, client, websockets and IOStreams on an IOLoop that wraps the running loop."""

import asyncio
import contextlib
import hashlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import tornado.httpclient
import tornado.httpserver
import tornado.ioloop
import tornado.iostream
import tornado.netutil
import tornado.tcpclient
import tornado.tcpserver
import tornado.web
import tornado.websocket


class Echo(tornado.web.RequestHandler):
    async def post(self):
        digest = hashlib.sha256(self.request.body).hexdigest()
        for part in (digest[:32], digest[32:]):
            self.write(part)
            await self.flush()


class Wait(tornado.web.RequestHandler):
    def initialize(self, gone):
        self.gone = gone

    async def get(self):
        await self.gone.wait()

    def on_connection_close(self):
        self.gone.set()


class Talk(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        if message == "end":
            self.close(4001, "as you wish")
        else:
            self.write_message(message[::-1], binary=isinstance(message, bytes))


@contextlib.asynccontextmanager
async def serving(tls=None, gone=None):
    app = tornado.web.Application(
        [("/echo", Echo), ("/wait", Wait, {"gone": gone}), ("/talk", Talk)], log_function=lambda _: None
    )
    server = tornado.httpserver.HTTPServer(app, ssl_options=tls and tls.server())
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield f"http{'s' if tls else ''}://localhost:{sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_hundred_requests_with_bodies(compare, certificates, tls):
    async def body():
        async with serving(certificates if tls else None) as url:
            client = tornado.httpclient.AsyncHTTPClient(force_instance=True, max_clients=20)
            options = {"ssl_options": certificates.client()} if tls else {}

            async def one(number):
                content = b"%d " % number * 2000
                request = tornado.httpclient.HTTPRequest(f"{url}/echo", "POST", body=content, **options)
                return (await client.fetch(request)).body.decode() == hashlib.sha256(content).hexdigest()

            found = await asyncio.gather(*(one(number) for number in range(100)))
            client.close()
            return found

    assert compare(body) == [True] * 100


def test_a_request_that_times_out_is_noticed(compare):
    async def body():
        gone = asyncio.Event()
        async with serving(gone=gone) as url:
            client = tornado.httpclient.AsyncHTTPClient(force_instance=True)
            with pytest.raises(tornado.httpclient.HTTPError) as raised:
                await client.fetch(f"{url}/wait", request_timeout=0.2)
            await gone.wait()
            client.close()
            return raised.value.code, raised.value.message

    assert compare(body) == (599, "Timeout during request")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_thirty_websockets(compare, certificates, tls):
    async def body():
        async with serving(certificates if tls else None) as url:
            where = f"ws{url[4:]}/talk"
            options = {"ssl_options": certificates.client()} if tls else {}

            async def one(number):
                request = tornado.httpclient.HTTPRequest(where, **options)
                socket = await tornado.websocket.websocket_connect(request)
                for turn in range(10):
                    await socket.write_message(f"{turn} {number}")
                    await socket.write_message(bytes([turn, number]) * 20_000, binary=True)
                    found = await socket.read_message(), (await socket.read_message())[:2]
                await socket.write_message("end")
                last = await socket.read_message()
                socket.close()
                return found, last, socket.close_code

            return await asyncio.gather(*(one(number) for number in range(30)))

    assert compare(body) == [((f"9 {n}"[::-1], bytes([n, 9])), None, 4001) for n in range(30)]


def test_streams_and_their_back_pressure(compare, certificates):
    async def body():
        class Server(tornado.tcpserver.TCPServer):
            async def handle_stream(self, stream, address):
                with contextlib.suppress(tornado.iostream.StreamClosedError):
                    while True:
                        length = int(await stream.read_until(b"\n"))
                        await stream.write((await stream.read_bytes(length))[::-1])

        server = Server(ssl_options=certificates.server())
        server.listen(0, "127.0.0.1")
        port = next(iter(server._sockets.values())).getsockname()[1]

        async def one(letter):
            stream = await tornado.tcpclient.TCPClient().connect("localhost", port, ssl_options=certificates.client())
            content = letter * 3_000_000 + b"."
            writing = asyncio.ensure_future(stream.write(b"%d\n" % len(content) + content))
            found = await stream.read_bytes(len(content))
            await writing
            stream.close()
            return found == content[::-1]

        found = await asyncio.gather(*(one(bytes([letter])) for letter in range(65, 75)))
        server.stop()
        return found

    assert compare(body) == [True] * 10


def test_the_ioloops_own_calls(compare):
    async def body():
        ioloop = tornado.ioloop.IOLoop.current()
        seen, done = [], asyncio.Event()
        assert ioloop.asyncio_loop is asyncio.get_running_loop()

        def tick():
            seen.append("tick")
            if seen.count("tick") == 3:
                periodic.stop()
                done.set()

        periodic = tornado.ioloop.PeriodicCallback(tick, 5)
        periodic.start()
        cancelled = ioloop.call_later(0.001, seen.append, "never")
        ioloop.remove_timeout(cancelled)
        ioloop.add_callback(seen.append, "callback")
        ioloop.spawn_callback(asyncio.sleep, 0)
        with ThreadPoolExecutor(2) as pool:
            squares = await asyncio.gather(*(ioloop.run_in_executor(pool, pow, number, 2) for number in range(20)))
            ioloop.add_callback_from_signal(seen.append, "signal")
            await asyncio.wrap_future(pool.submit(ioloop.add_callback, seen.append, "thread"))
        await done.wait()
        left, right = socket.socketpair()
        ready = asyncio.Event()
        ioloop.add_handler(left, lambda fd, events: ready.set(), ioloop.READ)
        right.send(b"x")
        await ready.wait()
        ioloop.remove_handler(left)
        left.close(), right.close()
        return sorted(seen), squares

    assert compare(body) == (sorted(["tick"] * 3 + ["callback", "signal", "thread"]), [n * n for n in range(20)])


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("tornado").disabled = True
