"""What ``--slurm KEY=VALUE`` says: options of sbatch, under their long names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbrelease.errors import UserError
from mbrelease.evaluation.backend import FLASH, Attention, Backend, Device, Dtype

DEFAULT_TIME = "4:00:00"
DEFAULT_MAX_PARALLEL = 256
GPU_KEYS = frozenset({"gpus", "gpus-per-node", "gpus-per-task", "gres"})
OURS = frozenset(
    {"array", "error", "job-name", "open-mode", "output", "parsable", "requeue", "signal", "wait"}
)
"""What this program sets itself."""

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")


@dataclass(frozen=True)
class SlurmOptions:
    """How elements are submitted."""

    sbatch: Mapping[str, str | bool]
    """Options of sbatch without ``time``; True is an option without a value."""
    time_minutes: int
    max_parallel: int

    @property
    def asks_for_gpus(self) -> bool:
        """Whether an option names GPUs."""
        return not GPU_KEYS.isdisjoint(self.sbatch)


def parse_options(given: Sequence[str], max_parallel: int | None = None) -> SlurmOptions:
    """``KEY=VALUE`` options, or ``KEY`` alone.

    Raises:
        UserError: one is no option, is set by this program, or is no time.
    """
    sbatch: dict[str, str | bool] = {}
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip().lstrip("-").replace("_", "-")
        if not re.fullmatch(r"[a-z][a-z0-9-]+", key) or (equals and not value) or "\n" in value:
            raise UserError(
                f"--slurm {text!r} is no option of sbatch", mend="such as --slurm partition=gpu"
            )
        if key in OURS:
            raise UserError(f"--slurm {key}: mbrelease sets this itself", mend="leave it out")
        sbatch[key] = value if equals else True
    time_minutes = _minutes(str(sbatch.pop("time", DEFAULT_TIME)))
    return SlurmOptions(sbatch, time_minutes, max_parallel or DEFAULT_MAX_PARALLEL)


def backend_on_nodes(
    options: SlurmOptions, attn: Attention = "auto", dtype: Dtype = "auto", device: Device = "auto"
) -> Backend:
    """The backend of jobs that run on other machines, which cannot be asked.

    ``auto`` is CUDA where GPUs are asked for, and there FlashAttention-2 in bfloat16.

    Raises:
        UserError: the three do not go together.
    """
    if device == "auto":
        device = "cuda" if options.asks_for_gpus else "cpu"
    if device == "cpu":
        if attn in FLASH:
            raise UserError(
                f"attention '{attn}' needs a CUDA device", mend="ask for one: --slurm gpus=1"
            )
        fp32: Dtype = "float32"
        return Backend(
            "sdpa" if attn == "auto" else attn, fp32 if dtype == "auto" else dtype, device
        )
    if attn in FLASH and dtype == "float32":
        raise UserError(
            f"attention '{attn}' has no float32", mend="use --attn sdpa or --dtype bfloat16"
        )
    if dtype == "auto":
        dtype = "bfloat16"
    if attn == "auto":
        attn = "fa2-varlen" if dtype == "bfloat16" else "sdpa"
    return Backend(attn, dtype, device)


def _minutes(text: str) -> int:
    """A time as sbatch takes it, in minutes, rounded up.

    minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and
    days-hours:minutes:seconds (man sbatch).
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise UserError(f"--slurm time={text} is no time", mend="such as 2:00:00 or 1-12")
    parts = [int(part) for part in match["clock"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        hours += 24 * int(match["days"])
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = [0, *parts, 0][:3]
    total = hours * 60 + minutes + math.ceil(seconds / 60)
    if total == 0:
        raise UserError(f"--slurm time={text} is no time", mend="such as 2:00:00 or 1-12")
    return total
