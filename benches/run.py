"""The benchmark suite: `python benches/run.py`, or `make bench`. benches/README.md says how to read it."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

import workloads
from harness import arms, limits, load, machine, report
from harness.results import Row
from harness.rounds import Run
from harness.workload import Mode, Timed, Workload

ROUNDS = {"quick": 1, "default": 5, "full": 5}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="TEXT", help="workloads whose name contains TEXT")
    parser.add_argument("--arms", help=f"comma-separated; default: {','.join(arms.USUAL)}, and with --before only ours")
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="another build of rondeau, as arms before and before-native"
    )
    parser.add_argument("--subject", default="rondeau", choices=arms.ARMS, help="the arm that is judged")
    parser.add_argument("--rounds", type=int, help="measured rounds of each case (default 5)")
    parser.add_argument("--quick", action="store_true", help="each workload once, small: does it work?")
    parser.add_argument("--full", action="store_true", help="all sizes x connections")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures here")
    parser.add_argument("--loadgen", type=Path, help="a built load generator; default: built by cargo")
    parser.add_argument("--list", action="store_true", help="print the workloads and what one operation is")
    found = parser.parse_args()
    ours = [arm for pair in arms.BEFORE.items() for arm in pair]
    found.arms = found.arms.split(",") if found.arms else ours if found.before else list(arms.USUAL)
    if unknown := set(found.arms) - set(arms.ARMS):
        parser.error(f"unknown arms: {', '.join(sorted(unknown))}")
    if not found.before and set(found.arms) & set(arms.BEFORE.values()):
        parser.error("the arms of another build need --before FOLDER")
    if found.before and not (found.before / "rondeau").is_dir():
        parser.error(f"no package rondeau in {found.before}")
    return found


def selected(only: list[str] | None) -> dict[str, Workload]:
    chosen = {
        module: workload
        for module, workload in workloads.load().items()
        if not only or any(text in workload.name for text in only)
    }
    if not chosen:
        sys.exit(f"no workload's name contains {' or '.join(only or [])}; --list prints them")
    return chosen


def main() -> int:
    options = arguments()
    chosen = selected(options.only)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if options.list:
        for workload in chosen.values():
            console.print(f"[bold]{workload.name}[/]: {workload.operation}")
        return 0
    mode: Mode = "quick" if options.quick else "full" if options.full else "default"
    needs_load = not all(isinstance(workload, Timed) for workload in chosen.values())
    loadgen = (options.loadgen or load.build()).resolve() if needs_load else None
    conditions = machine.describe()
    progress = Console(stderr=True, highlight=False, markup=False)

    def done(rows: list[Row]) -> None:
        for row in rows:
            progress.print(report.progress(row), soft_wrap=True)

    before = options.before.resolve() if options.before else None
    run = Run(options.arms, mode, options.rounds or ROUNDS[mode], loadgen, done, before)
    try:
        run.start()
        for module, workload in chosen.items():
            run.workload(module, workload)
    finally:
        run.end()
    results = run.results
    checked = [limits.check(limit, results, options.subject) for limit in limits.read(Path(__file__).with_name("limits.toml"))]
    report.header(console, conditions, results)
    report.figures(console, results)
    report.ratios(console, results, options.subject)
    report.changes(console, results)
    if not options.before:
        report.floors(console, checked, options.subject)
    if options.json:
        report.write_json(options.json, conditions, results, checked)
    # A peer may lack something; the arm that is judged and the oracle may not.
    return int(any({"asyncio", options.subject} & row.failed.keys() for row in results.rows))


if __name__ == "__main__":
    sys.exit(main())
