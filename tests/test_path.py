"""rondeau.Path against pathlib.Path: names, parameters, answers, errors; on our loop, which asks the kernel, and on asyncio."""

import asyncio
import errno
import inspect
import os
import pathlib
import pickle
import stat
import sys

import pytest

import rondeau
from rondeau import Path

# What of pathlib.Path does not touch the disk beyond PurePath's names, or asks it later.
PLAIN = {"from_uri", "info", "link_to"}
STREAMS = {"iterdir", "glob", "rglob", "walk"}


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_public_name_is_there_and_awaits_where_it_touches_the_disk():
    assert public(pathlib.Path) <= public(Path)
    for name in public(pathlib.Path) - {"link_to"}:
        ours = inspect.getattr_static(Path, name)
        ours = getattr(ours, "__func__", ours)
        if name in public(pathlib.PurePath) or name in PLAIN:
            assert not inspect.iscoroutinefunction(ours), name
        elif name in STREAMS:
            assert inspect.isasyncgenfunction(ours) or name in ("glob", "rglob"), name
        elif name != "open":
            assert inspect.iscoroutinefunction(ours), name


def test_our_own_names():
    mine = {"scandir", "write_atomic"} | {"copy", "copy_into", "move", "move_into", "is_reserved", "with_segments"}
    assert public(Path) - public(pathlib.Path) <= mine


def test_parameters_are_pathlibs():
    for name in sorted(public(pathlib.Path) & public(Path)):
        theirs = getattr(pathlib.Path, name)
        ours = getattr(Path, name)
        if not callable(theirs) or name in ("glob", "rglob", "match", "relative_to", "is_relative_to", "parser"):
            continue  # These pass on what they are given.
        given = list(inspect.signature(theirs).parameters.values())
        taken = inspect.signature(ours).parameters
        for parameter in given:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            assert parameter.name in taken, (name, parameter.name)
            if parameter.default is not parameter.empty:
                assert taken[parameter.name].default == parameter.default, (name, parameter.name)


def test_the_name_alone():
    ours, theirs = Path("/srv/menu", "soup.tar.gz"), pathlib.Path("/srv/menu", "soup.tar.gz")
    for name in ["parts", "drive", "root", "anchor", "name", "suffix", "suffixes", "stem"]:
        assert getattr(ours, name) == getattr(theirs, name)
    assert (os.fspath(ours), str(ours), bytes(ours), hash(ours)) == (
        os.fspath(theirs),
        str(theirs),
        bytes(theirs),
        hash(theirs),
    )
    assert ours == theirs == Path(theirs)
    assert theirs == ours
    assert ours != "/srv/menu/soup.tar.gz"
    assert ours.parent / "a" == "/srv" / Path("menu", "a") == Path("/srv/menu/a")
    assert list(ours.parents) == list(theirs.parents)
    assert type(ours.parent) is type(ours / "x") is Path
    assert ours.with_suffix(".zip").with_stem("b").with_name("c").joinpath("d", "e") == Path("/srv/menu/c/d/e")
    assert ours.relative_to("/srv") == Path("menu/soup.tar.gz")
    assert ours.is_relative_to("/srv")
    assert ours.match("*.gz")
    assert ours.is_absolute()
    assert ours.as_uri() == theirs.as_uri()
    assert Path("a") < Path("b") > pathlib.Path("a")
    assert sorted([Path("b"), Path("a")]) == [Path("a"), Path("b")]
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert repr(ours) == "Path('/srv/menu/soup.tar.gz')"
    assert isinstance(ours, os.PathLike)
    assert not isinstance(ours, pathlib.PurePath)


class Menu(Path):
    __slots__ = ()


def test_a_subclass_stays_one(run, tmp_path):
    async def main():
        folder = Menu(tmp_path)
        await (folder / "soup").touch()
        found = [path async for path in folder.iterdir()]
        found += [path async for path in folder.glob("*")]
        found += [await found[0].rename(folder / "roast"), await folder.resolve(), await Menu.cwd()]
        assert {type(path) for path in found} == {Menu}

    run(main())


def told(error):
    message = "embedded null" if "embedded null" in str(error) else str(error)  # The rest differs from version to version.
    return type(error), getattr(error, "errno", None), message


