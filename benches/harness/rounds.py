"""The order of a run: for each case, rounds A B C D A B C D, one arm after the other, each in its own child.

A slow stretch of the machine so falls on all arms alike, and ratios are taken within a round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import idle, load
from harness.child import Child, ChildFailedError
from harness.results import Results, Row
from harness.workload import Case, Echo, Figure, Idle, Mode, Timed, Workload

ROUND_SECONDS = 120


@dataclass
class Run:
    arms: Sequence[str]
    mode: Mode
    rounds: int
    loadgen: Path | None
    """None when no selected workload needs it."""
    done: Callable[[list[Row]], None]
    """Told the rows of each case as it is finished."""
    before: Path | None = None
    """Where the arms of another build import rondeau from."""

    def __post_init__(self) -> None:
        self._children: dict[str, Child] = {}
        self.results = Results(list(self.arms))

    def start(self) -> None:
        """Starts the children; an arm that this interpreter has not is noted as missing."""
        for arm in self.arms:
            try:
                self._children[arm] = Child(arm, self.before)
            except ChildFailedError as error:
                self.results.missing[arm] = str(error)
            else:
                self.results.versions[arm] = self._children[arm].version

    def workload(self, module: str, workload: Workload) -> None:
        for case in workload.cases(self.mode):
            rows = self._case(module, workload, case)
            self.done(rows)

    def end(self) -> None:
        for child in self._children.values():
            child.end()

    def _case(self, module: str, workload: Workload, case: Case) -> list[Row]:
        key = f"{workload.name} {case.label}".strip()
        failed: dict[str, str] = {}
        rounds = min(self.rounds, workload.most_rounds or self.rounds)
        warmups = 0 if self.mode == "quick" or workload.fresh else 1
        rows: dict[str, Row] = {}
        for number in range(-warmups, rounds):
            for arm in [arm for arm in self._children if arm not in failed]:
                try:
                    figures = self._round(arm, module, workload, case)
                except (ChildFailedError, OSError) as error:
                    failed[arm] = str(error)
                    self._replace(arm)
                    continue
                for figure in figures if number >= 0 else ():
                    name = f"{key}: {figure.name}" if figure.name else key
                    row = rows.setdefault(name, Row(name, workload.name, figure.unit))
                    row.values.setdefault(arm, []).append(figure.value)
        if not rows:
            rows[key] = Row(key, workload.name, "ns")
        for row in rows.values():
            for arm in failed:
                row.values.pop(arm, None)
            row.failed.update(failed)
        self.results.rows += rows.values()
        return list(rows.values())

    def _round(self, arm: str, module: str, workload: Workload, case: Case) -> list[Figure]:
        if workload.fresh:
            self._replace(arm)
        child = self._children[arm]
        child.ask(module, case)
        answer = child.answer(ROUND_SECONDS)
        if isinstance(workload, Timed):
            return [Figure(**figure) for figure in answer["figures"]]
        assert self.loadgen is not None
        if isinstance(workload, Echo):
            figures = load.echo_round(child, workload, case, self.loadgen, answer)
        else:
            assert isinstance(workload, Idle)
            figures = idle.idle_round(child, case, self.loadgen, answer)
        child.answer(ROUND_SECONDS)
        return figures

    def _replace(self, arm: str) -> None:
        self._children[arm].end()
        self._children[arm] = Child(arm, self.before)
