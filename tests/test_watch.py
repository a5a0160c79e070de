"""rondeau.watch: what is done under a path is told, in order, with whole paths, and nothing that stays is missed."""

import asyncio
import errno
import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

import rondeau


async def until(changes, kind, path):
    """The changes up to that one."""
    found = []
    async for change in changes:
        found.append(change)
        if (change.kind, change.path) == (kind, path):
            return found
    raise AssertionError(f"ended without {kind} {path}: {found}")


def short(changes, folder):
    return [
        (
            change.kind,
            os.path.relpath(change.path, folder),
            *([os.path.relpath(change.source, folder)] if change.source else []),
        )
        for change in changes
    ]


def test_a_folder(run, tmp_path):
    folder = str(tmp_path)

    async def main():
        async with rondeau.watch(folder) as changes:
            (tmp_path / "menu").write_text("soup")
            (tmp_path / "menu").chmod(0o600)
            (tmp_path / "menu").rename(tmp_path / "card")
            (tmp_path / "inner").mkdir()
            (tmp_path / "inner" / "unseen").touch()
            (tmp_path / "card").unlink()
            (tmp_path / "last").touch()
            found = await until(changes, "written", f"{folder}/last")
            assert short(found, folder) == [
                ("created", "menu"),
                ("modified", "menu"),
                ("written", "menu"),
                ("attributes", "menu"),
                ("moved", "card", "menu"),
                ("created", "inner"),
                ("deleted", "card"),
                ("created", "last"),
                ("written", "last"),
            ]
            assert [change.is_dir for change in found if "inner" in change.path] == [True]

    run(main())


def test_new_folders_and_what_was_made_in_them(run, tmp_path):
    async def main():
        async with rondeau.watch(tmp_path, recursive=True) as changes:
            deep = tmp_path / "a" / "b" / "c"
            deep.mkdir(parents=True)
            (deep / "early").write_text("before it is watched")
            found = await until(changes, "created", deep / "early")
            assert [change.path for change in found if change.kind == "created"] == [
                tmp_path / "a",
                tmp_path / "a" / "b",
                deep,
                deep / "early",
            ]
            (deep / "late").write_text("")
            await until(changes, "written", deep / "late")
            (tmp_path / "a").rename(tmp_path / "z")
            moved = await until(changes, "moved", tmp_path / "z")
            assert moved[-1].source == tmp_path / "a"
            (tmp_path / "z" / "b" / "c" / "new").touch()
            await until(changes, "created", tmp_path / "z" / "b" / "c" / "new")
            shutil.rmtree(tmp_path / "z")
            found = await until(changes, "deleted", tmp_path / "z")
            assert {change.path.name for change in found if change.kind == "deleted"} == {"early", "late", "new", "c", "b", "z"}

    run(main())


def test_moved_in_and_out(run, tmp_path):
    watched, elsewhere = tmp_path / "watched", tmp_path / "elsewhere"
    (watched / "tree" / "inner").mkdir(parents=True)
    (watched / "file").touch()
    elsewhere.mkdir()

    async def main():
        async with rondeau.watch(watched, recursive=True) as changes:
            (watched / "file").rename(elsewhere / "file")
            assert (await until(changes, "deleted", watched / "file"))[-1].source is None
            (watched / "tree").rename(elsewhere / "tree")
            assert (await until(changes, "deleted", watched / "tree"))[-1].is_dir
            (elsewhere / "tree" / "inner" / "unseen").touch()
            (elsewhere / "file").rename(watched / "file")
            found = await until(changes, "created", watched / "file")
            assert len(found) == 1
            (elsewhere / "tree").rename(watched / "again")
            await until(changes, "created", watched / "again" / "inner" / "unseen")
            (watched / "again" / "inner" / "unseen").unlink()
            await until(changes, "deleted", watched / "again" / "inner" / "unseen")

    run(main())


def test_a_file_by_its_name(run, tmp_path):
    menu = tmp_path / "menu"
    menu.write_text("soup")

    async def main():
        async with rondeau.watch(menu) as changes:
            (tmp_path / "other").touch()
            (tmp_path / "new").write_text("roast")
            (tmp_path / "new").replace(menu)  # as editors save
            found = await until(changes, "created", menu)
            menu.write_text("cake")
            found += await until(changes, "written", menu)
            menu.unlink()
            found += await until(changes, "deleted", menu)
            assert {change.path for change in found} == {menu}

    run(main())


@pytest.mark.parametrize("how", ["removed", "moved"])
@pytest.mark.parametrize("recursive", [False, True])
def test_a_root_that_goes_ends_it(run, tmp_path, how, recursive):
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)

    async def main():
        found = []
        async with rondeau.watch(root, recursive=recursive) as changes:
            if how == "removed":
                shutil.rmtree(root)
            else:
                root.rename(tmp_path / "away")
            async for change in changes:
                found.append(change)
            assert [each async for each in changes] == []
        assert (found[-1].kind, found[-1].path) == ("gone", root)

    run(main())


