"""The size of the weights' files, byte for byte, from the config alone.

The reference implementation of safetensors writes eight bytes of length, the header as JSON
without spaces, ``__metadata__`` first, then the tensors by width of dtype and name, padded with
spaces to a multiple of eight, and the tensors without gaps in the same order. So the config and
the dtype imply every byte of the header but for the metadata, which transformers fills with
``{"format": "pt"}``.
"""

from __future__ import annotations

from collections.abc import Mapping

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.checkpoints.safetensors_header import SafetensorsHeader
from mbrelease.checkpoints.safetensors_layout import TensorSpec, lay_out
from mbrelease.errors import UserError
from mbrelease.parity.reference import expected_tensors, head_of, label_count, parameter_count
from mbrelease.parity.report import CheckResult, passed, shortened, skipped, warned

NAME = "tensors.size"
METADATA = {"format": "pt"}
# Where weights come from can be told in less; more is something else that hides there.
HEADER_ROOM_BYTES = 1 << 16


def file_bytes(
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str] | str = "F32",
) -> int:
    """The size in bytes of the one file that holds tensors of these shapes, header included.

    Args:
        shapes: the shape of each tensor by name.
        dtypes: the dtype of each as safetensors names it, or of all.
    """
    kinds = dict.fromkeys(shapes, dtypes) if isinstance(dtypes, str) else dtypes
    specs = {name: TensorSpec(kinds[name], shape) for name, shape in shapes.items()}
    return lay_out(specs, METADATA).size_bytes


def check_size(checkpoint: Checkpoint, config: ModernBertConfig) -> list[CheckResult]:
    """The files are as large as the config implies; headers alone are read.

    Empty where the headers or the class cannot be read, of which other checks tell.
    """
    head = head_of(checkpoint.raw_config)
    try:
        headers = checkpoint.headers
    except UserError:
        return []
    if head is None:
        return []
    shapes = expected_tensors(config, head, labels=label_count(checkpoint.raw_config))
    implied = f"{len(shapes)} tensors, {parameter_count(shapes):,} parameters"
    stored = {name: info for header in headers for name, info in header.tensors.items()}
    if {name: info.shape for name, info in stored.items()} != shapes:
        reason = "the tensors are not the config's"
        return [skipped(NAME, expected=implied, reason=reason)]
    expected = sum(_implied_bytes(header, shapes) for header in headers)
    found = sum(header.size_bytes for header in headers)
    said = f"{implied}, {expected:,} bytes"
    surplus = found - expected
    if surplus == 0:
        return [passed(NAME, said)]
    metadata = shortened(sorted({key for header in headers for key in header.metadata})) or "none"
    other = f"{found:,} bytes, {surplus:+,} in the header; metadata: {metadata}"
    if surplus <= HEADER_ROOM_BYTES:
        return [passed(NAME, other, said)]
    mend = "save the model again: model.save_pretrained(folder)"
    return [warned(NAME, expected=said, found=other, mend=mend)]


def _implied_bytes(header: SafetensorsHeader, shapes: Mapping[str, tuple[int, ...]]) -> int:
    dtypes = {name: info.dtype for name, info in header.tensors.items()}
    return file_bytes({name: shapes[name] for name in header.tensors}, dtypes)
