"""docs/hosts.md as it stands: its files are written, its commands run, and the program is asked which loop it runs on."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import servers

PAGE = (Path(__file__).parent.parent / "docs" / "hosts.md").read_text()
SECONDS = 60


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


FILES = {text.partition("\n")[0].removeprefix("# "): text for text in blocks("python")}
COMMANDS = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
SERVERS = [command for command in COMMANDS if "8000" in command]
PROGRAMS = [command for command in COMMANDS if command not in SERVERS and "dask" not in command and "program.py" not in command]


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def environment():
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "IPYTHONDIR": "ipython"}


def words(command):
    first, *rest = shlex.split(command)
    return [sys.executable if first == "python" else str(Path(sys.executable).with_name(first)), *rest]


def test_the_page_has_files_and_commands_of_each_kind():
    assert len(FILES) == 12
    assert (len(SERVERS), len(PROGRAMS), len(COMMANDS)) == (8, 6, 17)


@pytest.mark.parametrize("command", SERVERS)
def test_servers(folder, command):
    port = servers.free_port()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words(command.replace("8000", str(port))), cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            assert answers(process, port) == "rondeau.loop"
        except BaseException:
            process.kill()
            process.wait()
            raise AssertionError(log.read_text()) from None
    process.send_signal(signal.SIGTERM)
    status = process.wait(SECONDS)
    assert "Traceback" not in log.read_text()
    assert status in (0, -signal.SIGTERM), log.read_text()


def answers(process, port):
    """What the server says, once it listens."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            time.sleep(0.05)
    raise AssertionError("it does not serve")


@pytest.mark.parametrize("command", PROGRAMS)
def test_programs_and_test_runs(folder, command):
    if "unittest" in command and sys.version_info < (3, 13):
        pytest.skip("loop_factory came with Python 3.13, as the page says")
    done = subprocess.run(words(command), cwd=folder, env=environment(), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^rondeau\.loop|1 passed|^OK$", done.stdout + done.stderr, re.MULTILINE), done.stdout + done.stderr


@pytest.mark.parametrize("module", ["aiohttp.web", "unittest"])
def test_modules_that_the_page_names(folder, module):
    (folder / "made.py").write_text(
        "import asyncio, unittest\n"
        "from aiohttp import web\n"
        "async def leave(app):\n"
        "    print(type(asyncio.get_running_loop()).__module__, flush=True)\n"
        "    raise web.GracefulExit\n"
        "def app(argv):\n"
        "    made = web.Application()\n"
        "    made.on_startup.append(leave)\n"
        "    return made\n"
        "class Case(unittest.IsolatedAsyncioTestCase):\n"
        "    async def test(self):\n"
        "        print(type(asyncio.get_running_loop()).__module__)\n"
    )
    words = {"aiohttp.web": ["made:app", "-P", "0"], "unittest": ["made"]}[module]
    done = subprocess.run(
        [sys.executable, "-m", "rondeau", "run", "-m", module, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, "rondeau.loop\n"), done.stderr
