"""Find the tensors in a file of ``torch.save``, without torch and without reading them.

Objects are in a pickle, which is read as data; tensors refer to storages, which lie in the file
as they are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.safe_pickle import Opaque, load, printable
from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT
from mbrelease.checkpoints.source import Segment, StoredTensor
from mbrelease.checkpoints.torch_zip import TorchZip
from mbrelease.errors import UserError
from mbrelease.files import unreadable

MAX_DIMENSIONS = 64
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL",
    "UntypedStorage": "U8",  # counts bytes
}  # fmt: skip
PLAIN_TENSORS = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}


@dataclass(frozen=True)
class UnreadableTensor:
    """A tensor that cannot be read as a run of bytes, which matters only if it is a weight."""

    reason: str


@dataclass(frozen=True)
class _Storage:
    """The bytes of one storage and its class in torch, such as ``FloatStorage``."""

    kind: str
    segment: Segment


def read_torch_file(path: Path, *, start: int = 0, size_bytes: int | None = None) -> Any:
    """What ``torch.load`` would give, with a ``StoredTensor`` in the place of every tensor.

    Tensors that are no single run of bytes (transposed, sparse, quantized, …) are
    ``UnreadableTensor``; classes, and objects that are not plain data, are ``Opaque``; an
    OrderedDict or defaultdict is a dict, a torch.Size a tuple.

    Args:
        path: the file.
        start: where the zip begins in it, in bytes.
        size_bytes: of the zip; to the end of the file if not given.

    Raises:
        UserError: the file is missing, damaged, or of another kind.
    """
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - start
            size = left if size_bytes is None else size_bytes
            if start < 0 or not 0 <= size <= left:
                raise UserError(
                    f"{path} is truncated: no {size} bytes from byte {start}",
                    mend="copy the file again, or save it again",
                )
            archive = TorchZip(path, file, start, size)
            find = _Storages(archive).find
            return load(archive.pickle(), f"{path} (data.pkl)", _KNOWN, find)
    except OSError as error:
        raise unreadable(path, error) from error


def as_weights(state: Mapping[Any, Any], place: Path) -> dict[str, StoredTensor]:
    """``state`` if it is a state dict: names and tensors that can be read.

    Raises:
        UserError: something in it is not.
    """
    tensors: dict[str, StoredTensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise UserError(f"{place}: a weight has no name, or one that no weight can have")
        if isinstance(value, UnreadableTensor):
            raise UserError(
                f"{place}: '{printable(name)}' cannot be read: {value.reason}",
                mend="save it as a plain tensor: .contiguous(), .to_dense() or .dequantize()",
            )
        if not isinstance(value, StoredTensor):
            what = str(value) if isinstance(value, Opaque) else f"of type {type(value).__name__}"
            raise UserError(
                f"{place}: '{printable(name)}' is {what}, not a tensor",
                mend="save model.state_dict() alone",
            )
        tensors[name] = value
    return tensors


class _Storages:
    """The storages of one file, each looked up once."""

    def __init__(self, archive: TorchZip) -> None:
        self._archive = archive
        self._found: dict[tuple[str, str, int], _Storage] = {}

    def find(self, identity: Any) -> _Storage:
        """The storage of a persistent id: ("storage", class, key, device, number of elements)."""
        match identity:
            case ("storage", Opaque() as kind, str() as key, _, int() as elements):
                pass
            case _:
                raise self._archive.damaged("a storage is not described as torch does")
        wanted = (kind.name, key, elements)
        if wanted not in self._found:
            self._found[wanted] = self._located(*wanted)
        return self._found[wanted]

    def _located(self, kind: str, key: str, elements: int) -> _Storage:
        segment = self._archive.storage(key)
        dtype = STORAGES.get(kind)
        if dtype and segment.size_bytes != elements * BYTES_PER_ELEMENT[dtype]:
            raise self._archive.damaged(
                f"storage '{printable(key)}' has {segment.size_bytes} bytes for {elements} {dtype}"
            )
        return _Storage(kind, segment)


def _tensor_v2(
    storage: Any,
    offset: int,
    shape: Any,
    strides: Any,
    requires_grad: Any = None,
    hooks: Any = None,
    flags: Any = None,
) -> StoredTensor | UnreadableTensor:
    """torch._utils._rebuild_tensor_v2: ``offset`` and ``strides`` are in elements."""
    if not isinstance(storage, _Storage):
        raise TypeError("no storage")
    if storage.kind not in STORAGES:
        return UnreadableTensor(f"it lies in a {printable(storage.kind)}")
    return _located(storage, STORAGES[storage.kind], offset, shape, strides, flags)


def _tensor_v3(
    storage: Any,
    offset: int,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Opaque,
    flags: Any = None,
) -> StoredTensor | UnreadableTensor:
    """torch._utils._rebuild_tensor_v3: for dtypes that have no storage class of their own."""
    if not isinstance(storage, _Storage):
        raise TypeError("no storage")
    if dtype.name not in DTYPES:
        return UnreadableTensor(f"its dtype is {printable(dtype.name)}")
    return _located(storage, DTYPES[dtype.name], offset, shape, strides, flags)


def _located(
    storage: _Storage, dtype: str, offset: Any, shape: Any, strides: Any, flags: Any
) -> StoredTensor | UnreadableTensor:
    """The run of bytes that a view of a storage is.

    Raises:
        ValueError: it reaches out of the storage, or is no view at all.
    """
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise TypeError("shape and strides are tuples")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("more dimensions than strides, or more than there can be")
    if any(type(n) is not int or not 0 <= n < 1 << 63 for n in (offset, *shape, *strides)):
        raise ValueError("no sizes")
    elements = math.prod(shape)
    width = BYTES_PER_ELEMENT[dtype]
    reach = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
    end = offset + (reach if elements else 0)
    if end * width > storage.segment.size_bytes:
        raise ValueError("out of its storage")
    if flags:
        return UnreadableTensor("it is a conjugate or negative view")
    if elements and not _row_major(shape, strides):
        return UnreadableTensor("it is not contiguous")
    start = storage.segment.start + offset * width
    return StoredTensor(dtype, shape, (Segment(storage.segment.path, start, elements * width),))


def _row_major(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements follow one another; a dimension of size 1 takes no step."""
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != step:
            return False
        step *= size
    return True


