"""Files of torch.save without torch: the same values, bit for bit, or one sentence."""

from __future__ import annotations

import collections
import io
import os
import random
import tracemalloc
import warnings
import zipfile

import pytest
import torch

from mbrelease.checkpoints.safe_pickle import Opaque
from mbrelease.checkpoints.source import StoredTensor
from mbrelease.checkpoints.torch_file import UnreadableTensor, as_weights, read_torch_file
from mbrelease.errors import UserError

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip


def stored_bytes(tensor):
    return b"".join(
        segment.path.read_bytes()[segment.start : segment.start + segment.size_bytes]
        for segment in tensor.segments
    )


def torch_bytes(tensor):
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
    return flat.view(torch.uint8).numpy().tobytes()


def assert_same(found, loaded):
    """Of two trees: every tensor has the dtype, shape and bytes that torch finds."""
    if isinstance(loaded, torch.Tensor):
        assert isinstance(found, StoredTensor)
        assert found.dtype == DTYPES[loaded.dtype]
        assert found.shape == tuple(loaded.shape)
        assert stored_bytes(found) == torch_bytes(loaded)
    elif isinstance(loaded, dict):
        assert list(found) == list(loaded)
        for key, value in loaded.items():
            assert_same(found[key], value)
    elif isinstance(loaded, list | tuple):
        assert len(found) == len(loaded)
        for one, other in zip(found, loaded, strict=True):
            assert_same(one, other)
    else:
        assert found == loaded


def saved(path, value, **options):
    torch.save(value, path, **options)
    return path


def check(path):
    assert_same(read_torch_file(path), torch.load(path, weights_only=True))


def refused(path, **window):
    with pytest.raises(UserError) as error:
        read_torch_file(path, **window)
    assert str(path) in error.value.message
    assert "\n" not in error.value.message
    return str(error.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_dtype_is_read_bit_for_bit(path, protocol):
    torch.manual_seed(0)
    values = torch.randint(0, 256, (96,), dtype=torch.uint8)
    tensors = {
        str(dtype): values.clone().view(dtype).reshape(2, -1)
        for dtype in DTYPES
        if dtype is not torch.bool
    }
    tensors["bool"] = values.reshape(4, 24) > 100
    assert_same(read_torch_file(saved(path, tensors, pickle_protocol=protocol)), tensors)


def test_views_of_one_storage_are_found_at_their_offsets(path):
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "all": base,
        "rows": base[1:3],
        "row": base[2],
        "element": base[3, 4],
        "flat": base.view(-1)[5:9],
        "columns of one row": base[1:2, 2:5],
        "one column of one row": base[2:3, 3:4].t(),
        "none": base[4:],
        "added dimensions": base[1:2].unsqueeze(0).unsqueeze(-1),
    }
    check(saved(path, tensors))
    found = read_torch_file(path)
    assert found["row"].segments[0].start == found["all"].segments[0].start + 12 * 4
    assert path.stat().st_size < 4000


def test_scalars_and_empty_tensors(path):
    check(saved(path, [torch.tensor(2.5), torch.empty(0), torch.empty(3, 0, 2), torch.tensor([7])]))


def test_parameters_buffers_and_a_module_are_plain_tensors(path):
    parameter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    parameter.no_decay = True
    buffer = torch.nn.Buffer(torch.arange(3.0))
    path = saved(path, {"state": torch.nn.Linear(3, 2).state_dict(), "p": parameter, "b": buffer})
    loaded = torch.load(path, weights_only=True)
    found = read_torch_file(path)
    assert_same(found, loaded)
    saved(path, dict(torch.nn.Linear(3, 2).named_parameters()))
    check(path)


