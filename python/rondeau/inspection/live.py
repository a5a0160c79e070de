"""What `top PID` prints: what the loops of a program did in the last second, again and again.

The program counts anyway (`crates/python/src/metrics.rs`); this asks for the counts and shows the differences.
"""

from __future__ import annotations

import json
import sys
import time

from rondeau import _colours

from .listing import command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .asking import Program


def figures(before: dict[str, Any] | None, now: dict[str, Any]) -> list[dict[str, Any]]:
    """Each loop's figures between two answers, or since it began.

    Returns:
        For each loop a dict with `loop`, `running`, `utilisation` (of the time that it ran, how much it did not wait), `turns`
        (a second), `ready`, `delay_p50`, `delay_p99` and `delay_max` (seconds that what was ready waited for its turn, up to
        25 % too much; None: nothing was sampled yet), `longest` (seconds between two looks at the kernel, ever), `tasks` (a
        count for each state), `timers`, `connections`, `descriptors`, and, where there is one, `executor`.
    """
    earlier = {loop["number"]: loop for loop in before["loops"]} if before else {}
    found = []
    for loop in now["loops"]:
        was = earlier.get(loop["number"], {})
        ran = loop["ran"] - was.get("ran", 0.0)
        waited = loop["waited"] - was.get("waited", 0.0)
        counts = dict(map(tuple, loop["delays"]))
        for upper, count in was.get("delays", ()):
            counts[upper] = counts.get(upper, 0) - count
        states = {state: count for number, state, count in now["states"] if number == loop["number"]}
        found.append(
            {
                "loop": loop["number"],
                "running": loop["running"],
                "utilisation": min(max(1 - waited / ran, 0.0), 1.0) if ran > 0 else 0.0,
                "turns": (loop["turns"] - was.get("turns", 0)) / ran if ran > 0 else 0.0,
                "ready": loop["ready"],
                "delay_p50": percentile(counts, 0.5),
                "delay_p99": percentile(counts, 0.99),
                "delay_max": percentile(counts, 1.0),
                "longest": loop["longest"],
                "tasks": {state: states.get(state, 0) for state in ("running", "ready", "waiting")},
                "timers": loop["timers"],
                "connections": loop["connections"],
                "descriptors": loop["descriptors"],
                **({"executor": loop["executor"]} if "executor" in loop else {}),
            }
        )
    return found


def percentile(counts: dict[float, int], share: float) -> float | None:
    """The upper bound of the bucket where this share of all is reached; None: nothing was counted.

    >>> percentile({0.001: 98, 0.002: 1, 0.3: 1}, 0.99)
    0.002
    """
    every = sum(counts.values())
    seen = 0
    for upper, count in sorted(counts.items()):
        seen += count
        if every and seen >= share * every:
            return upper
    return None


def line(figure: dict[str, Any]) -> str:
    """A loop's figures in one line."""
    tasks = figure["tasks"]
    parts = [
        f"loop {figure['loop']}: {figure['utilisation']:.0%} busy" + ("" if figure["running"] else " (does not run)"),
        f"{figure['turns']:,.0f} turns/s",
        f"delay {seconds(figure['delay_p50'])} {seconds(figure['delay_p99'])} {seconds(figure['delay_max'])} (p50 p99 max)",
        f"tasks {tasks['running']} running {tasks['ready']} ready {tasks['waiting']} waiting",
        f"{figure['connections']} connections",
    ]
    if executor := figure.get("executor"):
        parts.append(f"executor {executor.get('waiting', '?')} queued, {executor['threads']} of {executor['most']} threads")
    return "  ".join(parts)


def page(program: Program, found: list[dict[str, Any]]) -> Iterator[str]:
    """All loops' figures, for a screen."""
    yield f"process {program.pid}: {command(program.pid)}"
    for figure in found:
        tasks = figure["tasks"]
        width = 40
        full = round(figure["utilisation"] * width)
        yield ""
        yield f"loop {figure['loop']}{'' if figure['running'] else ' (does not run)'}"
        yield f"  utilisation  {figure['utilisation']:>6.1%}  {'#' * full}{'.' * (width - full)}"
        yield f"  turns        {figure['turns']:>10,.0f} a second"
        yield (
            f"  ready queue  {figure['ready']:>10,} now; delay {seconds(figure['delay_p50'])} p50, "
            f"{seconds(figure['delay_p99'])} p99, {seconds(figure['delay_max'])} max"
        )
        yield f"  longest      {seconds(figure['longest']):>10} between two looks at the kernel, ever"
        yield (
            f"  tasks        {sum(tasks.values()):>10,}: {tasks['running']} running, {tasks['ready']} ready, "
            f"{tasks['waiting']} waiting; {figure['timers']:,} timers"
        )
        yield f"  connections  {figure['connections']:>10,}; {figure['descriptors']} other descriptors"
        if executor := figure.get("executor"):
            threads = f"{executor['threads']} of {executor['most']} threads, {executor.get('idle', '?')} idle"
            yield f"  executor     {executor.get('waiting', '?'):>10} queued; {threads}"


def seconds(value: float | None) -> str:
    """A time for people.

    >>> [seconds(value) for value in (None, 2.4e-6, 0.0123, 4.0)]
    ['-', '2.4 µs', '12 ms', '4 s']
    """
    if value is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.2g} {unit}" if value / size < 100 else f"{value / size:.0f} {unit}"
    return f"{value / 1e-6:.2g} µs" if value < 1e-4 else f"{value / 1e-6:.0f} µs"


def fitted(text: str) -> str:
    """A line as standard output wants it: no wider than a terminal, and in colours."""
    text = _colours.cut(text, _colours.width(sys.stdout))
    return _colours.line(text) if _colours.wanted(sys.stdout) else text


def show(program: Program, once: bool, as_json: bool, interval: float) -> None:
    """Ask and print until the program ends or somebody interrupts; `once`: one interval only."""
    screen = sys.stdout.isatty() and not once and not as_json
    before = program.ask("top")
    while True:
        time.sleep(interval)
        now = program.ask("top")
        found = figures(before, now)
        before = now
        if as_json:
            for figure in found:
                print(json.dumps(figure), flush=True)
        elif screen or once:
            print(("\x1b[H\x1b[2J" if screen else "") + "\n".join(map(fitted, page(program, found))), flush=True)
        else:
            for figure in found:
                print(fitted(line(figure)), flush=True)
        if once:
            return
