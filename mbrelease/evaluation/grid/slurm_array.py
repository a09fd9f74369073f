"""Arrays in Slurm: one element a job, submitted through submitit.

All that is known of an array lies in a folder that has the name of the array in the queue:
``jobs.json`` with its jobs, written before it is submitted, why elements failed, and their logs.
What submitit pickles is read by nobody but the element itself, and holds no more than the name of
that folder; results are the records in the evidence.
"""

from __future__ import annotations

import contextlib
import io
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.grid.failures import Failure, failure_from_json, failure_of
from mbrelease.evaluation.grid.slurm_options import SlurmOptions
from mbrelease.evaluation.jobs import Job, job_from_json
from mbrelease.evaluation.measure import Order, run_job
from mbrelease.files import read_json, write_json

JOBS = "jobs.json"
TIMEOUTS_REQUEUED = 1
"""submitit takes a preemption late in the time limit for its end: so it may happen once."""
MORE_TIME = "give it more time: --slurm time=HOURS:00:00"


@dataclass(frozen=True)
class Place:
    """Where a job is in Slurm: element ``index`` of the array of ``folder``."""

    folder: Path
    index: int

    @property
    def array(self) -> str:
        """The name of the array in the queue."""
        return self.folder.name

    @property
    def log(self) -> Path | None:
        """What the element printed; none before it started."""
        # <array>_<index>_0, or <job>_0 of an array of one.
        name = re.compile(rf"\d+(_{self.index})?_0_log\.out")
        return next((entry for entry in self.folder.iterdir() if name.fullmatch(entry.name)), None)

    def failure(self) -> Failure | None:
        """Why the element failed, if it said so."""
        return failure_from_json(read_json(self._failed)) if self._failed.is_file() else None

    def fail(self, failure: Failure) -> None:
        """Say why the element failed."""
        write_json(self._failed, failure.to_json())

    def begin(self) -> None:
        """Forget the failure of an earlier try."""
        self._failed.unlink(missing_ok=True)

    @property
    def _failed(self) -> Path:
        return self.folder / f"{self.index}.failed.json"


class Array:
    """What submitit starts on a node for each element, and again if the node was taken away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, index: int) -> None:
        """Measure the job of element ``index``."""
        place = Place(self.folder, index)
        place.begin()
        content = read_json(self.folder / JOBS)
        job = job_from_json(content["jobs"][index])
        order = Order([job], Path(content["evidence"]), tuple(content["languages"]))
        print(f"measure {job.name}: {job.path}", flush=True)  # its log is the element's
        try:
            run_job(job, order)
        except submitit().core.utils.UncompletedJobError:
            place.fail(Failure(job.name, "its time in Slurm was up", MORE_TIME))
            raise
        except Exception as error:
            place.fail(failure_of(job.name, error))
            raise

    def checkpoint(self, index: int) -> Any:
        """What runs when Slurm took the node away: the same job from its beginning."""
        return submitit().helpers.DelayedSubmission(self, index)


def submit(
    root: Path, jobs: Sequence[Job], evidence: Path, languages: Sequence[str], options: SlurmOptions
) -> Path:
    """Submit ``jobs`` as one array; returns its folder below ``root``.

    Raises:
        UserError: Slurm refuses.
    """
    folder = root / f"mbrelease-{secrets.token_hex(6)}"
    # Written first: a command that is killed in between leaves a folder that Slurm does not know,
    # and never an array that nobody knows.
    write_json(
        folder / JOBS,
        {
            "evidence": str(evidence.absolute()),
            "languages": list(languages),
            "jobs": [job.to_json() for job in jobs],
        },
    )
    needs_gpu = jobs[0].backend.device == "cuda" and not options.asks_for_gpus
    executor = submitit().SlurmExecutor(folder, max_num_timeout=TIMEOUTS_REQUEUED)
    executor.update_parameters(
        job_name=folder.name,
        time=options.time_minutes,
        array_parallelism=options.max_parallel,
        stderr_to_stdout=True,
        additional_parameters={
            "requeue": True, **({"gpus": 1} if needs_gpu else {}), **options.sbatch
        },
    )  # fmt: skip
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # sbatch's words, which are told below
            executor.map_array(Array(folder), range(len(jobs)))
    except submitit().core.utils.FailedJobError as error:
        shutil.rmtree(folder, ignore_errors=True)
        said = [line for line in str(error).splitlines() if "sbatch: error" in line]
        reason = said[0].partition("error: ")[2] if said else str(error).splitlines()[-1]
        raise UserError(f"Slurm refuses the jobs: {reason}", mend="see --slurm") from error
    return folder


def submitit() -> Any:
    """The library.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import submitit as library
    except ImportError as error:
        raise MissingExtra("slurm", "--backend slurm") from error
    return library
