"""Read and check the header of a safetensors file; no tensor is read, no torch is needed.

Format: 8 bytes little-endian header length, a JSON object, then the tensors' bytes. See
https://huggingface.co/docs/safetensors (format) for the rules checked here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mbrelease.errors import UserError
from mbrelease.files import unreadable

BYTES_PER_ELEMENT = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
# The reference implementation refuses longer headers; a wrong length would allocate at will.
MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies in its file. ``start`` and ``end`` are offsets from byte 0."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of one file; ``tensors`` are in the order of their bytes."""

    path: Path
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    size_bytes: int
    data_start: int
    """Where the header ends and the first tensor begins."""

    @property
    def parameters(self) -> int:
        """The number of elements in all tensors."""
        return sum(tensor.elements for tensor in self.tensors.values())


def read_header(path: Path) -> SafetensorsHeader:
    """Read the header of ``path`` and check that every byte of the file is accounted for.

    Raises:
        UserError: the file is missing, truncated, or breaks a rule of the format.
    """
    try:
        with path.open("rb") as file:
            return parse_header(path, path.stat().st_size, file)
    except OSError as error:
        raise unreadable(path, error) from error


def parse_header(path: Path, size: int, file: BinaryIO) -> SafetensorsHeader:
    """Check the header with which ``file`` begins; no more is read.

    Args:
        path: What the file is called.
        size: Its size in bytes, of which ``file`` may hold the beginning alone.
        file: Open at byte 0.

    Raises:
        UserError: it is truncated, or breaks a rule of the format.
        OSError: it cannot be read.
    """
    prefix = file.read(8)
    if prefix == b"version ":
        raise UserError(f"{path} is a pointer of Git LFS, not the file itself", mend="git lfs pull")
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length < 2:
        raise _broken(path, f"too short for a header ({size} bytes)")
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise _broken(path, f"its header claims {length} bytes of a file of {size}")
    raw = file.read(length)
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
        if b"\\u" in raw:
            # JSON can spell half of a surrogate pair, which no text can hold.
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"its header is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise _broken(path, "its header is not a JSON object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(path, "its __metadata__ is not a map of strings")
    tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in content.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_contiguous(path, ordered, 8 + length, size)
    return SafetensorsHeader(path, ordered, metadata, size, 8 + length)


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> TensorInfo:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _broken(path, f"tensor '{name}' lacks dtype, shape or data_offsets") from error
    if not name.isprintable():
        raise _broken(path, f"a tensor has the name {name[:80]!r}")
    if dtype not in BYTES_PER_ELEMENT:
        raise _broken(path, f"tensor '{name}' has the unknown dtype {dtype!r}")
    numbers = [*shape, start, end] if isinstance(shape, list) else [None]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise _broken(path, f"tensor '{name}' has a malformed shape or offset")
    info = TensorInfo(dtype, tuple(shape), data_start + start, data_start + end)
    if info.end - info.start != info.elements * BYTES_PER_ELEMENT[dtype]:
        raise _broken(
            path, f"tensor '{name}' {dtype} {list(shape)} does not fill its {end - start} bytes"
        )
    return info


def _check_contiguous(
    path: Path, tensors: dict[str, TensorInfo], data_start: int, size: int
) -> None:
    position = data_start
    for name, info in tensors.items():
        if info.start != position:
            fault = "overlaps the one before" if info.start < position else "leaves a gap before it"
            raise _broken(path, f"tensor '{name}' {fault}")
        position = info.end
    if position > size:
        raise _broken(path, f"truncated: {size} bytes where its header promises {position}")
    if position < size:
        raise _broken(path, f"{size - position} bytes after the last tensor")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"duplicate key '{key}'")
        result[key] = value
    return result


def _broken(path: Path, fault: str) -> UserError:
    return UserError(
        f"{path} is not a whole safetensors file: {fault}", mend="copy or save the checkpoint again"
    )