async def outcome(awaitable):
    try:
        found = await awaitable
    except Exception as error:
        return told(error)
    return str(found) if isinstance(found, Path) else found


def plain_outcome(function, *args, **options):
    try:
        found = function(*args, **options)
    except Exception as error:
        return told(error)
    return str(found) if isinstance(found, pathlib.Path) else found


# A method and its arguments, on each of these names. `{}` stands for the folder, another for each side.
NAMES = [
    "file",
    "folder",
    "link",
    "broken",
    "loop",
    "fifo",
    "no",
    "file/below",
    "folder/inner",
    "",
    "x" * 300,
    "nul\0",
    "/dev/null",
]
CALLS = [
    *(
        (name,)
        for name in [
            "exists",
            "is_dir",
            "is_file",
            "is_symlink",
            "is_fifo",
            "is_socket",
            "is_block_device",
            "is_char_device",
            "is_mount",
        ]
    ),
    *(
        (name,)
        for name in ["read_bytes", "read_text", "readlink", "rmdir", "unlink", "mkdir", "touch", "resolve", "owner", "group"]
    ),
    ("mkdir", 0o700, True),
    ("mkdir", 0o777, False, True),
    ("mkdir", 0o777, True, True),
    ("unlink", True),
    ("touch", 0o600, False),
    ("write_bytes", b"new\n"),
    ("write_text", "n\u00e9w\n", "latin-1"),
    ("write_text", "a\nb", None, None, "\r\n"),
    ("write_text", b"no text"),
    ("read_text", "utf-16"),
    ("chmod", 0o640),
    ("rename", "{}/other"),
    ("replace", "{}/folder"),
    ("symlink_to", "file"),
    ("hardlink_to", "{}/file"),
    ("samefile", "{}/file"),
]


def furnish(folder):
    (folder / "folder").mkdir(parents=True)
    (folder / "folder" / "inner").write_bytes(b"inner")
    (folder / "file").write_bytes(b"soup\r\n")
    (folder / "link").symlink_to("file")
    (folder / "broken").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")


def picture(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        known = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(known.st_mode) else None
        found[str(path.relative_to(folder))] = oct(known.st_mode), known.st_nlink, content
    return found


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]}{list(call[1:])}")
def test_as_pathlib(run, call, tmp_path):
    method, *arguments = call
    for n, name in enumerate(NAMES):
        if name == "fifo" and method.startswith(("read_", "write_")):
            continue  # waits for the other end
        if name == "/dev/null" and method not in ("exists", "is_char_device", "read_bytes"):
            continue
        seen = []
        for side in ["theirs", "ours"]:
            folder = tmp_path / f"{n}" / side
            furnish(folder)
            given = [str(each).replace("{}", str(folder)) if isinstance(each, str) else each for each in arguments]
            if side == "theirs":
                found = plain_outcome(getattr(folder / name, method), *given)
            else:

                async def main(path, given):
                    return await outcome(getattr(path, method)(*given))

                found = run(main(Path(folder) / name, given))
            seen.append((repr(found).replace(str(folder), "{}"), picture(folder)))
        assert seen[0] == seen[1], name


def test_text_that_cannot_be_encoded_leaves_the_file(run, tmp_path):
    """pathlib opens the file first, which empties it."""
    (tmp_path / "menu").write_text("soup")
    with pytest.raises(UnicodeEncodeError):
        run(Path(tmp_path, "menu").write_text("\u20ac", "ascii"))
    assert (tmp_path / "menu").read_text() == "soup"


def test_stat(run, tmp_path):
    furnish(tmp_path)

    async def main():
        for name in ["file", "folder", "link"]:
            assert await (Path(tmp_path) / name).stat() == (tmp_path / name).stat()
            assert await (Path(tmp_path) / name).lstat() == (tmp_path / name).lstat()
            assert await (Path(tmp_path) / name).stat(follow_symlinks=False) == (tmp_path / name).lstat()

    run(main())


