"""Reading a safetensors header, and every way in which a file can be broken."""

from __future__ import annotations

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.errors import UserError


def safetensors_bytes(header, data=b"", *, length=None):
    """A file with any header, right or wrong, and any claimed header length."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(start, end, dtype="F32", shape=None):
    shape = [(end - start) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_it_reads_what_the_reference_implementation_writes(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    tensors = {"a.weight": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.ones(5, "<f2")}
    save_file(tensors, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert header.parameters == 11
    assert header.size_bytes == path.stat().st_size
    info = header.tensors["a.weight"]
    assert (info.dtype, info.shape) == ("F32", (2, 3))
    stored = np.frombuffer(path.read_bytes()[info.start : info.end], "<f4")
    assert stored.tolist() == [0, 1, 2, 3, 4, 5]


def test_an_empty_tensor_and_a_scalar_are_allowed(tmp_path):
    path = tmp_path / "model.safetensors"
    header = {"none": entry(0, 0, shape=[0, 3]), "one": entry(0, 4, shape=[])}
    path.write_bytes(safetensors_bytes(header, bytes(4)))
    assert {name: info.elements for name, info in read_header(path).tensors.items()} == {
        "none": 0,
        "one": 1,
    }


BROKEN = {
    "an empty file": (b"", "too short"),
    "seven bytes": (bytes(7), "too short"),
    "a header longer than the file": (safetensors_bytes({}, length=10**15), "claims 1000000000000"),
    "a pointer to git LFS": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "a pointer of Git LFS",
    ),
    "no JSON": (safetensors_bytes(b"{nonsense"), "not valid JSON"),
    "bytes that are not UTF-8": (safetensors_bytes(b'{"\xff": 1}'), "not valid JSON"),
    "a list": (safetensors_bytes([]), "not a JSON object"),
    "nesting without end": (safetensors_bytes(b"[" * 200_000), "not valid JSON"),
    "a duplicate key": (
        safetensors_bytes(b'{"a":%b,"a":%b}' % ((json.dumps(entry(0, 4)).encode(),) * 2), bytes(4)),
        "duplicate key 'a'",
    ),
    "an unknown dtype": (
        safetensors_bytes({"a": entry(0, 4, dtype="F31")}, bytes(4)),
        "tensor 'a' has the unknown dtype 'F31'",
    ),
    "no dtype": (safetensors_bytes({"a": {"shape": [1]}}, bytes(4)), "lacks dtype"),
    "a negative shape": (
        safetensors_bytes({"a": entry(0, 4, shape=[-1, -1])}, bytes(4)),
        "malformed shape",
    ),
    "a truth value as a size": (
        safetensors_bytes({"a": entry(0, 4, shape=[True])}, bytes(4)),
        "malformed shape",
    ),
    "a shape that its bytes do not fill": (
        safetensors_bytes({"a": entry(0, 4, shape=[2])}, bytes(4)),
        "does not fill its 4 bytes",
    ),
    "overlapping offsets": (
        safetensors_bytes({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
        "tensor 'b' overlaps",
    ),
    "a gap": (
        safetensors_bytes({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
        "tensor 'b' leaves a gap",
    ),
    "a truncated file": (safetensors_bytes({"a": entry(0, 8)}, bytes(5)), "truncated"),
    "bytes after the end": (
        safetensors_bytes({"a": entry(0, 4)}, bytes(9)),
        "5 bytes after the last tensor",
    ),
    "metadata that is not text": (
        safetensors_bytes({"__metadata__": {"a": 1}}),
        "__metadata__ is not a map of strings",
    ),
    "half of a surrogate pair": (
        safetensors_bytes({"__metadata__": {"a": "\ud800"}}),
        "surrogates not allowed",
    ),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_its_fault(tmp_path, content, said):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_header(path)
    assert said in error.value.message
    assert str(path) in error.value.message


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_header(tmp_path / "model.safetensors")


@given(st.binary(max_size=200))
def test_no_bytes_whatever_bring_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    length = struct.pack("<Q", max(0, len(content) - 2))
    path.write_bytes(length + content)
    with contextlib.suppress(UserError):
        read_header(path)