def test_what_lies_beside_the_tensors_is_plain_data(path):
    value = {
        "size": torch.Size([2, 3]),
        "ordered": collections.OrderedDict(b=1, a=2),
        "bytes": b"\x00\xff",
        "text": "ü",
        "numbers": [1, -(1 << 70), 2.5, None, True],
        1: ("a", ("b",)),
    }
    check(saved(path, value))
    saved(path, {"d": collections.defaultdict(list, {1: [2]}), "u": {torch.float32, "cpu"}})
    found = read_torch_file(path)
    assert found["d"] == {1: [2]}
    assert isinstance(found["u"], Opaque)


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_run_of_bytes_matters_only_as_a_weight(path):
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "transposed": base.t(),
        "every other": torch.arange(6.0)[::2],
        "expanded": torch.ones(1).expand(3),
        "sparse": torch.eye(2).to_sparse(),
        "sparse rows": torch.eye(2).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(base, 0.1, 0, torch.qint8),
        "nested": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
        "meta": torch.empty(2, device="meta"),
        "complex": torch.ones(2, dtype=torch.complex64),
        "negative": torch._neg_view(base),
        "float8": torch.ones(2).to(torch.float8_e4m3fn),
        "of a class": base.as_subclass(Coloured),
    }
    found = read_torch_file(saved(path, tensors | {"plain": base}))
    assert_same(found.pop("plain"), base)
    reasons = {name: value.reason for name, value in found.items()}
    assert reasons == {
        "transposed": "it is not contiguous",
        "every other": "it is not contiguous",
        "expanded": "it is not contiguous",
        "sparse": "it is sparse",
        "sparse rows": "it is sparse",
        "quantized": "it is quantized",
        "nested": "it is nested",
        "meta": "it is without values (meta)",
        "complex": "it lies in a ComplexFloatStorage",
        "negative": "it is a conjugate or negative view",
        "float8": "its dtype is float8_e4m3fn",
        "of a class": f"it is a {__name__}.Coloured",
    }


class Coloured(torch.Tensor):
    pass


def test_weights_are_named_tensors(path):
    tensor = StoredTensor("F32", (1,), ())
    assert as_weights({"a": tensor}, path) == {"a": tensor}
    for state, said in {
        "unreadable": ({"a": UnreadableTensor("it is sparse")}, "'a' cannot be read: it is sparse"),
        "opaque": ({"a": Opaque("numpy", "ndarray")}, "'a' is numpy.ndarray, not a tensor"),
        "number": ({"a": 1}, "'a' is of type int, not a tensor"),
        "no name": ({1: tensor}, "a weight has no name"),
        "a safetensors word": ({"__metadata__": tensor}, "a weight has no name"),
    }.values():
        with pytest.raises(UserError) as error:
            as_weights(state, path)
        assert said in error.value.message


def test_a_zip_inside_a_larger_file(tmp_path):
    value = {"a": torch.arange(5.0), "b": torch.ones(2, dtype=torch.bfloat16)}
    path = tmp_path / "__0_0.distcp"
    blob = saved(tmp_path / "a.pt", value).read_bytes()
    other = saved(tmp_path / "b.pt", {"a": torch.zeros(5)}).read_bytes()
    path.write_bytes(b"PK" * 50 + blob + other)
    assert_same(read_torch_file(path, start=100, size_bytes=len(blob)), value)
    assert_same(read_torch_file(path, start=100 + len(blob)), {"a": torch.zeros(5)})
    assert "its first member is not at its start" in refused(path, start=100)
    assert "its first member is not at its start" in refused(path)
    assert "is no file of torch.save" in refused(path, start=1, size_bytes=50)
    assert "is truncated" in refused(path, start=100, size_bytes=10 * len(blob))
    assert "is truncated" in refused(path, start=-1)
    assert "is truncated" in refused(path, start=100, size_bytes=-1)


def test_only_the_directory_and_the_pickle_are_read(path, monkeypatch):
    tensors = {f"layer.{i}": torch.zeros(250_000) for i in range(20)}
    saved(path, {"state": tensors, "words": [f"word {i}" for i in range(5000)]})
    counts = []

    def pread(descriptor, count, offset):
        counts.append(count)
        return whole_pread(descriptor, count, offset)

    whole_pread = os.pread
    monkeypatch.setattr(os, "pread", pread)
    tracemalloc.start()
    found = read_torch_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found["state"]) == 20
    assert sum(counts) < 400_000 < 20_000_000 < path.stat().st_size
    assert peak < 4_000_000


# Files of another kind


