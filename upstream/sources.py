"""Where the suites come from: for each a folder with its tests, and an environment with the package that they test.

Called by run.py. All of it goes into target/upstream, nothing into the repository: the source distribution (pip downloads
it), out of it the tests alone, and a venv with the released package, what its tests need, and Rondeau. The tests run against
the installed package and not against the unpacked source, whose extension modules are not built.

What is there already is not fetched again. A folder given with --sources is looked into first, for `NAME-VERSION.tar.gz`.
"""

import fnmatch
import hashlib
import os
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "target" / "upstream"


@dataclass
class Suite:
    """A section of suites.toml, which says what each field is."""

    name: str
    version: str
    tests: list[str]
    modules: list[str]
    requirements: list[str]
    archive: str = ""
    runner: str = "pytest"
    prologue: str = ""
    without: Sequence[str] = ()
    options: Sequence[str] = ()

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.tar.gz"

    @property
    def root(self) -> Path:
        """The folder that stands for the top of the source distribution."""
        return TARGET / f"{self.name}-{self.version}"

    @property
    def home(self) -> Path:
        return TARGET / "{}.{}".format(*sys.version_info) / self.name

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    def names(self) -> list[str]:
        """Its modules, as the runner names them: files under `root`, or dotted names."""
        files = sorted(str(file.relative_to(self.root)) for file in self.root.rglob("*.py"))
        found = files if self.runner == "pytest" else [file.removesuffix(".py").replace("/", ".") for file in files]
        wanted = [name for name in found if any(same_depth(name, pattern) for pattern in self.modules)]
        return [name for name in wanted if not any(fnmatch.fnmatch(name, pattern) for pattern in self.without)]


def same_depth(name: str, pattern: str) -> bool:
    # In fnmatch a * goes over slashes and dots.
    slashes = name.count("/") == pattern.count("/") and name.count(".") == pattern.count(".")
    return slashes and fnmatch.fnmatch(name, pattern)


def load() -> list[Suite]:
    sections = tomllib.loads((HERE / "suites.toml").read_text())
    return [Suite(name, **section) for name, section in sections.items()]


def prepare(suite: Suite, folder: Path | None, wheel: Path | None) -> None:
    """Fetch, unpack and install what is not there yet.

    Raises:
        OSError, subprocess.CalledProcessError: something could not be had.
    """
    if not suite.root.exists():
        unpack(suite, fetch(suite, folder))
    needed = [f"{suite.name}=={suite.version}", *suite.requirements]
    mark = suite.home / "installed"
    state = hashlib.sha256("\n".join(needed).encode()).hexdigest()
    if not mark.exists() or mark.read_text() != state:
        venv.create(suite.home, clear=True, with_pip=True)
        pip(suite.python, "install", *needed)
        mark.write_text(state)
    if wheel is not None:
        pip(suite.python, "install", "--no-deps", "--force-reinstall", str(wheel))


def fetch(suite: Suite, folder: Path | None) -> Path:
    if folder is not None and (folder / suite.file).exists():
        return folder / suite.file
    file = TARGET / suite.file
    if file.exists():
        return file
    TARGET.mkdir(parents=True, exist_ok=True)
    if suite.archive:
        partly = file.with_suffix(".part")
        urllib.request.urlretrieve(suite.archive, partly)
        partly.rename(file)
    else:
        pip(
            sys.executable,
            "download",
            "--no-deps",
            "--no-binary",
            suite.name,
            "--dest",
            str(TARGET),
            f"{suite.name}=={suite.version}",
        )
    return file


def unpack(suite: Suite, file: Path) -> None:
    partly = suite.root.with_suffix(".part")
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            # The first part is the archive's own folder, whatever it is called.
            member.name = member.name.partition("/")[2]
            if any(member.name == part or member.name.startswith(f"{part}/") for part in suite.tests):
                archive.extract(member, partly, filter="data")
    partly.rename(suite.root)


def pip(python: str | os.PathLike[str], *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)
