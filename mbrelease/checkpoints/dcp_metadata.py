"""Read the ``.metadata`` of torch.distributed.checkpoint without torch and without unpickling.

It is a pickle of ``torch.distributed.checkpoint.metadata.Metadata``. ``state_dict_metadata`` has
the dtype, the size and the chunks of each tensor by its name, ``planner_data`` the keys that a name
was joined from, and ``storage_data`` where each chunk and each value lies: a file
(``__0_0.distcp``: rank, number), an offset and a length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from mbrelease.checkpoints.safe_pickle import Opaque, load, printable
from mbrelease.checkpoints.source import Segment
from mbrelease.checkpoints.torch_file import DTYPES
from mbrelease.errors import UserError
from mbrelease.files import unreadable

METADATA_FILE = ".metadata"
MAX_DEPTH = 64
"""Of nested dicts and lists, far more than JSON of a tokenizer has."""

Sizes = tuple[int, ...]
Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Chunk:
    """A box of a tensor, and the item that holds it: a file of torch.save within a file."""

    offsets: Sizes
    sizes: Sizes
    item: Segment


@dataclass(frozen=True)
class ShardedTensor:
    """A tensor and all of its chunks, each once."""

    dtype: str
    """As safetensors names it."""
    shape: Sizes
    chunks: tuple[Chunk, ...]


class DcpMetadata:
    """What a folder holds. Nothing of an entry is looked at before it is asked for."""

    def __init__(self, folder: Path, content: _Metadata) -> None:
        self.folder = folder
        self._entries = content.table("state_dict_metadata")
        self.keys: Mapping[str, Keys] = {
            name: path
            for name, path in content.table("planner_data").items()
            if isinstance(name, str) and _are_keys(path)
        }
        """The keys that lead to each entry in the nested dicts and lists that were saved."""
        self._items: dict[tuple[str, Sizes | None], _StorageInfo] = {}
        for index, info in content.table("storage_data").items():
            if isinstance(index, _MetadataIndex) and isinstance(info, _StorageInfo):
                name, offset = index.fields.get("fqn"), index.fields.get("offset")
                if isinstance(name, str) and (offset is None or _are_sizes(offset)):
                    self._items.setdefault((name, offset), info)

    @property
    def tensor_names(self) -> list[str]:
        """The names of the tensors, the optimizer's as well."""
        return [
            name
            for name, entry in self._entries.items()
            if isinstance(name, str) and isinstance(entry, _TensorStorageMetadata)
        ]

    def tensor(self, name: str) -> ShardedTensor:
        """The tensor ``name``.

        Raises:
            UserError: it is not described as torch does, or cannot be read.
        """
        fields = self._entries[name].fields
        dtype = getattr(fields.get("properties"), "dtype", None)
        if dtype not in DTYPES:
            raise UserError(
                f"{self.folder}: '{printable(name)}' is of dtype {printable(str(dtype))}, for "
                "which safetensors has no name"
            )
        boxes: dict[Sizes, Sizes] = {}
        chunks = fields.get("chunks")
        for chunk in chunks if isinstance(chunks, list) else []:
            box = chunk.fields if isinstance(chunk, _ChunkStorageMetadata) else {}
            offsets, sizes = self._sizes(name, box, "offsets"), self._sizes(name, box, "sizes")
            if boxes.setdefault(offsets, sizes) != sizes:
                raise self.damaged(f"two chunks of '{printable(name)}' begin at the same place")
        return ShardedTensor(
            DTYPES[dtype],
            self._sizes(name, fields, "size"),
            tuple(Chunk(at, sizes, self.item(name, at)) for at, sizes in boxes.items()),
        )

    def item(self, name: str, offsets: Sizes | None = None) -> Segment:
        """Where a chunk of a tensor lies, or a value that is no tensor.

        Raises:
            UserError: nowhere, or it is stored in a way that is not known.
        """
        info = self._items.get((name, offsets))
        if info is None:
            raise self.damaged(f"it does not say where '{printable(name)}' lies")
        fields = info.fields
        if fields.get("transform_descriptors"):
            raise UserError(
                f"{self.folder}: '{printable(name)}' went through an extension when it was saved, "
                "such as compression",
                mend="save it again without extensions of the storage writer",
            )
        match fields:
            case {"relative_path": str(file), "offset": int(start), "length": int(length)}:
                pass
            case _:
                raise self.damaged(f"it does not say where '{printable(name)}' lies")
        if Path(file).name != file or file in (".", "..") or "\0" in file or min(start, length) < 0:
            raise self.damaged(f"'{printable(name)}' lies in no file of the folder")
        path = self.folder / file
        if not path.is_file():
            raise UserError(
                f"{self.folder / METADATA_FILE} lists {printable(file)}, which is missing",
                mend="copy the whole folder: every rank has written a part of it",
            )
        return Segment(path, start, length)

    def damaged(self, fault: str) -> UserError:
        """What is wrong with the metadata."""
        return UserError(
            f"{self.folder / METADATA_FILE} is damaged: {fault}",
            mend="copy the checkpoint again, or save it again",
        )

    def _sizes(self, name: str, fields: Mapping[str, Any], key: str) -> Sizes:
        value = fields.get(key)
        if not _are_sizes(value):
            raise self.damaged(f"'{printable(name)}' has no {key}")
        return value