def rewritten(path, *, method=zipfile.ZIP_STORED, change=lambda name, data: data):
    """The same archive as another tool writes it; members for which ``change`` gives None go."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            if (changed := change(name, data)) is not None:
                archive.writestr(name, changed)
    return path


@pytest.fixture
def small(path):
    return saved(path, {"a": torch.arange(4.0), "b": torch.ones(3, dtype=torch.int64)})


def test_a_zip_that_was_packed_again_without_compression_is_read(small):
    check(rewritten(small))


def test_a_file_without_checksums_is_read(path):
    torch.serialization.set_crc32_options(False)
    try:
        check(saved(path, {"a": torch.ones(2)}))
    finally:
        torch.serialization.set_crc32_options(True)


def test_a_compressed_zip(small):
    assert "is compressed" in refused(rewritten(small, method=zipfile.ZIP_DEFLATED))


def test_an_encrypted_zip(small):
    data = small.read_bytes()
    at = data.rindex(b"PK\x01\x02")
    first = data.index(b"PK\x01\x02")
    assert first < at
    small.write_bytes(data[: first + 8] + b"\x09" + data[first + 9 :])
    assert "is encrypted" in refused(small)


def test_a_big_endian_file(small):
    rewritten(small, change=lambda name, data: b"big" if name.endswith("byteorder") else data)
    assert "big-endian" in refused(small)


def test_a_file_from_before_byteorder_was_written(small):
    check(rewritten(small, change=lambda name, data: None if "byteorder" in name else data))


def test_a_file_of_pytorch_before_1_6(path):
    saved(path, {"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    said = refused(path)
    assert "before 1.6" in said
    assert "torch.save(torch.load(path, weights_only=True), path)" in said


def test_a_torchscript_program(small):
    with zipfile.ZipFile(small, "a") as archive:
        archive.writestr("weights/code/__torch__.py", "")
    assert "TorchScript" in refused(small)


def test_the_same_name_twice(small):
    with warnings.catch_warnings(), zipfile.ZipFile(small, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("weights/data/0", bytes(16))
    assert "occurs twice" in refused(small)


def test_a_storage_that_is_missing(small):
    rewritten(small, change=lambda name, data: None if name.endswith("data/1") else data)
    assert "no 'weights/data/1' in its directory" in refused(small)


def test_a_storage_cut_short(small):
    rewritten(small, change=lambda name, data: data[:-4] if name.endswith("data/0") else data)
    assert "storage '0' has 12 bytes for 4 F32" in refused(small)


def test_a_zip_of_something_else(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    assert "no data.pkl" in refused(path)


OTHERS = {
    "an empty file": (b"", "is no file of torch.save"),
    "text": (b"not a zip at all" * 99, "is no file of torch.save"),
    "a pointer of git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "the start of a zip": (b"PK\x03\x04" + bytes(500), "its directory cannot be read"),
}


@pytest.mark.parametrize(("content", "said"), OTHERS.values(), ids=OTHERS)
def test_a_file_that_is_no_archive(path, content, said):
    path.write_bytes(content)
    assert said in refused(path)


def test_no_file_and_a_folder(path):
    assert "does not exist" in refused(path)
    path.mkdir()
    assert "cannot read" in refused(path)


def test_a_directory_of_gigabytes_is_not_read(path):
    size = 9 << 20
    end = zipfile.struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    path.write_bytes(b"PK\x01\x02" + bytes(size - 4) + end)
    assert f"a directory of {size} bytes" in refused(path)


def test_a_truncated_file(small):
    whole = small.read_bytes()
    for size in range(0, len(whole), 37):
        small.write_bytes(whole[:size])
        refused(small)


# What a pickle may say of a tensor


class Tensor:
    """A call of torch's own function with arguments of one's own."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (*self.arguments, False, None)


FLOATS = torch.arange(4.0)
LIES = {
    "a negative offset": (-1, (2,), (1,)),
    "an offset beyond": (3, (2,), (1,)),
    "more elements than there are": (0, (5,), (1,)),
    "a huge size": (0, (1 << 62, 1 << 62), (1 << 62, 1)),
    "a size of hundreds of digits": (0, (10**600,), (1,)),
    "a size of hundreds of digits, and none": (0, (0, 10**600), (1, 1)),
    "a negative size": (0, (-2,), (1,)),
    "a negative stride": (3, (4,), (-1,)),
    "strides that reach out": (0, (2, 2), (4, 1)),
    "fewer strides than sizes": (0, (2, 2), (1,)),
    "too many dimensions": (0, (1,) * 65, (1,) * 65),
    "a truth value": (0, (True,), (1,)),
    "text": (0, ("2",), (1,)),
    "a fraction": (0.5, (2,), (1,)),
    "a list": (0, [2], [1]),
    "nothing": (0, None, None),
}


