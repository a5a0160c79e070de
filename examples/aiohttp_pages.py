"""Two hundred pages at once: an aiohttp server, and a client that fetches them all and files them.

    python examples/aiohttp_pages.py [PAGES [FOLDER]]   # 200 pages into a temporary folder unless told
    python -m rondeau run examples/aiohttp_pages.py

Server and client share one loop and one thread. No page is answered before every page has been asked for,
so a program that fetched them one after another would never end.
"""

import asyncio
import hashlib
import sys
import tempfile
from pathlib import Path

import aiohttp
from aiohttp import web


class Printer:
    """The server: it holds every request until the last of them has arrived."""

    def __init__(self, pages: int) -> None:
        self.asked: set[int] = set()
        self.pages = pages
        self.all_asked = asyncio.Event()

    async def page(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        self.asked.add(number)
        if len(self.asked) == self.pages:
            self.all_asked.set()
        await self.all_asked.wait()
        return web.Response(text=f"Page {number}\n" + "lorem ipsum " * number)


async def fetch(session: aiohttp.ClientSession, url: str, path: Path) -> int:
    async with session.get(url) as response:
        response.raise_for_status()
        body = await response.read()
    return await asyncio.to_thread(path.write_bytes, body)  # A disk only blocks: an assistant does it.


async def main(pages: int, folder: Path) -> None:
    app = web.Application()
    app.router.add_get("/{number}", Printer(pages).page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sizes = await asyncio.gather(
            *(fetch(session, f"http://{host}:{port}/{n}", folder / f"{n:03}.txt") for n in range(pages))
        )
    await runner.cleanup()

    files = sorted(folder.iterdir())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    print(f"{len(files)} pages, {sum(sizes)} bytes, sha256 {digest[:16]}")
    print(f"first: {files[0].read_text().splitlines()[0]}; last: {files[-1].read_text().splitlines()[0]}")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if len(sys.argv) > 2:
        asyncio.run(main(count, Path(sys.argv[2])))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            asyncio.run(main(count, Path(temporary)))
