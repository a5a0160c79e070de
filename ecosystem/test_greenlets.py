"""gevent and eventlet: asyncio in a process whose threads are greenlets. Patching is for good: each has a process."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
library, which = sys.argv[1:]
if library == "gevent":
    import gevent.monkey
    gevent.monkey.patch_all()
    from gevent import sleep, spawn
else:
    import eventlet
    eventlet.monkey_patch()
    from eventlet import sleep, spawn

import asyncio, json, os, signal, threading, time

if which == "native":
    import rondeau
    asyncio = rondeau
elif which == "install":
    import rondeau
    rondeau.install()
elif which == "plain":
    import rondeau
factory = asyncio.SelectorEventLoop if which == "asyncio" else rondeau.new_event_loop

def ticker(seen):
    for number in range(5):
        sleep(0.001)
        seen.append(number)

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()

async def main():
    loop, seen, notes = asyncio.get_running_loop(), [], []
    spawn(ticker, seen)
    while len(seen) < 5:  # Greenlets run while the loop waits.
        await asyncio.sleep(0.001)
    notes.append(seen)
    notes.append(await loop.run_in_executor(None, lambda: "done in the pool"))
    notes.append(await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(4))))
    future = loop.create_future()
    thread = threading.Thread(target=lambda: (time.sleep(0.01), loop.call_soon_threadsafe(future.set_result, "told")))
    thread.start()
    notes.append(await future)
    thread.join()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
    writer.write(b"soup\\n" * 1000)
    notes.append((await reader.readexactly(5000)).decode()[-5:])
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.001, number)) for number in range(3)]
    notes.append([task.result() for task in tasks])
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        notes.append("timed out")
    child = await asyncio.create_subprocess_exec("echo", "hi", stdout=-1)
    notes.append((await child.communicate())[0].decode())
    got = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await got.wait()
    return notes

with asyncio.Runner(loop_factory=factory) as runner:
    print(json.dumps(runner.run(main())))
"""


def notes(library, which):
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, library, which]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("which", ["plain", "native", "install"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_asyncio_among_greenlets(library, which):
    pytest.importorskip(library)
    seen = notes(library, which)
    if sys.version_info < (3, 14):  # There asyncio itself hangs in `to_thread` among gevent's greenlets.
        assert seen == notes(library, "asyncio")
    assert seen[:2] == [[0, 1, 2, 3, 4], "done in the pool"]
    assert len(seen) == 8