def test_the_form_of_the_names(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        for n, (path, kind) in enumerate(
            [
                (str(tmp_path), str),
                (os.fsencode(tmp_path), bytes),
                (tmp_path, type(tmp_path)),
                (rondeau.Path(tmp_path), rondeau.Path),
            ]
        ):
            async with rondeau.watch(path) as changes:
                (tmp_path / f"{n}").touch()
                change = await anext(changes)
                assert type(change.path) is kind
                assert os.fsencode(change.path) == os.fsencode(tmp_path / f"{n}")
        strange = os.fsdecode(b"\xff\n")
        async with rondeau.watch(".") as changes:
            (tmp_path / strange).touch()
            assert (await anext(changes)).path == f"./{strange}"
        (tmp_path / "file").touch()
        async with rondeau.watch("file") as changes:
            (tmp_path / "file").write_text("x")
            assert (await anext(changes)).path == "file"

    run(main())


def test_errors(run, tmp_path):
    async def main():
        for enter in [lambda watch: watch.__aenter__(), anext]:
            with pytest.raises(FileNotFoundError) as caught:
                await enter(rondeau.watch(tmp_path / "no"))
            assert caught.value.filename == str(tmp_path / "no")
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            await anext(rondeau.watch(tmp_path / "file" / "below"))
        with pytest.raises(ValueError):
            await anext(rondeau.watch("nul\0"))
        with pytest.raises(TypeError):
            rondeau.watch(5)

    run(main())


def test_cancelled_and_closed(run, tmp_path):
    async def main():
        async with rondeau.watch(tmp_path, recursive=True) as changes:
            for _ in range(3):
                waiting = asyncio.create_task(anext(changes))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            (tmp_path / "menu").touch()
            assert (await anext(changes)).kind == "created"
            await until(changes, "written", tmp_path / "menu")
            waiting = asyncio.create_task(anext(changes))
            await asyncio.sleep(0)
            changes.close()
            with pytest.raises(StopAsyncIteration):
                await waiting
        begun = asyncio.create_task(anext(rondeau.watch(tmp_path, recursive=True)))
        await asyncio.sleep(0)
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)
        async for _ in rondeau.watch(tmp_path):
            raise AssertionError("nothing changed")

    async def bounded():
        await asyncio.wait_for(main(), 1)

    with pytest.raises(TimeoutError):  # the last watch waits for ever
        run(bounded())


def test_an_overflow_is_told_and_new_folders_are_found(run, tmp_path):
    """More events than the kernel keeps, while nobody reads."""
    limit = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the kernel keeps too many")

    async def main():
        async with rondeau.watch(tmp_path, recursive=True) as changes:
            a, b = tmp_path / "a", tmp_path / "b"
            a.touch()
            for _ in range(limit // 2 + 10):
                a.rename(b)
                b.rename(a)
            (tmp_path / "missed").mkdir()
            found = await until(changes, "overflow", tmp_path)
            assert all(change.path.name != "missed" for change in found)
            # After this the missed folder's watch is there: it is looked for before anything else is read.
            (tmp_path / "marker").touch()
            await until(changes, "created", tmp_path / "marker")
            (tmp_path / "missed" / "seen").touch()
            await until(changes, "created", tmp_path / "missed" / "seen")

    run(main())


@pytest.mark.parametrize("seed", range(10))
def test_a_model_that_follows_the_changes_has_the_whole_tree(run, tmp_path, seed):
    """Random operations while the watch goes on: whoever applies the changes to a set of names has what the disk has."""
    chosen = random.Random(seed)
    root = tmp_path / "root"
    root.mkdir()

    def folders():
        return [root, *(path for path in root.rglob("*") if path.is_dir())]

    def act():
        name = chosen.choice("abcd")
        target = chosen.choice(folders()) / name
        what = chosen.randrange(8)
        try:
            if what < 3:
                target.mkdir()
                if chosen.random() < 0.5:
                    (target / name).mkdir()
                    (target / name / "leaf").touch()
            elif what < 5:
                target.touch()
            elif what == 5:
                target.rename(chosen.choice(folders()) / chosen.choice("abcd"))
            elif target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
        except OSError:
            pass  # It is there already, is not there, or would go into itself.

    async def main():
        model = set()
        async with rondeau.watch(root, recursive=True) as changes:
            for _ in range(150):
                act()
                if chosen.random() < 0.3:
                    await asyncio.sleep(0)
            (root / "end").touch()

            def remove(path):
                for each in [each for each in model if each == path or path in each.parents]:
                    model.discard(each)

            def apply(change):
                if change.kind == "created":
                    model.add(change.path)
                elif change.kind == "deleted":
                    remove(change.path)
                elif change.kind == "moved":
                    below = [each for each in model if change.source in each.parents]
                    remove(change.path)
                    remove(change.source)
                    model.add(change.path)
                    model.update(change.path / each.relative_to(change.source) for each in below)

            for change in await until(changes, "written", root / "end"):
                apply(change)
            # What the last new folders hold may be told after the end's own event.
            while model != set(root.rglob("*")):
                apply(await asyncio.wait_for(anext(changes), 10))

    run(main())


LIMITED = """
import asyncio, os, sys, rondeau
with open("/proc/sys/user/max_inotify_watches", "w") as limit:
    limit.write("3")
folder = sys.argv[1]
async def main():
    try:
        async with rondeau.watch(folder, recursive=True):
            pass
    except OSError as error:
        print(error.errno, error.strerror, error.filename.startswith(folder))
rondeau.run(main())
"""


def test_too_few_watches_says_what_to_raise(tmp_path):
    for n in range(5):
        (tmp_path / f"{n}").mkdir()
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", LIMITED, str(tmp_path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("no unshare")
    if "unshare" in done.stderr or "max_inotify_watches" in done.stderr:
        pytest.skip(f"no user namespace of our own: {done.stderr}")
    assert done.stderr == ""
    number, text = done.stdout.split(" ", 1)
    assert int(number) == errno.ENOSPC
    assert "raise fs.inotify.max_user_watches (now " in text
    assert text.endswith("True\n")


def test_a_second_reader_at_once_is_told(run, tmp_path):
    async def main():
        async with rondeau.watch(tmp_path) as changes:
            first = asyncio.ensure_future(anext(changes))
            while changes._waiter is None:
                await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task already waits"):
                await anext(changes)
            (tmp_path / "menu").touch()
            assert (await first).kind == "created"

    run(main())
