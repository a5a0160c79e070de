"""Reads `limits.toml`, the floors the project has set itself, and holds a run's figures against them.

A floor is printed as met or not met, with its figure. It decides no exit status: a noisy machine must not
fail a build.
"""

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import arms
from harness.results import Results, Row

Verdict = Literal["met", "not met", "not measured", "other Python"]


@dataclass(frozen=True)
class Limit:
    row: str
    at_most: float
    against: str = ""
    """The peer whose figure is the unit, "best" for the cheapest peer of the run; empty for a limit on the figure itself."""
    arm: str = ""
    """The arm that the limit is for; empty for the one that is judged."""
    growth_from: str = ""
    """Another row of the same arm whose figure is the unit: growth with the load."""
    python: str = ""
    """The CPython version the floor was set for; empty for all."""


@dataclass(frozen=True)
class Checked:
    limit: Limit
    verdict: Verdict
    figure: float | None


def read(path: Path) -> list[Limit]:
    return [Limit(**entry) for entry in tomllib.loads(path.read_text())["limit"]]


def check(limit: Limit, results: Results, subject: str) -> Checked:
    if limit.python and limit.python != "{}.{}".format(*sys.version_info):
        return Checked(limit, "other Python", None)
    figure = find(limit, results, subject)
    if figure is None:
        return Checked(limit, "not measured", None)
    return Checked(limit, "met" if figure <= limit.at_most else "not met", figure)


def find(limit: Limit, results: Results, subject: str) -> float | None:
    row = results.row(limit.row)
    if row is None:
        return None
    subject = limit.arm or subject
    if limit.against:
        spread = row.ratio(subject, best(row) if limit.against == "best" else limit.against)
        return spread.middle if spread else None
    spread = row.spread(subject)
    if spread is None or not limit.growth_from:
        return spread.middle if spread else None
    other = results.row(limit.growth_from)
    base = other.spread(subject) if other else None
    return spread.middle / base.middle if base and base.middle else None


def best(row: Row) -> str:
    """The peer with the least figure in this row; an empty name where there is none."""
    figures = {peer: spread.middle for peer in arms.PEERS if (spread := row.spread(peer))}
    return min(figures, key=lambda peer: figures[peer]) if figures else ""
