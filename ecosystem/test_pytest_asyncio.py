"""pytest-asyncio with Rondeau as its loop factory: a test suite of its own, run in a process of its own, on both loops."""

import re
import subprocess
import sys

CONFTEST = """
import asyncio, rondeau

def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.SelectorEventLoop, "rondeau": rondeau.new_event_loop}
"""

SUITE = """
import asyncio, contextvars
import pytest, pytest_asyncio, rondeau

where = contextvars.ContextVar("where", default="outside")

@pytest_asyncio.fixture
async def kitchen():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared():
    yield asyncio.get_running_loop()

async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()

@pytest.mark.asyncio
async def test_the_loop_is_the_factorys(request):
    ours = isinstance(asyncio.get_running_loop(), rondeau.EventLoop)
    assert ours == ("rondeau" in request.node.name)

@pytest.mark.asyncio
async def test_an_async_fixture_serves(kitchen):
    async def one(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", kitchen)
        writer.write(b"soup %d\\n" % number)
        found = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return found
    assert await asyncio.gather(*(one(n) for n in range(50))) == [b"soup %d\\n" % n for n in range(50)]

@pytest.mark.asyncio(loop_scope="module")
async def test_a_shared_loop(shared):
    assert asyncio.get_running_loop() is shared

@pytest.mark.asyncio(loop_scope="module")
async def test_a_shared_loop_again(shared):
    assert asyncio.get_running_loop() is shared

@pytest.mark.asyncio
async def test_that_fails():
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)

@pytest.mark.asyncio
async def test_that_leaves_a_task_behind():
    asyncio.create_task(asyncio.sleep(60))

@pytest.mark.asyncio(loop_factories=["rondeau"])
async def test_only_here():
    assert isinstance(asyncio.get_running_loop(), rondeau.EventLoop)
"""


def test_a_suite_has_the_same_results_on_both(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_suite.py").write_text(SUITE)
    words = [sys.executable, "-X", "dev", "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=line", "test_suite.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    results = re.findall(r"^(PASSED|FAILED|ERROR) test_suite\.py::(\w+)\[(\w+)\]", done.stdout, re.MULTILINE)
    results += re.findall(r"^(PASSED|FAILED|ERROR) test_suite\.py::(\w+)()(?: -|$)", done.stdout, re.MULTILINE)
    by_loop = {}
    for verdict, name, loop in results:
        by_loop.setdefault(loop or "rondeau", {})[name] = verdict
    only = by_loop["rondeau"].pop("test_only_here")
    assert by_loop["rondeau"] == by_loop["asyncio"], done.stdout
    assert only == "PASSED"
    assert [name for name, verdict in by_loop["asyncio"].items() if verdict != "PASSED"] == ["test_that_fails"], done.stdout
    assert len(by_loop["asyncio"]) == 6
    assert "ResourceWarning" not in done.stdout + done.stderr
