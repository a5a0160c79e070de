"""What a run has found so far: a line of JSON for each file of tests, so that a run that was broken off is taken up again.

Called by run.py, from one thread. The suites take long, and not every machine is left alone for so long. A line is of use
again (`--resume`) only with the same Rondeau, interpreter, driver and section of suites.toml: `key` is a digest of all these.

Rejected: keeping what passed and running only the rest again. It would hide a test that passes now and then.
"""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from process import Module, Outcome
from sources import Suite

FILES = """
import hashlib, pathlib, rondeau
folder = pathlib.Path(rondeau.__file__).parent
for file in sorted(folder.iterdir()):
    if file.suffix in (".py", ".so"):
        print(file.name, hashlib.sha256(file.read_bytes()).hexdigest())
"""


def key(suite: Suite) -> str:
    """A digest of everything that decides how the suite's tests come out.

    Raises:
        subprocess.CalledProcessError: Rondeau cannot be imported beside the suite.
    """
    rondeau = subprocess.run([suite.python, "-c", FILES], check=True, capture_output=True, text=True).stdout
    what = [repr(suite), sys.version, os.environ.get("RONDEAU_DRIVER", ""), rondeau]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()


class Progress:
    """The file, and what of it is of use."""

    def __init__(self, path: Path, resume: bool) -> None:
        self._path = path
        self._known: dict[tuple[str, str, str], Module] = {}
        if resume and path.exists():
            for line in path.read_text().splitlines():
                key, arm, name, seconds, outcomes = json.loads(line)
                found = {test: Outcome(**outcome) for test, outcome in outcomes.items()}
                self._known[key, arm, name] = Module(arm, name, found, seconds=seconds)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")

    def find(self, key: str, arm: str, name: str) -> Module | None:
        """The result of this file of tests in this arm, if it is there."""
        return self._known.get((key, arm, name))

    def keep(self, key: str, module: Module) -> None:
        """Append a result; one that is broken off in the middle of its line would be, so it is written at once."""
        outcomes = {test: dataclasses.asdict(outcome) for test, outcome in module.outcomes.items()}
        line = json.dumps([key, module.arm, module.name, module.seconds, outcomes])
        with self._path.open("a") as file:
            file.write(line + "\n")
