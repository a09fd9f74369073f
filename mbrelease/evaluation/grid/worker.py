"""A process that measures one job after another for ``grid.local``: JSON lines in and out.

``python -m mbrelease.evaluation.grid.worker [CORES]`` with the cores it may use, such as ``0,2``.
In: ``{"job": …, "evidence": …, "languages": …, "wait": …}``. Out: any ``{"note": …}``, then
``{"done": true}``, ``{"in_flight": true}``, ``{"failed": …}`` or ``{"fatal": …}``. It ends with
its stdin, even in the middle of a job: then whoever asked is gone.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, Any

from mbrelease.evaluation.grid.failures import FATAL, InFlight, failure_of
from mbrelease.evaluation.jobs import job_from_json
from mbrelease.evaluation.measure import LoadedModel, Order, run_job
from mbrelease.progress import Silent


class _Notes(Silent):
    """Passes on what should stay on the screen."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out

    def note(self, message: str) -> None:
        _say(self.out, {"note": message})


def main(arguments: list[str]) -> None:
    """Answer requests until there are no more."""
    if arguments and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in arguments[0].split(",")})
    # What libraries print goes to stderr: stdout is for answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    loaded = LoadedModel()
    while True:
        _say(out, _answer(json.loads(requests.get()), loaded, _Notes(out)))


def _listen(requests: queue.Queue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _answer(request: dict[str, Any], loaded: LoadedModel, notes: _Notes) -> dict[str, Any]:
    job = job_from_json(request["job"])
    order = Order([job], Path(request["evidence"]), tuple(request["languages"]))
    try:
        run_job(job, order, loaded=loaded, wait=request["wait"], progress=notes)
    except InFlight:
        return {"in_flight": True}
    except FATAL as error:
        return {"fatal": failure_of(job.name, error).to_json()}
    except Exception as error:
        loaded.forget()
        return {"failed": failure_of(job.name, error).to_json()}
    return {"done": True}


def _say(out: IO[str], answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
