"""nest_asyncio and nest_asyncio2: `apply()` changes asyncio for good, so each program has its own process, on both loops."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
package, which, when = sys.argv[1:]
import asyncio
stdlib = asyncio
if which == "native":
    import rondeau
    asyncio = rondeau
elif which == "install":
    import rondeau
    rondeau.install()
elif which == "plain":
    import rondeau
factory = stdlib.SelectorEventLoop if which == "asyncio" else rondeau.new_event_loop
import contextvars, json

V = contextvars.ContextVar("V", default="outside")
apply = __import__(package).apply

def here(main):
    return asyncio.get_event_loop().run_until_complete(main)

async def deep(depth):
    await asyncio.sleep(0.001)
    return here(deep(depth - 1)) + 1 if depth else 0

async def fail():
    await asyncio.sleep(0)
    raise ValueError("burnt")

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()

async def talk():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"soup\\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return line.decode()

async def grouped():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(deep(number)) for number in range(3)]
    return [task.result() for task in tasks]

async def late():
    async with asyncio.timeout(0.01):
        await asyncio.sleep(1000)

async def main():
    notes = []
    if when == "inside":
        apply()
    me = asyncio.current_task()
    other = asyncio.create_task(asyncio.sleep(0.001, "meanwhile"))
    notes.append((here(deep(3)), other.done(), asyncio.current_task() is me))
    notes.append(stdlib.run(deep(2)))
    for failing in fail, late:
        try:
            here(failing())
        except (ValueError, TimeoutError) as error:
            notes.append((type(error).__name__, str(error)))
    notes.append(here(talk()))
    notes.append(here(grouped()))
    notes.append(here(asyncio.to_thread(lambda: "thread")))
    notes.append(here(asyncio.gather(deep(1), asyncio.wait_for(asyncio.sleep(0, 5), 10))))
    V.set("main")

    async def where():
        await asyncio.sleep(0)
        return V.get()

    notes.append(here(where()))
    cancelled = asyncio.create_task(asyncio.sleep(1000))
    cancelled.cancel()
    try:
        here(cancelled)
    except asyncio.CancelledError:
        notes.append("cancelled")
    queue = asyncio.Queue()
    asyncio.get_running_loop().call_later(0.001, queue.put_nowait, "late")
    notes.append(here(queue.get()))
    await asyncio.sleep(0.001)
    notes.append((asyncio.current_task() is me, here(asyncio.shield(asyncio.sleep(0.001, "shielded")))))
    return notes

loop = factory()
stdlib.set_event_loop(loop)
if when == "outside":
    apply(loop)
notes = loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
print(json.dumps(notes))
"""


def notes(package, which, when):
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, package, which, when]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("when", ["inside", "outside"])
@pytest.mark.parametrize("which", ["plain", "native", "install"])
@pytest.mark.parametrize("package", ["nest_asyncio", "nest_asyncio2"])
def test_a_loop_made_re_entrant_by_others(package, which, when):
    if package == "nest_asyncio" and sys.version_info >= (3, 14):
        pytest.skip("its tasks in Python are not the current ones from 3.14 on: on asyncio it fails or hangs")
    seen = notes(package, which, when)
    assert seen == notes(package, "asyncio", when)
    assert seen[0] == [3, True, True]
    assert len(seen) == 12