def test_folders(run, tmp_path):
    for n in range(200):
        (tmp_path / f"{n % 7}" / f"{n % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{n % 7}" / f"{n % 3}" / f"{n}.txt").touch()

    async def main():
        ours = Path(tmp_path)
        for pattern in ["*", "**/*.txt", "*/1/*", "[0-3]/**/*7.txt"]:
            assert sorted([path async for path in ours.glob(pattern)]) == sorted(tmp_path.glob(pattern))
            assert sorted([path async for path in ours.rglob(pattern)]) == sorted(tmp_path.rglob(pattern))
        assert [path async for path in ours.iterdir()] == list(tmp_path.iterdir())
        assert sorted([entry.name async for entry in ours.scandir()]) == sorted(os.listdir(tmp_path))
        for wrong in [(ours / "no").iterdir(), (ours / "no").scandir()]:
            with pytest.raises(FileNotFoundError):
                await anext(wrong)
        with pytest.raises(ValueError):
            [path async for path in ours.glob("")]
        if sys.version_info >= (3, 12):
            walked = []
            async for folder, folders, files in ours.walk():
                folders.sort()
                if "3" in folders:
                    folders.remove("3")
                walked.append((str(folder), list(folders), sorted(files)))
            expected = []
            for folder, folders, files in tmp_path.walk():
                folders.sort()
                if "3" in folders:
                    folders.remove("3")
                expected.append((str(folder), list(folders), sorted(files)))
            assert walked == expected

    run(main())


def test_a_stream_that_is_left_early(run, tmp_path):
    for n in range(200):
        (tmp_path / f"{n}").touch()

    async def main():
        for stream in [Path(tmp_path).iterdir(), Path(tmp_path).glob("*"), Path(tmp_path).scandir()]:
            await anext(stream)
            await stream.aclose()

    run(main())


def test_large_files(run, tmp_path):
    data = os.urandom(3_000_000)

    async def main():
        path = Path(tmp_path) / "large"
        assert await path.write_bytes(memoryview(data)) == len(data)
        assert await path.read_bytes() == data
        assert await (await path.copy(path.with_suffix(".copy"))).read_bytes() == data

    run(main())


def test_copies(run, tmp_path):
    furnish(tmp_path)
    (tmp_path / "file").chmod(0o751)
    (tmp_path / "folder" / "link").symlink_to("inner")

    async def main():
        folder = Path(tmp_path)
        copied = await (folder / "file").copy(folder / "copy")
        assert (await copied.read_bytes(), stat.S_IMODE((await copied.stat()).st_mode)) == (b"soup\r\n", 0o751)
        await copied.chmod(0o600)
        assert stat.S_IMODE((await (await (folder / "file").copy(copied)).stat()).st_mode) == 0o751
        os.utime(folder / "file", (1, 2))
        await (folder / "file").copy(str(copied), preserve_metadata=True)
        assert (await copied.stat()).st_mtime == 2
        assert not await (await (folder / "link").copy(folder / "followed")).is_symlink()
        assert await (await (folder / "link").copy(folder / "link2", follow_symlinks=False)).readlink() == Path("file")
        assert await (await (folder / "folder").copy(folder / "tree", follow_symlinks=False) / "link").is_symlink()
        assert await (folder / "tree" / "inner").read_bytes() == b"inner"
        assert await (folder / "file").copy_into(folder / "tree") == folder / "tree" / "file"
        for same in [folder / "file", folder / "link"]:
            with pytest.raises(OSError) as caught:
                await (folder / "file").copy(same)
            assert caught.value.errno == errno.EINVAL
        assert await (folder / "file").read_bytes() == b"soup\r\n"
        with pytest.raises(FileNotFoundError):
            await (folder / "no").copy(folder / "x")
        with pytest.raises((FileExistsError, IsADirectoryError)):
            await (folder / "file").copy(folder / "folder")
        moved = await (folder / "tree").move(folder / "moved")
        assert not await (folder / "tree").exists()
        assert await (await (moved / "inner").move_into(folder)).read_bytes() == b"inner"

    run(main())


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")
def test_moves_to_another_file_system(run, tmp_path):
    if os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("the same file system")
    furnish(tmp_path)
    away = pathlib.Path(f"/dev/shm/rondeau-{os.getpid()}")
    away.mkdir()

    async def main():
        for name in ["file", "folder", "link"]:
            moved = await (Path(tmp_path) / name).move(Path(away) / name)
            assert not (tmp_path / name).is_symlink()
            assert not (tmp_path / name).exists()
            assert await moved.lstat()
        assert await Path(away, "folder", "inner").read_bytes() == b"inner"
        assert await Path(away, "link").is_symlink()

    try:
        run(main())
    finally:
        import shutil

        shutil.rmtree(away)


