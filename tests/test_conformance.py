"""The runner of `make conformance`: what a test that hangs, crashes or fails does to the run, and to the verdict."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parents[1] / "conformance"
ARMS = ["loop", "types", "native"]
SUITE = """
import os, signal, time, unittest

earlier = []

class Tests(unittest.TestCase):
    def test_1_passes(self):
        earlier.append(1)

    def test_2_hangs(self):
        time.sleep(3600)

    def test_3_passes(self):
        earlier.append(3)

    def test_4_crashes(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def test_5_leaves(self):
        os._exit(0)

    def test_6_is_skipped(self):
        self.skipTest("no reason")

    def test_7_has_a_subtest_that_fails(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

    def test_8_is_expected_to_fail(self):
        self.fail()
    test_8_is_expected_to_fail = unittest.expectedFailure(test_8_is_expected_to_fail)

    def test_9_forks(self):
        if os.fork() == 0:
            time.sleep(3600)

class Neighbours(unittest.TestCase):
    def test_1_disturbs(self):
        earlier.append("disturbed")

    def test_2_is_disturbed(self):
        self.assertNotIn("disturbed", earlier)

class CannotBeSetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("no set-up")

    def test_is_not_run(self):
        pass
"""


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(CONFORMANCE)
    import expected
    import process

    yield process, expected
    for module in ("expected", "process"):
        del sys.modules[module]


def test_each_test_has_an_outcome_whatever_the_others_do(runner, monkeypatch, tmp_path):
    process, _ = runner
    (tmp_path / "a_suite.py").write_text(SUITE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    found = process.run("asyncio", "a_suite", timeout=3, once=["a_suite.Tests.test_2_hangs"])
    kinds = {test.removeprefix("a_suite."): (outcome.kind, outcome.alone) for test, outcome in found.outcomes.items()}
    assert kinds == {
        "Tests.test_1_passes": ("passed", False),
        "Tests.test_2_hangs": ("hung", False),
        "Tests.test_3_passes": ("passed", False),
        "Tests.test_4_crashes": ("crashed", False),
        "Tests.test_5_leaves": ("crashed", False),
        "Tests.test_6_is_skipped": ("skipped", False),
        "Tests.test_7_has_a_subtest_that_fails": ("failed", False),
        "Tests.test_8_is_expected_to_fail": ("passed", False),
        "Tests.test_9_forks": ("passed", False),
        "Neighbours.test_1_disturbs": ("passed", False),
        "Neighbours.test_2_is_disturbed": ("passed", True),
        "CannotBeSetUp.test_is_not_run": ("not run", False),
    }
    assert "in test_2_hangs" in found.outcomes["a_suite.Tests.test_2_hangs"].detail
    assert "no set-up" in found.outcomes["a_suite.CannotBeSetUp.test_is_not_run"].detail


def test_a_module_that_cannot_be_imported_is_a_failure(runner, monkeypatch, tmp_path):
    process, expected = runner
    (tmp_path / "no_suite.py").write_text("import nothing_of_the_kind")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    found = process.run("asyncio", "no_suite", timeout=30)
    assert expected.judge(process.Module("asyncio", "no_suite"), found, {}).wrong.keys() == {"no_suite"}


def verdict(runner, ours, listed=()):
    process, expected = runner
    base = process.Module(
        "asyncio", "test.test_asyncio.m", {"m.T.a": process.Outcome("passed"), "m.T.b": process.Outcome("failed")}
    )
    module = process.Module("loop", "test.test_asyncio.m", {test: process.Outcome(kind) for test, kind in ours.items()})
    return expected.judge(base, module, {test: expected.Listed("why", must_exist=True) for test in listed})


@pytest.mark.parametrize("kind", ["failed", "skipped", "hung", "crashed", "not run"])
def test_what_asyncio_passes_must_pass(runner, kind):
    assert verdict(runner, {"m.T.a": kind}).wrong.keys() == {"m.T.a"}
    assert verdict(runner, {"m.T.a": kind}, listed=["m.T.a"]).wrong == {}
    assert verdict(runner, {"m.T.a": "passed", "m.T.b": kind}).wrong == {}


def test_a_test_that_is_gone_is_a_failure(runner):
    assert verdict(runner, {}).wrong.keys() == {"m.T.a"}


def test_the_list_is_strict(runner):
    passes = {"m.T.a": "passed"}
    assert verdict(runner, passes, listed=["m.T.a"]).wrong["m.T.a"].kind == "unexpected pass"
    assert verdict(runner, passes, listed=["m.T.never"]).wrong["m.T.never"].kind == "not there"


def test_the_list_is_short(runner, tmp_path):
    _, expected = runner
    assert len({test for arm in expected.load(ARMS).values() for test in arm}) <= 10
    entry = '[[reason]]\nwhy = "many"\narms = ["loop"]\nversions = ["3.13"]\ntests = {}\n'
    file = tmp_path / "list.toml"
    file.write_text(entry.format([f"m.T.t{number}" for number in range(11)]))
    with pytest.raises(ValueError, match="more than 10 tests"):
        expected.load(ARMS, file)
    file.write_text(entry.format(["m.T.t"]).replace("3.13", "3.31"))
    with pytest.raises(ValueError, match=r"no such version or arm: 3\.31"):
        expected.load(ARMS, file)


def test_without_a_test_package_it_says_so_and_fails(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "__init__.py").touch()
    code = "import sys, runpy; sys.path[:0] = sys.argv[1:3]; sys.argv[1:] = []; runpy.run_module('run', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", code, tmp_path, CONFORMANCE], capture_output=True, text=True)
    assert ran.returncode == 2
    assert "no package test.test_asyncio" in ran.stderr
