"""`Path`'s operations on two names, on every odd pair of them: what pathlib of Python 3.14 does, errors and messages too."""

import errno
import functools
import itertools
import os
import pathlib
import re
import sys

import pytest

import rondeau

NAMES = [
    "file",
    "./file",
    "hard link",
    "link",
    "link to the link",
    "dangling",
    "loop",
    "folder",
    "folder/inner",
    "folder/inner/deep",
    "folder/../file",
    "folder/inner/../new",
    "link to the folder",
    "link to the folder/new",
    "full",
    "missing",
    "missing/new",
    "file/new",
    "new",
    "/dev/null",
]


def populate():
    pathlib.Path("file").write_text("the only copy")
    os.link("file", "hard link")
    os.symlink("file", "link")
    os.symlink("link", "link to the link")
    os.symlink("nothing", "dangling")
    os.symlink("loop", "loop")
    os.makedirs("folder/inner/deep")
    pathlib.Path("folder/leaf").write_text("leaf")
    os.symlink("folder", "link to the folder")
    os.makedirs("full")
    pathlib.Path("full/leaf").write_text("another leaf")


def tree():
    """What there is, with its content and kind; not the times."""
    found = {}
    for folder, folders, files in os.walk("."):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[path] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[path] = ("folder", "")
            else:
                found[path] = ("file", pathlib.Path(path).read_text())
    return found


def outcome(error):
    if error is None:
        return "done"
    return type(error).__name__, error.errno, error.strerror, str(error.filename), str(error.filename2)


def in_a_folder(path, act):
    path.mkdir()
    before = os.getcwd()
    os.chdir(path)
    try:
        populate()
        try:
            act()
            error = None
        except (OSError, ValueError) as raised:
            error = raised
        return outcome(error) if not isinstance(error, ValueError) else repr(error), tree()
    finally:
        os.chdir(before)


OPERATIONS = {
    "copy": lambda path, target: path.copy(target),
    "copy, links as links": lambda path, target: path.copy(target, follow_symlinks=False),
    "copy with metadata": lambda path, target: path.copy(target, preserve_metadata=True),
    "copy_into": lambda path, target: path.copy_into(target),
    "move": lambda path, target: path.move(target),
    "move_into": lambda path, target: path.move_into(target),
    "rename": lambda path, target: path.rename(target),
    "replace": lambda path, target: path.replace(target),
    "hardlink_to": lambda path, target: path.hardlink_to(target),
    "symlink_to": lambda path, target: path.symlink_to(target),
    "samefile": lambda path, target: path.samefile(target),
}
LATE = {"copy", "copy, links as links", "copy with metadata", "copy_into", "move", "move_into"}


def ours(runner, path, operation, source, target):
    async def main():
        await OPERATIONS[operation](rondeau.Path(source), target)

    return in_a_folder(path, lambda: runner.run(main()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_pair_is_as_in_pathlib(operation, tmp_path):
    if operation in LATE and sys.version_info < (3, 14):
        pytest.skip("pathlib has no such method")
    wrong = []
    with rondeau.Runner() as runner:
        for number, (source, target) in enumerate(itertools.product(NAMES[:-1], NAMES)):
            act = functools.partial(OPERATIONS[operation], pathlib.Path(source), target)
            theirs = in_a_folder(tmp_path / f"{number} theirs", act)
            found = ours(runner, tmp_path / f"{number} ours", operation, source, target)
            if found != theirs and not is_better(operation, source, target, found, theirs):
                wrong.append((source, target, theirs[0], found[0], theirs[1] == found[1]))
    assert not wrong, "\n".join(map(str, wrong[:20]))


def is_better(operation, source, target, found, theirs):
    """Where pathlib would recurse for ever, and where it asks a device for what only files can do."""
    if target == "/dev/null" and theirs[0] != "done" and theirs[0][1] == errno.EINVAL:
        return operation.startswith("copy") and found[0] == "done"
    inside = found[0] != "done" and found[0][1] == errno.EINVAL and "is a parent of" in found[0][2]
    return operation.startswith(("copy", "move")) and inside


@pytest.mark.parametrize("name", ["report", "latest", "./report", "another"])
def test_moving_onto_itself_destroys_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("report").write_text("the only copy")
    os.symlink("report", "latest")
    os.link("report", "another")

    async def main():
        with pytest.raises(OSError, match="Source and target are the same file") as caught:
            await rondeau.Path(name).move("report")
        assert caught.value.errno == errno.EINVAL

    rondeau.run(main())
    assert {path: pathlib.Path(path).read_text() for path in ("report", "latest", "another")} == dict.fromkeys(
        ("report", "latest", "another"), "the only copy"
    )
    assert os.readlink("latest") == "report"


@pytest.mark.parametrize(
    "target", ["project/build/backup", "{here}/project/build/backup", "link/backup", "project/../project/backup"]
)
def test_a_folder_is_never_copied_into_itself(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("project/build")
    os.symlink("project/build", "link")
    pathlib.Path("project/build/a").write_text("a")

    async def main():
        with pytest.raises(OSError, match=re.escape("Source path is a parent of target path")) as caught:
            await rondeau.Path("project").copy(target.format(here=tmp_path))
        assert caught.value.errno == errno.EINVAL

    rondeau.run(main())
    assert sum(len(folders) for _, folders, _ in os.walk(tmp_path / "project")) == 1
