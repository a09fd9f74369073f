"""Where and how the forward pass runs; part of the identity of every measurement."""

from __future__ import annotations

import importlib.util
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mbrelease.errors import MissingExtra, UserError

Device = Literal["auto", "cpu", "cuda"]
Attention = Literal["auto", "fa2-varlen", "flash_attention_2", "sdpa", "eager"]
Dtype = Literal["auto", "float32", "bfloat16"]

FLASH = ("fa2-varlen", "flash_attention_2")
"""What runs FlashAttention-2's kernel: on CUDA, in bfloat16."""
TRACES_OF_A_DRIVER = (
    Path("/proc/driver/nvidia/version"),
    # Linux on Windows (WSL 2), whose driver is that of Windows: the device through which it is
    # reached, whatever the maker of the GPU, and the driver's library.
    Path("/dev/dxg"),
    Path("/usr/lib/wsl/lib/libnvidia-ml.so.1"),
)
CPU_FLAGS_OF_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True)
class Backend:
    """An attention implementation, a number format and a device type.

    ``attn`` is ``fa2-varlen`` (FlashAttention-2's variable-length kernel that comes with PyTorch),
    ``flash_attention_2`` (the same of the flash-attn package), ``sdpa`` (PyTorch's
    scaled_dot_product_attention, the sliding layers in bands) or ``eager`` (transformers' own, on
    padded batches: what all others are held to). All but eager run the whole model on tokens
    packed without padding.
    """

    attn: str = "sdpa"
    dtype: str = "float32"
    device: str = "cpu"


def choose_backend(
    device: Device = "auto", attn: Attention = "auto", dtype: Dtype = "auto"
) -> Backend:
    """The backend for what was asked; ``auto`` takes the fastest that is right.

    On a CUDA device that is FlashAttention-2 in bfloat16, from compute capability 8.0. On a CPU it
    is sdpa in float32 whatever the processor, so that numbers made on two laptops compare.

    Torch is imported only where a driver is present, so that finding that everything was
    measured already costs no import.

    Raises:
        MissingExtra: torch, or the package of ``flash_attention_2``, is not installed.
        UserError: CUDA was asked for and is not there, or the three do not go together.
    """
    if device == "cpu" or (device == "auto" and not _nvidia_driver_present()):
        return _on_cpu(attn, dtype)
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("eval", "measuring a checkpoint") from error
    if torch.cuda.is_available():
        return _on_cuda(attn, dtype)
    if device == "cuda":
        raise UserError("no CUDA device is available", mend="use --device cpu")
    return _on_cpu(attn, dtype)


def available_cores() -> int:
    """The cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_cpu(attn: Attention, dtype: Dtype) -> Backend:
    if attn in FLASH:
        raise UserError(f"attention '{attn}' needs a CUDA device", mend="use --attn sdpa")
    if dtype == "bfloat16" and not _cpu_flags() & CPU_FLAGS_OF_BFLOAT16:
        raise UserError(
            "this processor has no bfloat16 arithmetic (avx512_bf16 or AMX)",
            mend="use --dtype float32",
        )
    return Backend(
        attn="sdpa" if attn == "auto" else attn,
        dtype="float32" if dtype == "auto" else dtype,
        device="cpu",
    )


def _on_cuda(attn: Attention, dtype: Dtype) -> Backend:
    import torch

    name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    recent = capability >= (8, 0)  # bfloat16 and FlashAttention-2 begin with Ampere
    if dtype == "bfloat16" and not recent:
        raise UserError(f"{name} has no bfloat16 arithmetic", mend="use --dtype float32")
    if attn in FLASH:
        if not recent:
            raise UserError(f"{name} is too old for attention '{attn}'", mend="use --attn sdpa")
        if dtype == "float32":
            raise UserError(
                f"attention '{attn}' has no float32", mend="use --attn sdpa or --dtype bfloat16"
            )
    if attn == "fa2-varlen" and not _varlen_has_windows():
        raise UserError(
            f"torch {torch.__version__} has no variable-length attention with windows",
            mend="upgrade torch, or use --attn flash_attention_2 or sdpa",
        )
    if attn == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise MissingExtra("fa2", "attention 'flash_attention_2'")
    if dtype == "auto":
        dtype = "bfloat16" if recent else "float32"
    if attn == "auto":
        attn = "fa2-varlen" if dtype == "bfloat16" and _varlen_has_windows() else "sdpa"
    return Backend(attn, dtype, "cuda")


def _varlen_has_windows() -> bool:
    """The first versions of PyTorch's variable-length attention took no window."""
    from torch.nn.attention.varlen import varlen_attn

    return "window_size" in inspect.signature(varlen_attn).parameters


def _nvidia_driver_present() -> bool:
    """Whether there may be a GPU that CUDA runs on; torch is asked then."""
    return any(path.exists() for path in TRACES_OF_A_DRIVER)


def _cpu_flags() -> frozenset[str]:
    """What Linux says the processor can do; nothing on another system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
