"""getaddrinfo and getnameinfo, for names that every machine knows."""

import asyncio
import socket

import pytest


def test_localhost(run):
    async def main():
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

    assert sorted(run(main())) == sorted(socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))


def test_arguments_go_through(run):
    async def main():
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(
            "127.0.0.1",
            "http",
            family=socket.AF_INET,
            type=socket.SOCK_STREAM,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_CANONNAME,
        )

    [(family, kind, protocol, _, address)] = run(main())
    assert (family, kind, protocol, address) == (socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", 80))


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 80), (None, 80), ("::1", 8080), (b"127.0.0.1", "80")])
def test_numbers_need_no_names(run, host, port):
    async def main():
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)

    assert run(main()) == socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def test_getnameinfo(run):
    async def main():
        flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return await asyncio.get_running_loop().getnameinfo(("127.0.0.1", 8080), flags)

    assert run(main()) == ("127.0.0.1", "8080")


def test_failures(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        for host, port, options in [
            ("no such name.invalid", 80, {}),
            ("127.0.0.1", "no such service", {}),
            ("127.0.0.1", 80, {"family": -1}),
        ]:
            try:
                note(await loop.getaddrinfo(host, port, **options))
            except (socket.gaierror, OSError) as error:
                note(type(error).__name__)
        try:
            await loop.getnameinfo(("127.0.0.1",), 0)
        except TypeError as error:
            note(error)

    compare(body)
