"""rondeau.aiofiles: aiofiles' interface; on Rondeau's loop without a thread. Its own suite is run by upstream/."""

import asyncio
import inspect
import io
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import rondeau
import rondeau.aiofiles.os
from rondeau import aiofiles
from rondeau.aiofiles.threadpool import binary, text
from terminal import PROLOGUE


@pytest.mark.parametrize(
    ("mode", "buffering", "kind"),
    [
        ("r", -1, text.AsyncTextIOWrapper),
        ("rb", -1, binary.AsyncBufferedReader),
        ("rb+", -1, binary.AsyncBufferedReader),
        ("wb", -1, binary.AsyncBufferedIOBase),
        ("rb", 0, binary.AsyncFileIO),
    ],
)
def test_the_classes(run, tmp_path, mode, buffering, kind):
    path = tmp_path / "file"
    path.write_bytes(b"soup\nroast\n")

    async def main():
        async with aiofiles.open(path, mode, buffering) as file:
            assert type(file).__mro__.index(kind) <= 3
            assert isinstance(file, kind)
            assert (file.closed, file.mode, file.name) == (False, mode, str(path))
            assert await file.seekable()
            assert not await file.isatty()
            assert await file.writable() == (mode in ("rb+", "wb"))
            assert file.readable() == (mode != "wb")
            assert isinstance(file.fileno(), int)
            assert "wrapping" in repr(file)
        assert file.closed
        with pytest.raises(ValueError):
            await file.read()
        file = await aiofiles.open(path, "w")
        await file.writelines(["a\n", "b\n"])
        await file.flush()
        assert path.read_text() == "a\nb\n"
        await file.close()
        async with aiofiles.open(path) as file:
            assert [line async for line in file] == ["a\n", "b\n"]
            await file.seek(0)
            assert (await file.readline(), await file.read(), await file.tell()) == ("a\n", "b\n", 4)

    run(main())


@pytest.mark.parametrize("mode", ["rb", "rb+", "wb", "ab", "r", "w"])
def test_detach(run, tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def main():
        async with aiofiles.open(path, mode) as file:
            if "r" in mode:
                assert await file.read(3) in ("012", b"012")
            else:
                await file.write("ab" if mode == "w" else b"ab")
            with file.detach() as left:
                if mode == "r":
                    assert isinstance(left, io.BufferedReader)
                elif "r" in mode:
                    assert left.read() == b"3456789"
            with pytest.raises(ValueError):
                await file.read()

    with pytest.raises(ValueError):  # There is nothing left to close.
        run(main())
    assert path.read_bytes() == (b"ab" if "w" in mode else b"0123456789ab" if mode == "ab" else b"0123456789")


def test_on_our_loop_without_a_thread(tmp_path):
    async def main():
        path = str(tmp_path / "file")
        async with aiofiles.open(path, "w+") as file:
            await file.write("soup")
        assert (await aiofiles.os.stat(path)).st_size == 4
        assert await aiofiles.os.path.exists(path)
        await aiofiles.os.rename(path, path + "2")
        await aiofiles.os.mkdir(path)
        assert sorted(await aiofiles.os.listdir(tmp_path)) == ["file", "file2"]
        await aiofiles.os.rmdir(path)
        await aiofiles.os.remove(path + "2")
        assert asyncio.get_running_loop()._default_executor is None

    rondeau.run(main())


def test_an_executor_that_is_named_does_the_work(run, tmp_path):
    calls = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function, /, *args, **kwargs):
            calls.append(function)
            return super().submit(function, *args, **kwargs)

    async def main():
        with Counting(1) as executor:
            async with aiofiles.open(tmp_path / "file", "w", executor=executor) as file:
                await file.write("soup")
            assert await aiofiles.os.stat(tmp_path / "file", executor=executor)
        assert len(calls) == 4  # open, write, leave the block, stat

    run(main())


