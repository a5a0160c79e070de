"""What a run found: rows of figures by arm, and ratios between arms.

A ratio is the median of the rounds' own ratios: one arm against the other within a round, so that slow drift
of the machine cancels.
"""

from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Spread:
    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


@dataclass
class Row:
    name: str
    workload: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    """Arm: one figure a round."""
    failed: dict[str, str] = field(default_factory=dict)
    """Arm: why it has no figure here."""

    def spread(self, arm: str) -> Spread | None:
        return Spread.of(self.values[arm]) if self.values.get(arm) else None

    def ratio(self, arm: str, peer: str) -> Spread | None:
        """The arm's cost in units of the peer's; None when either is missing or the peer's is zero."""
        ours, theirs = self.values.get(arm), self.values.get(peer)
        if not ours or not theirs or not all(theirs):
            return None
        return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


@dataclass
class Results:
    arms: list[str]
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Arm: why this interpreter cannot run it."""

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    def measured(self) -> list[str]:
        return [arm for arm in self.arms if arm not in self.missing]
