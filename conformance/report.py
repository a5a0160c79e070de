"""What `make conformance` prints: what went wrong in full, then a line a module, then the rates."""

from collections.abc import Iterable

from expected import Listed, Verdict
from process import Module

LINES = 40  # of a failure's traceback, unless all is asked for


def failures(verdicts: Iterable[Verdict], verbose: bool) -> None:
    for verdict in verdicts:
        for test, outcome in verdict.wrong.items():
            lines = outcome.detail.rstrip().splitlines()
            if not verbose and len(lines) > LINES:
                lines = ["…", *lines[-LINES:]]
            print(f"\n=== {verdict.arm}: {test}: {outcome.kind}")
            print("\n".join(f"    {line}" for line in lines))


def modules(verdicts: Iterable[Verdict]) -> None:
    print(f"\n{'arm':8} {'module':26} {'asyncio':>8} {'rondeau':>8} {'listed':>7} {'wrong':>6} {'seconds':>8}")
    for each in verdicts:
        row = f"{each.arm:8} {each.module:26} {each.counted:8} {each.passed:8} {len(each.listed):7} {len(each.wrong):6}"
        print(f"{row} {each.seconds:8.1f}")


def notes(base: Iterable[Module], verdicts: Iterable[Verdict], listed: dict[str, dict[str, Listed]]) -> None:
    for module in base:
        for test, outcome in module.outcomes.items():
            if outcome.kind not in ("passed", "skipped"):
                print(f"not counted, since asyncio has it {outcome.kind} here: {test}")
    for verdict in verdicts:
        for test in verdict.alone:
            print(f"passed only when run again, alone: {verdict.arm}: {test}")
        for test in verdict.listed:
            print(f"on the strict list: {verdict.arm}: {test}: {listed[verdict.arm][test].why}")


def rates(verdicts: list[Verdict]) -> bool:
    """The last lines; true if all is as it must be."""
    for arm in dict.fromkeys(each.arm for each in verdicts):
        ours = [each for each in verdicts if each.arm == arm]
        counted, passed = sum(each.counted for each in ours), sum(each.passed for each in ours)
        rate = f"{passed / counted:.2%}" if counted else "nothing"
        print(f"{arm}: {passed} of the {counted} tests that asyncio passes: {rate}")
    passed, wrong = sum(each.passed for each in verdicts), sum(len(each.wrong) for each in verdicts)
    print(f"{passed} passed, {wrong} failed")
    return wrong == 0 and passed > 0
