"""Jobs on this machine, in one process a slot: a GPU, or a share of the cores.

A process that dies (killed for memory, say) takes its one job with it, and another takes its
place. On one slot jobs run in this process, see ``measure.in_this_process``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.grid.failures import Failure, failure_from_json
from mbrelease.evaluation.jobs import Job
from mbrelease.evaluation.measure import Finished, Order, Runner, in_this_process
from mbrelease.progress import Progress

WORKER = "mbrelease.evaluation.grid.worker"
VISIBLE = "CUDA_VISIBLE_DEVICES"
LAST_WORDS_BYTES = 4096


@dataclass(frozen=True)
class Slot:
    """What one process may use: a GPU as ``CUDA_VISIBLE_DEVICES`` names it, or cores."""

    gpu: str | None = None
    cores: tuple[int, ...] = ()


def choose_slots(backend: Backend, wanted: int | None = None) -> list[Slot]:
    """``wanted`` slots for ``backend``; by default one a GPU, and one for all cores of a CPU."""
    if backend.device == "cuda":
        gpus = _gpus()
        return [Slot(gpu=gpus[n % len(gpus)]) for n in range(wanted or len(gpus))]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = wanted or 1
    return [
        Slot(cores=tuple(cores[n % len(cores) :: count] if cores else ())) for n in range(count)
    ]


def on_slots(backend: Backend, wanted: int | None = None) -> Runner:
    """Jobs run on the slots of ``choose_slots``; in this process if there is but one, or one job.

    What there is to run on is looked up when there is something to run.
    """

    def runner(order: Order, progress: Progress) -> Generator[Finished]:
        slots = choose_slots(backend, wanted)[: len(order.jobs)]
        return in_this_process(order, progress) if len(slots) == 1 else _run(slots, order, progress)

    return runner


def _run(slots: Sequence[Slot], order: Order, progress: Progress) -> Generator[Finished]:
    """Give each slot its next job until there are none.

    Raises:
        UserError: what would stop every job.
    """
    pending, later = list(order.jobs), list[Job]()
    progress.start("measure", len(order.jobs), "measurements")
    with contextlib.ExitStack() as opened:
        selector = opened.enter_context(selectors.DefaultSelector())
        workers = [_Worker(slot, selector) for slot in slots]
        for worker in workers:
            opened.callback(worker.end)
        while pending or later or any(worker.job for worker in workers):
            for worker in workers:
                # What another process measures is waited for when nothing else is left.
                if worker.job is None and (jobs := pending or later):
                    job = _next(jobs, worker.last, {one.job.path for one in workers if one.job})
                    worker.ask(job, order, wait=jobs is later)
                    jobs.remove(job)
            for key, _events in selector.select():
                for job, answer in key.data.answers():
                    if "note" in answer:
                        progress.note(answer["note"])
                    elif "in_flight" in answer:
                        later.append(job)
                    elif "fatal" in answer:
                        raise UserError(answer["fatal"]["reason"], mend=answer["fatal"]["mend"])
                    else:
                        progress.advance()
                        failed = answer.get("failed")
                        yield job, failure_from_json(failed) if failed else None


def _next(jobs: Sequence[Job], last: Path | None, others: set[Path]) -> Job:
    """A job on the checkpoint that is loaded, else on one that no other process has loaded."""
    return min(jobs, key=lambda job: (job.path != last, job.path in others))


class _Worker:
    """A process on a slot; when it died, the next job starts another."""

    def __init__(self, slot: Slot, selector: selectors.BaseSelector) -> None:
        self.slot, self.selector = slot, selector
        self.job: Job | None = None
        self.last: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.received = b""

    def ask(self, job: Job, order: Order, *, wait: bool) -> None:
        """Send ``job`` to the process."""
        if self.process is None or self.process.poll() is not None:
            self.end()
            self.process = self._started()
        request = {
            "job": job.to_json(),
            "evidence": str(order.evidence.absolute()),
            "languages": list(order.languages),
            "wait": wait,
        }
        self.job, self.last = job, job.path
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: its stdout will tell
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def answers(self) -> Generator[tuple[Job, dict[str, Any]]]:
        """What the process said since of its job; of one that died, that its job failed."""
        assert self.process is not None and self.process.stdout is not None
        received = os.read(self.process.stdout.fileno(), 1 << 16)
        if not received:
            reason = _cause_of_death(self.process.wait(), self.stderr)
            self.end()
            if self.job is not None:
                job, self.job = self.job, None
                yield job, {"failed": Failure(job.name, reason).to_json()}
            return
        *lines, self.received = (self.received + received).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            assert self.job is not None, answer
            job = self.job
            if "note" not in answer:
                self.job = None
            yield job, answer

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.last = None
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdin is not None and process.stdout is not None
        self.selector.unregister(process.stdout)
        process.stdout.close()
        self.stderr.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def _started(self) -> subprocess.Popen[bytes]:
        cores, gpu = self.slot.cores, self.slot.gpu
        self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.received = b""
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", WORKER, *([",".join(map(str, cores))] if cores else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=os.environ | ({VISIBLE: gpu} if gpu is not None else {}),
            start_new_session=True,  # Ctrl-C is for the one who asked
        )
        assert process.stdout is not None
        self.selector.register(process.stdout, selectors.EVENT_READ, self)
        return process


def _cause_of_death(code: int, stderr: IO[bytes]) -> str:
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - LAST_WORDS_BYTES))
    words = stderr.read().decode(errors="replace").strip().splitlines()
    if -code == signal.SIGKILL:
        return "its process was killed; perhaps the machine ran out of memory"
    died = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return f"its process {died}" + (f": {words[-1]}" if words else "")


def _gpus() -> list[str]:
    if given := [gpu for gpu in os.environ.get(VISIBLE, "").split(",") if gpu.strip()]:
        return given
    import torch

    return [str(number) for number in range(max(1, torch.cuda.device_count()))]
