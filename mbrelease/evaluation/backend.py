"""Where and how the forward pass runs; part of the identity of every measurement."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mbrelease.errors import MissingExtra, UserError

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Backend:
    """An attention implementation, a number format and a device type."""

    attn: str = "sdpa"
    dtype: str = "float32"
    device: str = "cpu"


def choose_backend(device: Device = "auto") -> Backend:
    """The backend for ``device``; ``auto`` takes a CUDA device where there is one.

    Torch is imported only where a driver is present, so that finding that everything was
    measured already costs no import.

    Raises:
        UserError: CUDA was asked for and is not there.
    """
    if device == "cpu" or (device == "auto" and not _nvidia_driver_present()):
        return Backend()
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("eval", "measuring a checkpoint") from error
    if torch.cuda.is_available():
        return Backend(device="cuda")
    if device == "cuda":
        raise UserError("no CUDA device is available", mend="use --device cpu")
    return Backend()


def available_cores() -> int:
    """The cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _nvidia_driver_present() -> bool:
    return Path("/proc/driver/nvidia/version").exists()
