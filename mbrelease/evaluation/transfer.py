"""Arrays from NumPy to a device, without waiting where that can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def to_device(array: NDArray[Any], device: str) -> torch.Tensor:
    """``array`` as a tensor on ``device``; the copy to a GPU goes on beside what runs there."""
    import torch

    tensor = torch.from_numpy(array)
    if device == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
