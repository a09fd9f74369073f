"""What Slurm says of array elements, asked with squeue: sacct needs accounting, which few have."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from mbrelease.errors import UserError

ALIVE = frozenset(
    {
        "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_FED",
        "REQUEUE_HOLD", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
    }
)  # fmt: skip
"""States of an element that may still give a result (man squeue)."""
NOT_UP = "see 'sinfo' and run it again, or use --backend local"
MAX_ARRAY = 1000
ANSWER_SECONDS = 60


class SlurmSilent(UserError):
    """Slurm gave no answer; it may in a minute."""


@dataclass(frozen=True)
class State:
    """An element in the queue, or one that left it a few minutes ago."""

    state: str
    reason: str

    @property
    def alive(self) -> bool:
        """Whether it may still give a result."""
        return self.state in ALIVE


def require_slurm() -> None:
    """Stop where there is no Slurm.

    Raises:
        UserError: its programs are not here.
    """
    missing = [name for name in ("sbatch", "squeue", "srun", "scontrol") if not shutil.which(name)]
    if missing:
        raise UserError(
            f"there is no Slurm here: no {missing[0]}",
            mend="run this where jobs are submitted, or use --backend local",
        )


def states(names: Iterable[str]) -> dict[str, dict[int, State]]:
    """The elements of the arrays of these names, by index; those that ended long ago are missing.

    Raises:
        SlurmSilent: squeue fails.
    """
    wanted = ",".join(names)
    found: dict[str, dict[int, State]] = {}
    if not wanted:
        return found
    answer = _ask(
        "squeue", "--noheader", "--array", "--states=all", f"--name={wanted}",
        "--format=%j|%K|%T|%r",
    )  # fmt: skip
    for line in answer.splitlines():
        name, index, state, reason = line.strip().split("|", 3)
        # A lone job is no array and has no index.
        number = int(index) if index.isdecimal() else 0
        found.setdefault(name, {})[number] = State(state, reason)
    return found


def largest_array() -> int:
    """How many elements one array may have."""
    for line in _ask("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize" and value.strip().isdecimal():
            return min(MAX_ARRAY, int(value)) or MAX_ARRAY
    return MAX_ARRAY


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmSilent(
            f"{command[0]} gave no answer in {ANSWER_SECONDS} seconds", mend=NOT_UP
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise SlurmSilent(f"{command[0]} fails: {said}", mend=NOT_UP)
    return done.stdout
