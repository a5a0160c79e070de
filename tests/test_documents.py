"""What the documents say is run: README's programs, the examples in docstrings, and the names that they mention."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rondeau

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "DESIGN.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benches/README.md",
    "docs/hosts.md",
    "docs/files.md",
    "docs/nesting.md",
    "docs/seeing.md",
    "docs/simulation.md",
]
MODULES = ["rondeau", *(module.name for module in pkgutil.walk_packages(rondeau.__path__, "rondeau."))]


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("rondeau.__main__", "rondeau._core")])
def test_examples_in_docstrings(module):
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_such_examples():
    examples = [example for test in doctest.DocTestFinder().find(rondeau.loop) for example in test.examples]
    assert len(examples) > 3
    for public in [rondeau.run, rondeau.Runner, rondeau.EventLoop, rondeau.new_event_loop]:
        assert ">>>" in (public.__doc__ or ""), public


@pytest.mark.parametrize("program", blocks("README.md", "python"))
def test_the_readmes_python_programs(program):
    if sys.version_info < (3, 12):
        program = "\n".join(line for line in program.splitlines() if "Python 3.12" not in line)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("soup, cooked\nroast, cooked\nsalad, cooked\n")


@pytest.mark.parametrize("program", blocks("docs/nesting.md", "python"))
def test_the_program_of_the_guide_to_nesting(program):
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "4 5\n", "")


@pytest.mark.parametrize("program", blocks("docs/files.md", "python"))
def test_the_programs_of_the_guide_to_files(program):
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "soup\nroast\nsalad\nb'soup' b'salad'\n"


@pytest.mark.parametrize(
    ("program", "output"),
    list(zip(blocks("docs/simulation.md", "python"), ["fails {'balance': -60}\n", "3600.0\n"], strict=True)),
)
def test_the_programs_of_the_guide_to_simulation(program, output):
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_the_readme_shows_both_languages():
    assert len(blocks("README.md", "python")) == len(blocks("README.md", "rust")) == 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (ROOT / document).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_that_are_mentioned_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = re.findall(r"^\$ make ([a-z -]+?)(?: [A-Z#].*| {2,}.*)?$|`make ([a-z-]+)`", (ROOT / document).read_text(), re.M)
    for names in mentioned:
        assert set("".join(names).split()) <= targets


def test_files_that_the_architecture_names_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for folder, words in re.findall(r"^\| `((?:crates|python)/[\w/-]+)` \| (.*) \|$", text, re.MULTILINE):
        source = ROOT / folder / "src" if folder.startswith("crates/") else ROOT / folder
        if not source.is_dir():
            continue
        for name in re.findall(r"`([\w/]+)`", words):
            found = [source / name, source / f"{name}.rs", source / f"{name}.py"]
            assert any(path.exists() for path in found), f"{folder}: {name}"
