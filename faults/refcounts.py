"""A pytest plugin for a debug interpreter: each test is run several times, and its runs must leave no reference behind.

`make refcounts` runs `pytest -p refcounts` with it. `sys.gettotalrefcount()` counts every reference in the process, so one
INCREF too many, in a path that a test takes once, is one more after each run. A run counts whole (set up, call, tear down); the
first ones fill caches and do not count. The test leaks if every one of the last runs left more than before: chance leaves more
in one and less in another. Where the asyncio arm of a test is run, it is judged too, and is no failure: that leak is not ours.

Rejected: one run with a tolerance, which is blind to a single reference; regrtest's `-R`, which knows unittest only.
"""

import gc
import pathlib
import sys
import tempfile
import urllib.parse

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

WARM, COUNTED = 3, 4
# What another package leaves, without Rondeau in the process as well: requests keeps a little of each session.
THEIRS = ["test_a_socket_that_is_read_with_a_blocking_library_is_named_at_the_programs_line"]


def pytest_configure(config):
    if not hasattr(sys, "gettotalrefcount"):
        raise pytest.UsageError("refcounts: this interpreter does not count (sys.gettotalrefcount); a debug build does")
    # The same examples in each run: Hypothesis keeps some of what it drew.
    hypothesis.settings.register_profile("counted", derandomize=True, database=None)
    hypothesis.settings.load_profile("counted")
    config.pluginmanager.register(Counter(), "counter")


def total() -> int:
    """References now, in what can be reached.

    leaks.py freezes what is there before each test. What a cache lets go of later, and is part of a cycle, is garbage that the
    collector no longer looks at: importlib.metadata, which the recorder asks for Rondeau's version, does so at each call, for
    each entry of sys.path that does not exist.
    """
    sys._clear_type_cache()
    urllib.parse.clear_cache()  # requests asks for an address with a port of its own each time.
    for _ in range(2):
        gc.collect()
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # As it was: a look at all of it takes a while.
    return sys.gettotalrefcount()


@pytest.fixture
def tmp_path():
    """pytest's own keeps a path for each; this one leaves nothing."""
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


class Counter:
    def __init__(self) -> None:
        self.leaks: list[tuple[str, list[int]]] = []
        self.counted = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        totals = [0] * (WARM + COUNTED + 1)  # Made beforehand: an integer that is kept is a reference as well.
        for turn in range(len(totals)):
            reports = runtestprotocol(item, nextitem=item.parent, log=False)  # Tears the item down, not its module.
            if any(report.outcome != "passed" for report in reports):
                break
            reports = None
            item._report_sections.clear()  # What it printed, which pytest keeps of each run.
            totals[turn] = total()
        else:
            deltas = [after - before for before, after in zip(totals[WARM:], totals[WARM + 1 :], strict=False)]
            self.counted += 1
            if min(deltas) > 0:
                self.leaks.append((item.nodeid, deltas))
                terminal = item.config.pluginmanager.get_plugin("terminalreporter")
                terminal.write_line(f"\nreferences left: {item.nodeid} {deltas}")  # Now: the run is long.
        # Once more, to tell pytest how it went and to let module fixtures go.
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("references")
        terminalreporter.line(f"{self.counted} tests counted, {len(self.leaks)} left references in each of {COUNTED} runs")
        for name, deltas in self.leaks:
            terminalreporter.line(f"  {name} {deltas}")

    def pytest_sessionfinish(self, session):
        ours = [name for name, _ in self.leaks if "[asyncio" not in name and name.rpartition("::")[2] not in THEIRS]
        if ours:
            session.exitstatus = 1
