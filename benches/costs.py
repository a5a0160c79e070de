"""Writes the figures of a run into docs/costs.md: `make bench JSON=run.json`, then `python benches/costs.py run.json`.

A table there stands between two comments; the first names its rows, as limits.toml names them:

    <!-- figures: call_soon chain; sleep(0) -->
    <!-- end of figures -->

A table whose rows were not all measured in this run stays as it is, and is named.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

COSTS = Path(__file__).resolve().parent.parent / "docs" / "costs.md"
# The arm's name in the table.
COLUMNS = {
    "asyncio": "asyncio",
    "uvloop": "uvloop",
    "rloop": "rloop",
    "zuvloop": "zuvloop",
    "rondeau": "plain",
    "native": "native",
}
TABLE = re.compile(r"(<!-- figures: ([^>]*?) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def table(names: list[str], found: dict[str, Any]) -> str | None:
    """The rows of these names as Markdown; None where one was not measured."""
    rows = {row["name"]: row for row in found["rows"]}
    if any(name not in rows for name in names):
        return None
    arms = [arm for arm in COLUMNS if any(rows[name]["values"].get(arm) for name in names)]
    lines = [f"| {' | '.join(['operation', *(COLUMNS[arm] for arm in arms)])} |", "|---" * (len(arms) + 1) + "|"]
    for name in names:
        unit = rows[name]["unit"]
        label = f"{name}" if unit == "ns" else f"{name} ({unit})"
        values = [rows[name]["values"].get(arm) for arm in arms]
        cells = [f"{median(each):,.0f}" if each else "" for each in values]
        lines.append(f"| {' | '.join([label, *cells])} |")
    conditions = found["conditions"]
    return "\n".join([*lines, "", f"{conditions['python']}, {conditions['kernel']}, {conditions['machine']}.", ""])


def fill(text: str, found: dict[str, Any]) -> tuple[str, list[str]]:
    """The document with the run's figures, and the tables that stay as they were."""
    left: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        made = table([name.strip() for name in match[2].split(";")], found)
        if made is None:
            left.append(match[2])
            return match[0]
        return f"{match[1]}\n{made}\n{match[3]}"

    return TABLE.sub(replaced, text), left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="JSON", help="what benches/run.py --json wrote")
    parser.add_argument("--document", type=Path, default=COSTS, help="default: %(default)s")
    options = parser.parse_args()
    text, left = fill(options.document.read_text(), json.loads(options.run.read_text()))
    options.document.write_text(text)
    for names in left:
        print(f"not measured, left as it was: {names}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