@pytest.mark.parametrize("arguments", LIES.values(), ids=LIES)
def test_a_tensor_that_is_not_in_its_storage(path, arguments):
    saved(path, {"a": FLOATS, "lie": Tensor(FLOATS._typed_storage(), *arguments)})
    assert "_rebuild_tensor_v2 with arguments that it cannot have" in refused(path)


def test_the_same_call_told_true(path):
    saved(path, {"a": FLOATS, "truth": Tensor(FLOATS._typed_storage(), 1, (2, 1), (1, 99))})
    assert_same(read_torch_file(path)["truth"], FLOATS[1:3].reshape(2, 1))


def test_no_storage(path):
    saved(path, {"lie": Tensor("storage", 0, (2,), (1,))})
    assert "cannot have" in refused(path)


def test_a_storage_of_another_file(small):
    """A key is a name in the archive and never a path."""

    def change(name, data):
        return (
            data.replace(b"X\x01\x00\x00\x000", b"X\x06\x00\x00\x00../../")
            if "pkl" in name
            else data
        )

    assert "no 'weights/data/../../' in its directory" in refused(rewritten(small, change=change))


# Damage


def mutations(whole, start, end, count):
    chance = random.Random(start)
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 1, 4])):
            data[chance.randrange(start, end)] = chance.randrange(256)
        yield bytes(data)


def inside(tree, size):
    """Whether every tensor in the tree lies in a file of ``size`` bytes."""
    found = [tree]
    for value in found:
        if isinstance(value, dict):
            found.extend(value.values())
        elif isinstance(value, list | tuple):
            found.extend(value)
    tensors = [value for value in found if isinstance(value, StoredTensor)]
    return all(0 <= s.start <= s.start + s.size_bytes <= size for t in tensors for s in t.segments)


@pytest.fixture
def whole(path):
    """A file with a bit of everything, and what it holds."""
    state = torch.nn.Linear(3, 2).state_dict() | {"u": torch.ones(2, dtype=torch.uint16)}
    saved(path, {"model": state, "step": 7, "rng": (1, (2, 3)), "o": collections.Counter("ab")})
    return path.read_bytes()


def members_end(whole):
    return whole.index(b"PK\x01\x02")


def test_a_directory_with_flipped_bytes_is_refused_or_harmless(path, whole):
    expected = repr(read_torch_file(path))
    read = 0
    for data in mutations(whole, members_end(whole), len(whole), 300):
        path.write_bytes(data)
        try:
            found = repr(read_torch_file(path))
        except UserError:
            continue
        assert "Opaque" in found
        assert found == expected
        read += 1
    assert 0 < read < 300


def test_local_headers_with_flipped_bytes_are_refused_or_harmless(path, whole):
    expected = repr(read_torch_file(path))
    names = zipfile.ZipFile(io.BytesIO(whole)).infolist()
    for info in names:
        for data in mutations(whole, info.header_offset, info.header_offset + 30, 20):
            path.write_bytes(data)
            try:
                found = repr(read_torch_file(path))
            except UserError:
                continue
            assert found == expected


def test_a_pickle_with_flipped_bytes_is_refused(path, whole):
    start = whole.index(b"\x80\x02}")
    for data in mutations(whole, start, whole.index(b"PK\x07\x08"), 100):
        if data != whole:
            path.write_bytes(data)
            assert "does not match its checksum" in refused(path)


def test_a_pickle_with_flipped_bytes_and_no_checksum_reads_nothing_outside(path, tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        saved(path, {"model": torch.nn.Linear(3, 2).state_dict(), "step": 7, "t": (1, (2.5,))})
    finally:
        torch.serialization.set_crc32_options(True)
    whole = path.read_bytes()
    start = whole.index(b"\x80\x02}")
    said = set()
    for data in mutations(whole, start, whole.index(b"PK\x07\x08"), 500):
        path.write_bytes(data)
        try:
            assert inside(read_torch_file(path), len(data))
        except UserError as error:
            said.add(error.message)
    assert len(said) > 10


def test_a_renamed_file_is_read(small, tmp_path):
    """Its members keep the folder that was named after the file."""
    renamed = small.rename(tmp_path / "pytorch_model.bin")
    check(renamed)
