"""Dask distributed: a scheduler and two workers, each a process on loopback; their client's executor serves `run_in_executor`.

That is how a program outgrows one machine: what was work for a thread becomes work for a worker, and the loop sees no
difference. Scheduler and workers are on one arm, the program that asks them on both.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest
from distributed import Client

import servers
from conftest import COMMANDS
from dishes import burn, stew, total, where


@pytest.fixture(scope="module", params=COMMANDS)
def cluster(request, tmp_path_factory):
    """The address of a scheduler that has two workers."""
    folder = tmp_path_factory.mktemp("dask")
    address = f"tcp://127.0.0.1:{servers.free_port()}"
    command = COMMANDS[request.param]
    scheduler = [*command, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    worker = [*command, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "2", "--memory-limit", "0"]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "DASK_TEMPORARY_DIRECTORY": str(folder)}
    settings = {"ends_by": signal.SIGTERM, "cwd": folder, "env": environment}
    with contextlib.ExitStack() as stack:
        logs = [
            stack.enter_context(servers.child([*scheduler, "--dashboard-address", "127.0.0.1:0"], "Scheduler at:", **settings))
        ]
        for _ in range(2):
            logs.append(
                stack.enter_context(
                    servers.child([*worker, "--dashboard-address", "127.0.0.1:0"], "Registered to:", **settings)
                )
            )
        yield address, request.param == "rondeau"
    for log in logs:
        assert not [line for line in log if " - asyncio - " in line or " - tornado" in line], "".join(log)


async def outgrown(address):
    loop = asyncio.get_running_loop()
    log = []
    # The client has a loop of its own in a thread, made by asyncio.new_event_loop.
    with Client(address, set_as_default=False) as client:
        executor = client.get_executor(pure=False)
        client.wait_for_workers(2)
        log.append(await asyncio.gather(*(loop.run_in_executor(executor, pow, number, 2) for number in range(200))))
        found = await asyncio.gather(*(loop.run_in_executor(executor, where) for _ in range(40)))
        log.append((len({address for address, _ in found}), {ours for _, ours in found}))
        blobs = [bytes([number]) * 1_000_000 for number in range(10)]
        log.append(await asyncio.gather(*(loop.run_in_executor(executor, total, blob) for blob in blobs)))
        with pytest.raises(ValueError, match="burnt"):
            await loop.run_in_executor(executor, burn)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await loop.run_in_executor(executor, stew, 5)
        log.append(await loop.run_in_executor(executor, stew, 0))
        executor.shutdown()
    return log


@pytest.mark.leaves("distributed keeps threads of its own (profiler, offload) until the process ends")
def test_the_clients_executor_serves_the_loop(compare, cluster):
    address, ours = cluster
    log = compare(outgrown, address)
    assert log == [[n * n for n in range(200)], (2, {ours}), [n * 1_000_000 for n in range(10)], "stew"]


@pytest.mark.leaves("as above")
def test_an_asynchronous_client_on_the_programs_own_loop(compare, cluster):
    address, ours = cluster

    async def body():
        async with Client(address, asynchronous=True, set_as_default=False) as client:
            squares = await client.gather(client.map(pow, range(100), [2] * 100, pure=False))
            one = client.submit(where, pure=False)
            (scattered,) = await client.scatter([b"x" * 3_000_000])
            length = await client.submit(len, scattered)
            broken = client.submit(burn, pure=False)
            with pytest.raises(ValueError, match="burnt"):
                await broken
            long = client.submit(stew, 5, pure=False)
            await long.cancel()
            return squares, (await one)[1], length, long.status

    assert compare(body) == ([n * n for n in range(100)], ours, 3_000_000, "cancelled")
