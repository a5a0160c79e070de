"""IPython's top-level await, and ipykernel behind ZeroMQ: the kernel on one arm, the client (zmq.asyncio) on both."""

import json
import os
import subprocess
import sys

import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from conftest import COMMANDS

CELLS = """\
import asyncio
loop = asyncio.get_running_loop() if asyncio._get_running_loop() else None
async def double(number):
    await asyncio.sleep(0.001)
    return number * 2
print(sum(await asyncio.gather(*(double(n) for n in range(100)))))
print(isinstance(asyncio.get_running_loop(), __import__("rondeau").EventLoop))
process = await asyncio.create_subprocess_exec("echo", "soup", stdout=-1)
print(await process.communicate())
"""

TICK = """\
count = 0
async def tick():
    global count
    while True:
        count += 1
        await asyncio.sleep(0)
"""

ENDLESS = """\
print("waiting", flush=True)
while True:
    await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize("arm", COMMANDS)
def test_top_level_await_in_ipython(arm, tmp_path):
    words = [*COMMANDS[arm], "-m", "IPython", "--no-banner", "-c", CELLS]
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.splitlines() == ["9900", str(arm == "rondeau"), "(b'soup\\n', None)"], done.stderr
    assert done.returncode == 0


async def session(client, manager):
    """What each cell printed, and how it ended."""

    async def cell(code, during=None):
        """What the cell printed, and how it ended."""
        sent = client.execute(code)
        printed, ended = "", None
        while True:
            message = await client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                printed += content["text"]
                if during:
                    during = await during()
            elif kind == "error":
                ended = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return printed, ended

    log = [await cell("import asyncio, rondeau\nprint(isinstance(asyncio.get_running_loop(), rondeau.EventLoop))")]
    log.append(await cell("async def cook(n):\n    await asyncio.sleep(0.01)\n    return n * 2"))
    log.append(await cell("print(await asyncio.gather(*(cook(n) for n in range(5))))"))
    # A task that a cell starts goes on while the kernel waits for the next one.
    log.append(await cell(TICK))
    log.append(await cell("ticking = asyncio.create_task(tick())"))
    log.append(await cell("before = count"))
    log.append(await cell("print(count > before); ticking.cancel()"))
    log.append(await cell("await asyncio.wait_for(asyncio.sleep(60), 0.01)"))
    # Ctrl-C ends the cell, not the kernel. (A cell that only sleeps would hear of it when it wakes: asyncio's loop too.)
    log.append(await cell(ENDLESS, during=manager.interrupt_kernel))
    log.append(await cell("print('still here')"))
    return log


@pytest.mark.leaves("zmq.asyncio and jupyter_client keep sockets until the process ends")
def test_a_kernel(compare, command, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))

    async def body():
        manager = AsyncKernelManager()
        argv = [*command, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        manager._kernel_spec = KernelSpec(argv=argv, display_name="test", language="python")
        await manager.start_kernel()
        client = manager.client()
        try:
            client.start_channels()
            await client.wait_for_ready(timeout=60)
            return await session(client, manager)
        finally:
            client.stop_channels()
            await manager.shutdown_kernel()

    found = compare(body)
    ours = command == COMMANDS["rondeau"]
    assert found[0] == (f"{ours}\n", None)
    assert found[2:] == [
        ("[0, 2, 4, 6, 8]\n", None),
        ("", None),
        ("", None),
        ("", None),
        ("True\n", None),
        ("", "TimeoutError"),
        ("waiting\n", found[-2][1]),
        ("still here\n", None),
    ]
    assert found[-2][1] in ("KeyboardInterrupt", "CancelledError")


def test_the_page_of_hosts_has_a_kernel_that_starts():
    from test_hosts import blocks

    (text,) = blocks("json")
    argv = json.loads(text)["argv"]
    assert [sys.executable if word == "python" else word for word in argv[:5]] == [*COMMANDS["rondeau"], "-m"]
