"""Jobs on Slurm: submit what is in no queue yet, and wait for all of it.

A command that ends leaves its jobs in Slurm. One that is run again finds them by the folders in
``evidence/.jobs/slurm`` (see ``slurm_array``), waits for them and submits the rest.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Mapping
from pathlib import Path

from mbrelease.evaluation.evidence import scratch_folder
from mbrelease.evaluation.grid.failures import Failure
from mbrelease.evaluation.grid.slurm_array import JOBS, MORE_TIME, Place, submit, submitit
from mbrelease.evaluation.grid.slurm_options import SlurmOptions
from mbrelease.evaluation.grid.slurm_queue import (
    SlurmSilent,
    State,
    largest_array,
    require_slurm,
    states,
)
from mbrelease.evaluation.jobs import Job, stored
from mbrelease.evaluation.measure import Finished, Order, Runner
from mbrelease.files import locked, read_json
from mbrelease.progress import Progress

POLL_SECONDS = (1.0, 15.0)
"""Between two questions to Slurm: when something happened, and when nothing does."""
SILENT_SECONDS = 900
"""After so long without an answer from Slurm it is no longer waited for."""
LATE_SECONDS = 30
"""A shared file system may show what an element wrote so long after the element ended."""
KEPT_SECONDS = 24 * 3600
"""The folder of an array that ended is kept so long, for its logs."""

GONE = "nothing (it was cancelled while it waited, or ended long ago)"
MAY_BE_LATE = ("COMPLETED", "FAILED", GONE)
MENDS = {"TIMEOUT": MORE_TIME, "OUT_OF_MEMORY": "give it more memory: --slurm mem=SIZE"}


def on_slurm(options: SlurmOptions) -> Runner:
    """Jobs run as elements of arrays that are submitted with ``options``."""

    def runner(order: Order, progress: Progress) -> Generator[Finished]:
        submitit()
        require_slurm()
        waiting = _submitted(order, options, progress)
        progress.start("measure on Slurm", len(order.jobs), "measurements")
        try:
            yield from _Wait(order, waiting, progress).finished()
        except KeyboardInterrupt:
            arrays = ", ".join(sorted({place.array for place in waiting.values()}))
            progress.note(f"what was submitted goes on in Slurm, as {arrays}")
            progress.note("run the same command again to wait for it and to see what failed")
            raise

    return runner


def _submitted(order: Order, options: SlurmOptions, progress: Progress) -> dict[str, Place]:
    """Where each job is, by its key; those that are in no queue are submitted.

    Raises:
        UserError: Slurm cannot be asked, or refuses.
    """
    root = scratch_folder(order.evidence).absolute() / "slurm"
    with locked(root / ".lock"):
        queued = _in_queue(root)
        places = {job.key: queued[job.key] for job in order.jobs if job.key in queued}
        if places:
            progress.note(f"{len(places)} measurements are in Slurm's queue already")
        new = [job for job in order.jobs if job.key not in queued]
        size = largest_array() if new else 1
        for start in range(0, len(new), size):
            jobs = new[start : start + size]
            folder = submit(root, jobs, order.evidence, order.languages, options)
            progress.note(f"{len(jobs)} measurements submitted to Slurm as {folder.name}")
            places |= {job.key: Place(folder, index) for index, job in enumerate(jobs)}
    return places


def _in_queue(root: Path) -> dict[str, Place]:
    """Where the jobs are that earlier commands submitted and that may still give a result."""
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir()]
    queues = states(folder.name for folder in folders)
    found: dict[str, Place] = {}
    for folder in folders:
        alive = {index for index, state in queues.get(folder.name, {}).items() if state.alive}
        if alive:
            keys = [job["key"] for job in read_json(folder / JOBS)["jobs"]]
            found |= {keys[index]: Place(folder, index) for index in alive}
        elif time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    return found


class _Wait:
    """Waits until each job has a record, or Slurm says that it will have none."""

    def __init__(self, order: Order, places: Mapping[str, Place], progress: Progress) -> None:
        self.order, self.places, self.progress = order, places, progress
        self.ended_at: dict[str, float] = {}
        self.told: set[tuple[str, str]] = set()

    def finished(self) -> Generator[Finished]:
        """Each job when it is over."""
        left = list(self.order.jobs)
        answered_at, pause = time.monotonic(), POLL_SECONDS[0]
        while left:
            try:
                queues = states(sorted({self.places[job.key].array for job in left}))
                answered_at = time.monotonic()
            except SlurmSilent:
                if time.monotonic() - answered_at > SILENT_SECONDS:
                    raise
                time.sleep(POLL_SECONDS[1])
                continue
            over = [end for job in left if (end := self._end(job, queues)) is not None]
            for job, failure in over:
                left.remove(job)
                self.progress.advance()
                yield job, failure
            pause = POLL_SECONDS[0] if over else min(pause * 1.5, POLL_SECONDS[1])
            if left:
                time.sleep(pause)

    def _end(self, job: Job, queues: Mapping[str, Mapping[int, State]]) -> Finished | None:
        """How ``job`` ended; ``None`` while it may still give a result."""
        place = self.places[job.key]
        state = queues.get(place.array, {}).get(place.index)
        if state is not None and state.alive:
            self.ended_at.pop(job.key, None)
            self._tell_held(place, state)
            return None
        if stored(job, self.order.evidence) is not None:
            return job, None
        if (failure := place.failure()) is not None:
            return job, failure
        now = time.monotonic()
        waited = now - self.ended_at.setdefault(job.key, now)
        said = state.state if state is not None else GONE
        if waited == 0 or (said in MAY_BE_LATE and waited < LATE_SECONDS):
            return None
        log = f"; its log is {place.log}" if place.log else ""
        reason = f"it ended in Slurm without a result, and Slurm says {said}{log}"
        return job, Failure(job.name, reason, MENDS.get(said))

    def _tell_held(self, place: Place, state: State) -> None:
        """What is held waits for a person: say so once."""
        if "held" in state.reason.lower() and (place.array, state.reason) not in self.told:
            self.told.add((place.array, state.reason))
            self.progress.note(
                f"Slurm holds elements of {place.array}: {state.reason} (scontrol release)"
            )
