"""Find the tensors in a file of ``torch.save``, without torch and without reading them.

The file is a zip whose members are stored as they are: ``<name>/data.pkl`` is a pickle of the
objects, ``<name>/data/<key>`` are the bytes of one storage each, ``<name>/byteorder`` says
``little``. See https://docs.pytorch.org/docs/stable/notes/serialization.html. Read are the zip's
directory, data.pkl and the local header before each storage.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from mbrelease.checkpoints.safe_pickle import MAX_PICKLE_BYTES, Opaque, load, printable
from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT
from mbrelease.checkpoints.source import Segment, StoredTensor
from mbrelease.errors import UserError
from mbrelease.files import unreadable

MAX_DIRECTORY_BYTES = 8 << 20
"""Of the zip: some 70,000 storages."""
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
}  # fmt: skip
UNTYPED = "U8"
"""An UntypedStorage counts bytes."""

TORCH_SAVE_AGAIN = "save it again: torch.save(torch.load(path, weights_only=True), path)"
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
GIT_LFS_START = b"version https://git-lfs"
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
ENCRYPTED_FLAG, UTF8_FLAG = 1, 1 << 11


@dataclass(frozen=True)
class UnreadableTensor:
    """A tensor that cannot be read as a run of bytes, which matters only if it is a weight."""

    reason: str


@dataclass(frozen=True)
class _Storage:
    """The bytes of one storage; its dtype, unless safetensors has no name for it."""

    dtype: str | None
    segment: Segment


def read_torch_file(path: Path, *, start: int = 0, size_bytes: int | None = None) -> Any:
    """What ``torch.load`` would give, with a ``StoredTensor`` in the place of every tensor.

    Tensors that are no single run of bytes (transposed, sparse, quantized, …) are
    ``UnreadableTensor``; classes and objects that are not plain data are ``Opaque``; an OrderedDict
    or defaultdict is a dict, a torch.Size a tuple.

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
                raise UserError(f"{path} ends before byte {start + size}, where a tensor should be")
            archive = _Archive(path, file, start, size)
            return archive.value()
    except OSError as error:
        raise unreadable(path, error) from error


class _Window(io.RawIOBase):
    """A part of a file as if it were a file; it refuses to read much at once."""

    def __init__(self, file: IO[bytes], start: int, size_bytes: int) -> None:
        self._descriptor = file.fileno()
        self._start = start
        self._size_bytes = size_bytes
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("before the start of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size_bytes - self._position)
        count = left if size < 0 else min(size, left)
        if count > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"a directory of {count} bytes")
        data = self.at(self._position, count)
        self._position += len(data)
        return data

    def at(self, offset: int, count: int) -> bytes:
        """The bytes from ``offset``, fewer at the end of the window and none outside."""
        if not 0 <= offset < self._size_bytes:
            return b""
        count = min(count, self._size_bytes - offset)
        return os.pread(self._descriptor, count, self._start + offset)


