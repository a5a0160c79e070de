"""Tables for people (rich) and JSON for programs."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import arms
from harness.limits import Checked, Limit
from harness.results import Results, Row, Spread

Conditions = dict[str, str | int]
# A row that a change makes dearer than this is red.
DEARER = 1.02
STYLES = {"met": "green", "not met": "red", "not measured": "yellow", "other Python": "dim"}


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def figure(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{number(spread.middle)} [dim]{number(spread.least)}..{number(spread.most)}[/]"


def factor(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.middle:.2f} [dim]{spread.least:.2f}..{spread.most:.2f}[/]"


def progress(row: Row) -> str:
    found = [f"{arm} {number(Spread.of(values).middle)}" for arm, values in row.values.items()]
    failed = [f"{arm} failed: {reason}" for arm, reason in row.failed.items()]
    return f"{row.name} ({row.unit}): " + ", ".join(found + failed)


def header(console: Console, conditions: Conditions, results: Results) -> None:
    console.print("{machine}; {kernel}; {python}; load at start {load}".format(**conditions))
    console.print(", ".join(f"{arm} {version}" for arm, version in results.versions.items()))
    for arm, reason in results.missing.items():
        console.print(f"[yellow]{arm}: not measured ({reason})[/]")


def figures(console: Console, results: Results) -> None:
    table = Table(title="Cost per operation: median, least..most of the rounds")
    table.add_column("workload")
    table.add_column("unit")
    for arm in results.measured():
        table.add_column(arm, justify="right")
    for row in results.rows:
        cells = ["failed" if arm in row.failed else figure(row.spread(arm)) for arm in results.measured()]
        table.add_row(row.name, row.unit, *cells)
    console.print(table)
    failures = {(row.workload, arm, why) for row in results.rows for arm, why in row.failed.items()}
    for workload, arm, why in sorted(failures):
        console.print(f"[yellow]{workload}: {arm} failed: {why}[/]")


def ratios(console: Console, results: Results, subject: str) -> None:
    if subject in results.missing:
        console.print(f"[yellow]No ratios: {subject} was not measured ({results.missing[subject]})[/]")
        return
    peers = [arm for arm in results.arms if arm != subject]
    table = Table(title=f"Cost of {subject} in units of each peer's (below 1 is cheaper)")
    table.add_column("workload")
    for peer in peers:
        table.add_column(f"/ {peer}", justify="right")
    for row in results.rows:
        table.add_row(row.name, *(factor(row.ratio(subject, peer)) for peer in peers))
    console.print(table)


def changes(console: Console, results: Results) -> None:
    """What each row costs in units of the other build's, and which rows became dearer."""
    pairs = [(arm, before) for arm, before in arms.BEFORE.items() if before in results.measured()]
    if not pairs:
        return
    table = Table(title="Cost in units of the other build's (below 1 is cheaper now)")
    table.add_column("workload")
    for arm, _ in pairs:
        table.add_column(arm, justify="right")
    dearer = 0
    for row in results.rows:
        found = [row.ratio(arm, before) for arm, before in pairs]
        above = any(spread is not None and spread.middle > DEARER for spread in found)
        dearer += above
        cells = [factor(spread) for spread in found]
        table.add_row(f"[red]{row.name}[/]" if above else row.name, *cells)
    console.print(table)
    console.print(f"{dearer} of {len(results.rows)} rows are above {DEARER}.")


def bound(limit: Limit) -> str:
    unit = limit.against or (f"at {limit.growth_from}" if limit.growth_from else "")
    return f"≤ {limit.at_most:g}" + (f" of {unit}" if limit.against else f" x {unit}" if unit else "")


def floors(console: Console, checked: list[Checked], subject: str) -> None:
    table = Table(title=f"Floors for {subject}")
    for column in ("workload", "floor", "Python", "figure", "verdict"):
        table.add_column(column, justify="right" if column == "figure" else "left")
    for each in checked:
        value = "-" if each.figure is None else f"{each.figure:.3g}"
        verdict = f"[{STYLES[each.verdict]}]{each.verdict}[/]"
        row = f"{each.limit.row} ({each.limit.arm})" if each.limit.arm else each.limit.row
        table.add_row(row, bound(each.limit), each.limit.python or "all", value, verdict)
    console.print(table)
    met = sum(each.verdict == "met" for each in checked)
    judged = sum(each.verdict in ("met", "not met") for each in checked)
    console.print(f"{met} of {judged} floors that could be judged are met.")


def write_json(path: Path, conditions: Conditions, results: Results, checked: list[Checked]) -> None:
    found = {"conditions": conditions, **asdict(results), "floors": [asdict(c) for c in checked]}
    path.write_text(json.dumps(found, indent=1) + "\n")