CASES = [
    ("stat", ["{}/file"], {}),
    ("stat", ["{}/link"], {"follow_symlinks": False}),
    ("stat", ["{}/no"], {}),
    ("listdir", ["{}"], {}),
    ("listdir", [b"{}"], {}),
    ("listdir", ["{}/file"], {}),
    ("readlink", ["{}/link"], {}),
    ("readlink", [b"{}/link"], {}),
    ("readlink", ["{}/file"], {}),
    ("access", ["{}/file", os.R_OK], {}),
    ("access", ["{}/no", os.F_OK], {}),
    ("mkdir", ["{}/new"], {"mode": 0o700}),
    ("mkdir", ["{}/file"], {}),
    ("rename", ["{}/file", "{}/other"], {}),
    ("rename", ["{}/no", "{}/other"], {}),
    ("replace", ["{}/file", "{}/link"], {}),
    ("remove", ["{}/file"], {}),
    ("unlink", ["{}/no"], {}),
    ("rmdir", ["{}/folder"], {}),
    ("rmdir", ["{}/file"], {}),
    ("symlink", ["to", "{}/made"], {}),
    ("link", ["{}/file", "{}/made"], {}),
    ("makedirs", ["{}/x/y"], {"exist_ok": True}),
    ("statvfs", ["{}"], {}),
    ("stat", [5.5], {}),
    ("stat", [], {}),
    ("path.exists", ["{}/file"], {}),
    ("path.exists", ["{}/no"], {}),
    ("path.exists", ["nul\0"], {}),
    ("path.isdir", ["{}/folder"], {}),
    ("path.isfile", ["{}/folder"], {}),
    ("path.islink", ["{}/link"], {}),
    ("path.getsize", ["{}/file"], {}),
    ("path.getmtime", ["{}/no"], {}),
    ("path.getsize", [b"{}/file"], {}),
    ("path.samefile", ["{}/file", "{}/file"], {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), CASES)
def test_as_os(run, tmp_path, name, arguments, options):
    def outcome(call):
        try:
            found = call()
        except Exception as error:
            return type(error), getattr(error, "errno", None), getattr(error, "filename", None)
        return sorted(found) if isinstance(found, list) else found[:7] if isinstance(found, os.stat_result) else found

    seen = []
    for side in ["theirs", "ours"]:
        folder = tmp_path / "folder here"
        (folder / "folder").mkdir(parents=True)
        (folder / "file").write_text("soup")
        (folder / "link").symlink_to("file")
        given = [
            each.replace("{}", str(folder)) if isinstance(each, str) else
            each.replace(b"{}", os.fsencode(folder)) if isinstance(each, bytes) else each
            for each in arguments
        ]  # fmt: skip
        module = os if side == "theirs" else aiofiles.os
        function = module
        for part in name.split("."):
            function = getattr(function, part)
        if side == "theirs":
            found = outcome(lambda: function(*given, **options))  # noqa: B023
        else:
            found = outcome(lambda: run(function(*given, **options)))  # noqa: B023
        if name == "stat" and isinstance(found, os.stat_result | tuple) and len(found) == 7:
            found = (found[0], *found[2:])  # another inode
        if name == "statvfs":
            found = found.f_bsize
        left = sorted((str(path.relative_to(folder)), path.lstat().st_mode) for path in folder.rglob("*"))
        seen.append((found, left))
        import shutil

        shutil.rmtree(folder)
    assert seen[0] == seen[1]


def test_temporary_files_and_folders(run):
    async def main():
        async with aiofiles.tempfile.TemporaryDirectory() as folder:
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
            async with aiofiles.tempfile.NamedTemporaryFile("w+", dir=folder) as file:
                assert stat.S_IMODE(os.stat(file.name).st_mode) == 0o600
                await file.write("soup\n")
                await file.seek(0)
                assert [line async for line in file] == ["soup\n"]
            assert os.listdir(folder) == []
            async with aiofiles.tempfile.TemporaryFile(dir=folder) as file:
                await file.write(b"soup")
                assert await file.tell() == 4
            async with aiofiles.tempfile.SpooledTemporaryFile(max_size=3, dir=folder) as file:
                await file.write(b"so")
                assert not file._file._rolled
                await file.write(b"up")
                assert file._file._rolled
                await file.seek(0)
                assert await file.read() == b"soup"
        assert not os.path.exists(folder)

    run(main())


@pytest.mark.parametrize("arm", ["asyncio", "rondeau"])
def test_the_standard_streams(arm):
    program = """
from rondeau import aiofiles
async def main():
    await aiofiles.stdout.write("starter? ")
    line = await aiofiles.stdin.readline()
    await aiofiles.stdout_bytes.write(b"bytes ")
    rest = [line async for line in aiofiles.stdin_bytes]
    print(repr(line), rest)
    await aiofiles.stderr.write("error")
run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + program, arm], input="soup\nroast\ncake", capture_output=True, text=True, timeout=60
    )
    # On asyncio's loop sys.stdin's buffer has it all after the first line, as in aiofiles.
    assert done.stdout in (
        "starter? bytes 'soup\\n' [b'roast\\n', b'cake']\n",
        "starter? bytes 'soup\\n' []\n" if arm == "asyncio" else None,
    )
    assert done.stderr == "error"


def test_names_and_parameters_are_aiofiles():
    theirs = pytest.importorskip("aiofiles")
    pytest.importorskip("aiofiles.os")
    for module in ["", "os", "ospath", "tempfile", "threadpool", "base"]:
        import importlib

        there = importlib.import_module(f"aiofiles.{module}".rstrip("."))
        here = importlib.import_module(f"rondeau.aiofiles.{module}".rstrip("."))
        for name in getattr(there, "__all__", ()):
            assert hasattr(here, name), (module, name)
            if inspect.isfunction(getattr(there, name)):
                parameters = inspect.signature(getattr(there, name)).parameters
                assert list(inspect.signature(getattr(here, name)).parameters) == list(parameters), (module, name)
    assert theirs.__all__