class _Archive:
    """One zip of torch.save."""

    def __init__(self, path: Path, file: IO[bytes], start: int, size_bytes: int) -> None:
        self._path = path
        self._start = start
        self._size_bytes = size_bytes
        self._window = _Window(file, start, size_bytes)
        self._members = self._directory()
        self._folder = self._the_folder()
        self._storages: dict[tuple[str, str, int], _Storage] = {}

    def value(self) -> Any:
        """The object that was saved."""
        self._check_byteorder()
        name = f"{self._folder}/data.pkl"
        info = self._members[name]
        if info.file_size > MAX_PICKLE_BYTES:
            raise self._damaged(f"its data.pkl has {info.file_size} bytes")
        data = self._content(name)
        # torch writes 0 where it is told not to compute checksums.
        if info.CRC not in (0, zlib.crc32(data)):
            raise self._damaged("its data.pkl does not match its checksum")
        return load(data, f"{self._path} (data.pkl)", _KNOWN, self._storage)

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(cast(IO[bytes], self._window)) as archive:
                members = archive.infolist()
        except OSError:
            raise
        except Exception as error:  # zipfile lets through what a damaged directory makes of it
            raise self._no_zip(error) from error
        by_name = {member.filename: member for member in members}
        if len(by_name) != len(members):
            raise self._damaged("a name occurs twice in its directory")
        return by_name

    def _no_zip(self, error: Exception) -> UserError:
        head = self._window.at(0, 32)
        if head.startswith(LEGACY_START):
            return UserError(
                f"{self._path} is in the format of PyTorch before 1.6", mend=TORCH_SAVE_AGAIN
            )
        if head.startswith(GIT_LFS_START):
            return UserError(
                f"{self._path} is a pointer of git LFS, not the file", mend="run: git lfs pull"
            )
        if not head.startswith(b"PK"):
            return UserError(
                f"{self._path} is no file of torch.save",
                mend="give a file that torch.save wrote (PyTorch 1.6 or later)",
            )
        return self._damaged(f"its zip directory cannot be read ({printable(str(error))})")

    def _the_folder(self) -> str:
        folders = [
            n.partition("/")[0] for n in self._members if re.fullmatch(r"[^/]+/data\.pkl", n)
        ]
        if len(folders) != 1:
            raise UserError(
                f"{self._path} is a zip, but no file of torch.save: it has no data.pkl",
                mend="give a file that torch.save wrote",
            )
        folder = folders[0]
        code = f"{folder}/code/"
        if f"{folder}/constants.pkl" in self._members or any(
            name.startswith(code) for name in self._members
        ):
            raise UserError(
                f"{self._path} is a TorchScript program, not a checkpoint",
                mend="save the weights: torch.save(torch.jit.load(path).state_dict(), out)",
            )
        return folder

    def _check_byteorder(self) -> None:
        name = f"{self._folder}/byteorder"
        if name not in self._members:
            return  # until PyTorch 2.0 nothing else was written
        if self._members[name].file_size > 16 or self._content(name) != b"little":
            raise UserError(
                f"{self._path} was written on a big-endian machine, or its byteorder is damaged",
                mend="save it again on a little-endian machine",
            )

    def _content(self, name: str) -> bytes:
        data_start = self._data_start(name)
        return self._window.at(data_start, self._members[name].file_size)

    def _data_start(self, name: str) -> int:
        """Where the content of a member begins in the zip; it lies wholly inside."""
        info = self._members[name]
        header = self._window.at(info.header_offset, LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size:
            raise self._damaged(f"it ends before '{printable(name)}'")
        signature, _, flags, method, *_, name_size, extra_size = LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise self._damaged(f"no '{printable(name)}' where its directory says")
        if method or info.compress_type or info.compress_size != info.file_size:
            raise UserError(
                f"{self._path} is compressed, which torch.save never does", mend=TORCH_SAVE_AGAIN
            )
        if (flags | info.flag_bits) & ENCRYPTED_FLAG:
            raise UserError(f"{self._path} is encrypted", mend="decrypt it first")
        name_start = info.header_offset + LOCAL_HEADER.size
        encoding = "utf-8" if info.flag_bits & UTF8_FLAG else "cp437"
        if self._window.at(name_start, name_size) != name.encode(encoding):
            raise self._damaged(f"no '{printable(name)}' where its directory says")
        start: int = name_start + name_size + extra_size
        if start + info.file_size > self._size_bytes:
            raise self._damaged(f"it ends within '{printable(name)}'")
        return start

    def _storage(self, identity: Any) -> _Storage:
        """The storage of a persistent id: ("storage", class, key, device, number of elements)."""
        match identity:
            case ("storage", Opaque() as kind, str() as key, _, int() as elements):
                pass
            case _:
                raise self._damaged("a storage is not described as torch does")
        found = (kind.name, key, elements)
        if found not in self._storages:
            self._storages[found] = self._find(*found)
        return self._storages[found]

    def _find(self, kind: str, key: str, elements: int) -> _Storage:
        name = f"{self._folder}/data/{key}"
        if name not in self._members:
            raise self._damaged(f"no '{printable(name)}' in its directory")
        dtype = UNTYPED if kind == "UntypedStorage" else STORAGES.get(kind)
        size = self._members[name].file_size
        if dtype is not None and size != elements * BYTES_PER_ELEMENT[dtype]:
            raise self._damaged(f"'{printable(name)}' has {size} bytes, not the size of its tensor")
        start = self._start + self._data_start(name)
        return _Storage(dtype, Segment(self._path, start, size))

    def _damaged(self, fault: str) -> UserError:
        return UserError(
            f"{self._path} is no whole file of torch.save: {fault}",
            mend="copy the file again, or save it again",
        )


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
    return _located(storage, storage.dtype, offset, shape, strides, flags)


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
    storage: _Storage, dtype: str | None, offset: Any, shape: Any, strides: Any, flags: Any
) -> StoredTensor | UnreadableTensor:
    """The run of bytes that a view of a storage is.

    Raises:
        ValueError: it reaches out of the storage, or is no view at all.
    """
    if dtype is None:
        return UnreadableTensor("safetensors has no such dtype")
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


PLAIN_TENSORS = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}
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
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _unreadable("of a foreign device"),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _parameter,
    ("torch", "Size"): _size,
    ("collections", "OrderedDict"): _empty_dict,
    ("collections", "defaultdict"): _empty_dict,
}
