"""The child process of one arm: `python -m harness.worker ARM`, started by `child.py`.

Reads one JSON object a line from stdin (which workload, which case), runs one round of it on a new loop, and
answers with one line. It lives through all rounds of its arm; no other arm's loop is ever imported in it.
"""

import asyncio
import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from harness import arms, process, serving
from harness.workload import Case, Echo, Idle, Meter, Timed, Workload

Reply = Callable[[dict[str, Any]], None]


def run_timed(workload: Timed, case: Case, make: arms.Factory) -> list[dict[str, Any]]:
    if sys.version_info < workload.needs:
        raise NotImplementedError("needs Python {}.{}".format(*workload.needs))
    meter = Meter()

    async def main() -> None:
        await workload.body(case.count, meter)

    gc.collect()
    with asyncio.Runner(loop_factory=make, debug=False) as runner:
        runner.run(main())
    if workload.clock == "wall":
        meter.figure("", "ns wall", meter.wall / case.count)
    else:
        meter.figure("", "ns", meter.cpu / case.count)
    return [asdict(figure) for figure in meter.figures]


def run_server(workload: Echo | Idle, case: Case, make: arms.Factory, reply: Reply) -> None:
    def ready(port: int, control: int) -> None:
        reply({"port": port, "control": control})

    gc.collect()
    with asyncio.Runner(loop_factory=make, debug=False) as runner:
        runner.run(serving.until_stopped(workload.serve, case, ready))


def run_round(request: dict[str, Any], make: arms.Factory, reply: Reply) -> dict[str, Any]:
    workload: Workload = importlib.import_module(request["module"]).WORKLOAD
    fields = request["case"]
    case = Case(**{**fields, "levels": tuple(fields["levels"])})
    if isinstance(workload, Timed):
        return {"figures": run_timed(workload, case, make)}
    assert isinstance(workload, Echo | Idle)
    run_server(workload, case, make, reply)
    return {"stopped": True}


def main(arm: str) -> None:
    # Answers go to the first stdout; what a loop or a workload prints goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        make = arms.factory(arm)
        arms.prepare(arm)
        make().close()
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})
        return
    process.raise_descriptor_limit()
    process.pin(process.SERVER_CORE)
    reply({"version": arms.version(arm)})
    for line in sys.stdin:
        try:
            reply(run_round(json.loads(line), make, reply))
        except Exception as error:
            traceback.print_exc()
            reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(sys.argv[1])