def _parameter(data: Any, *_: Any) -> Any:
    """torch._utils._rebuild_parameter: the tensor in it."""
    return data


def _with_type(function: Opaque, kind: Opaque, arguments: tuple[Any, ...], state: Any) -> Any:
    """torch._tensor._rebuild_from_type_v2: a tensor with attributes or of a class of its own."""
    if str(kind) not in PLAIN_TENSORS:
        return UnreadableTensor(f"it is a {kind}")
    return _KNOWN[function.module, function.name](*arguments)


def _unreadable(what: str) -> Callable[..., UnreadableTensor]:
    return lambda *_: UnreadableTensor(f"it is {what}")


def _empty_dict(*_: Any) -> dict[Any, Any]:
    """OrderedDict and defaultdict: picklers set the items afterwards."""
    return {}


def _size(dimensions: tuple[Any, ...]) -> tuple[Any, ...]:
    """torch.Size."""
    if not isinstance(dimensions, tuple):
        raise TypeError("no tuple")
    return dimensions


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _with_type,
    ("torch._utils", "_rebuild_sparse_tensor"): _unreadable("sparse"),
    ("torch._utils", "_rebuild_sparse_csr_tensor"): _unreadable("sparse"),
    ("torch._utils", "_rebuild_qtensor"): _unreadable("quantized"),
    ("torch._utils", "_rebuild_nested_tensor"): _unreadable("nested"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _unreadable("without values (meta)"),
    ("torch._utils", "_rebuild_wrapper_subclass"): _unreadable("of a class of its own"),
    ("torch", "Size"): _size,
    ("collections", "OrderedDict"): _empty_dict,
    ("collections", "defaultdict"): _empty_dict,
}
