"""The strict list (expected.toml), and the verdict: which outcomes are as they must be.

Called by run.py, and by upstream/run.py for its own list. A test counts if asyncio passes it here and now. Such a test must
pass on Rondeau (a skip is no pass) unless it is on the list; what is on the list must not pass, so the list is never longer
than it needs to be.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from process import Module, Outcome

MOST = 10
FILE = Path(__file__).with_name("expected.toml")
VERSIONS = {"3.11", "3.12", "3.13", "3.14", "3.15"}
VERSION = "{}.{}".format(*sys.version_info)


@dataclass
class Listed:
    """Why a test may fail; and whether this Python must have it, or only its later releases do."""

    why: str
    must_exist: bool


@dataclass
class Verdict:
    """One module in one arm. `counted` are the tests that asyncio passes, `wrong` is what makes the run fail."""

    arm: str
    module: str
    counted: int = 0
    passed: int = 0
    alone: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    wrong: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0


def load(arms: Iterable[str], file: Path = FILE) -> dict[str, dict[str, Listed]]:
    """For each arm: test id → why it fails on this Python.

    Raises:
        ValueError: the list is longer than it may be, or names an arm or a version that there is not.
    """
    reasons = tomllib.loads(file.read_text()).get("reason", [])
    if len({test for reason in reasons for test in reason["tests"]}) > MOST:
        raise ValueError(f"{file.name} lists more than {MOST} tests")
    found: dict[str, dict[str, Listed]] = {arm: {} for arm in arms}
    for reason in reasons:
        everywhere, later = set(reason["versions"]), set(reason.get("later", []))
        if unknown := {*everywhere, *later} - VERSIONS | {*reason["arms"]} - found.keys():
            raise ValueError(f"{file.name}: no such version or arm: {', '.join(sorted(unknown))}")
        if VERSION in everywhere | later:
            entry = Listed(reason["why"], must_exist=VERSION in everywhere)
            for arm in reason["arms"]:
                found[arm] |= dict.fromkeys(reason["tests"], entry)
    return found


def judge(base: Module, module: Module, listed: Mapping[str, Listed], whole: bool = True) -> Verdict:
    """Compare a module in an arm with the base-line.

    `listed` is the arm's part of the strict list; `whole` is that every test of the module was run.
    """
    verdict = Verdict(module.arm, module.short, seconds=module.seconds)
    for test, outcome in base.outcomes.items():
        if outcome.kind != "passed":
            continue
        verdict.counted += 1
        ours = module.outcomes.get(test, Outcome("not run", "there is no such test in this arm"))
        passed = ours.kind == "passed"
        verdict.passed += passed
        if passed and test in listed:
            verdict.wrong[test] = Outcome("unexpected pass", f"expected.toml lists it: {listed[test].why}")
        elif passed and ours.alone:
            verdict.alone.append(test)
        elif not passed and test in listed:
            verdict.listed.append(test)
        elif not passed:
            verdict.wrong[test] = ours
    for test, entry in listed.items():
        of_this = test.startswith((f"{module.short}.", f"{module.short}::"))
        if whole and entry.must_exist and of_this and test not in base.outcomes:
            verdict.wrong[test] = Outcome("not there", f"expected.toml lists it for {VERSION}, and there is no such test")
    # The module itself could not be imported.
    if module.name in module.outcomes:
        verdict.wrong[module.name] = module.outcomes[module.name]
    return verdict