def read_metadata(folder: Path) -> DcpMetadata:
    """What ``folder`` holds, by its ``.metadata``.

    Raises:
        UserError: that is missing, or nothing that torch writes.
    """
    path = folder / METADATA_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    content = load(data, str(path), _KNOWN)
    if not isinstance(content, _Metadata):
        raise UserError(
            f"{path} is not the metadata of torch.distributed.checkpoint",
            mend="give a folder that torch.distributed.checkpoint.save wrote",
        )
    return DcpMetadata(folder, content)


class _Fields:
    """An object whose state is a dict: that dict, in the place of the object."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise TypeError("no fields")
        self.fields = state


class _Metadata(_Fields):
    def table(self, key: str) -> dict[Any, Any]:
        """A field that is a dict; empty if it is anything else."""
        value = self.fields.get(key)
        return value if isinstance(value, dict) else {}


class _TensorStorageMetadata(_Fields):
    pass


class _ChunkStorageMetadata(_Fields):
    pass


class _MetadataIndex(_Fields):
    pass


class _StorageInfo(_Fields):
    pass


class _TensorProperties:
    """Of these, torch still means the dtype alone; the others are deprecated."""

    def __init__(self) -> None:
        self.dtype: str | None = None

    def __setstate__(self, state: Any) -> None:
        dtype = state[0] if isinstance(state, tuple) and state else None
        if isinstance(dtype, Opaque) and dtype.module == "torch":
            self.dtype = dtype.name


def _are_sizes(value: Any) -> TypeGuard[Sizes]:
    return isinstance(value, tuple) and all(type(n) is int and n >= 0 for n in value)


def _are_keys(path: Any) -> bool:
    return (
        isinstance(path, tuple)
        and 0 < len(path) <= MAX_DEPTH
        and all(type(key) in (str, int) for key in path)
    )


def _size(dimensions: Any) -> Sizes:
    """torch.Size."""
    if not isinstance(dimensions, tuple):
        raise TypeError("no tuple")
    return dimensions


_MODULE = "torch.distributed.checkpoint.metadata"
# Where it stood at first.
_FORMER_MODULE = "torch.distributed._shard.sharded_tensor.metadata"
_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    (_MODULE, "Metadata"): _Metadata,
    (_MODULE, "TensorStorageMetadata"): _TensorStorageMetadata,
    (_MODULE, "ChunkStorageMetadata"): _ChunkStorageMetadata,
    (_MODULE, "MetadataIndex"): _MetadataIndex,
    (_MODULE, "TensorProperties"): _TensorProperties,
    (_FORMER_MODULE, "TensorProperties"): _TensorProperties,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): _StorageInfo,
    ("torch", "Size"): _size,
}