def test_write_atomic(run, tmp_path):
    async def main():
        path = Path(tmp_path) / "menu"
        await path.write_atomic("soup\n")
        assert stat.S_IMODE((await path.stat()).st_mode) == 0o600
        await path.chmod(0o664)
        await path.write_atomic(b"roast\n")
        assert (await path.read_bytes(), stat.S_IMODE((await path.stat()).st_mode)) == (b"roast\n", 0o664)
        with pytest.raises(UnicodeEncodeError):
            await path.write_atomic("\u20ac", "ascii")
        with pytest.raises(FileNotFoundError):
            await (path.parent / "no" / "menu").write_atomic(b"")
        assert await path.read_text() == "roast\n"
        assert os.listdir(tmp_path) == ["menu"]

    run(main())


def test_what_a_killed_atomic_write_left_is_in_nobodys_way(run, tmp_path):
    """A process of the same number, as in a container that was started again, left the very name that is tried first."""

    async def main():
        path = Path(tmp_path) / "menu"
        await path.write_atomic("soup")
        # The number goes on from there; each name may be taken.
        left = [tmp_path / f".menu.{os.getpid()}-{number}" for number in range(200)]
        for each in left:
            each.touch()
        await path.write_atomic("roast")
        assert await path.read_text() == "roast"
        assert sorted(tmp_path.iterdir()) == sorted([*left, tmp_path / "menu"])

    run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_atomic_write_keeps_the_owner(run, tmp_path):
    async def main():
        path = Path(tmp_path) / "menu"
        await path.write_text("soup")
        os.chown(path, 12, 34)
        await path.chmod(0o6750)
        await path.write_atomic("roast")
        known = await path.stat()
        assert (known.st_uid, known.st_gid, stat.S_IMODE(known.st_mode)) == (12, 34, 0o6750)

    run(main())


@pytest.mark.parametrize("other", [False, True])
def test_holes_stay_holes_in_a_copy(tmp_path, other):
    """On the same file system and, where there is another one, onto that."""
    source = tmp_path / "holes"
    with open(source, "wb") as file:
        file.write(b"soup")
        file.seek(64 << 20)
        file.write(b"roast" * 100_000)
        file.truncate(200 << 20)
    if source.stat().st_blocks * 512 > 100 << 20:
        pytest.skip("this file system has no holes")
    folder = pathlib.Path("/dev/shm") if other else tmp_path
    target = folder / f"copy-{os.getpid()}"
    if not folder.is_dir():
        pytest.skip("no other file system")

    async def main():
        await Path(source).copy(target)

    try:
        rondeau.run(main())
        assert target.stat().st_size == 200 << 20
        assert target.stat().st_blocks * 512 < 2 << 20
        with open(target, "rb") as file:
            assert file.read(5) == b"soup\0"
            file.seek(64 << 20)
            assert file.read(500_001) == b"roast" * 100_000 + b"\0"
    finally:
        target.unlink()


def test_cancelled(run, tmp_path):
    """A cancelled read or walk leaves no descriptor; conftest.py counts."""
    (tmp_path / "file").write_bytes(b"x" * 2_000_000)

    async def main():
        for ask in [Path.read_bytes, Path.stat, Path.resolve, lambda path: anext(path.parent.glob("*"))]:
            task = asyncio.ensure_future(ask(Path(tmp_path / "file")))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_names_of_anyio():
    anyio = pytest.importorskip("anyio")
    for name in public(anyio.Path):
        ours, theirs = inspect.getattr_static(Path, name), inspect.getattr_static(anyio.Path, name)
        ours, theirs = getattr(ours, "__func__", ours), getattr(theirs, "__func__", theirs)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs) or name in ("open",), name


def test_rondeau_names():
    assert rondeau.Path is Path
