"""The weights against what the config implies: from the headers alone, then the values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from mbrelease.checkpoints.checkpoint import SHARD_INDEX, Checkpoint
from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.checkpoints.safetensors_header import SafetensorsHeader, TensorInfo
from mbrelease.errors import UserError
from mbrelease.files import read_json, unreadable
from mbrelease.parity.reference import (
    EMBEDDINGS,
    HEADS_NOT_CHECKED,
    Head,
    architecture_of,
    expected_tensors,
    head_of,
    label_count,
    parameter_count,
)
from mbrelease.parity.report import (
    CheckResult,
    failed,
    passed,
    shortened,
    skipped,
    warned,
)
from mbrelease.progress import SILENT, Progress

FLOATS = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
BF16_EXPONENT = np.uint16(0x7F80)
PIECE_BYTES = 1 << 24


def check_tensors(checkpoint: Checkpoint, config: ModernBertConfig) -> list[CheckResult]:
    """Compare the headers with the config; no tensor is read, whatever the config asks for."""
    head = head_of(checkpoint.raw_config)
    if head is None:
        return [check_architecture(str(architecture_of(checkpoint.raw_config)))]
    try:
        found = checkpoint.tensors
    except UserError as error:
        return [
            failed(
                "tensors.header",
                expected="whole safetensors files",
                found=error.message,
                mend=error.mend or "save the checkpoint again",
            )
        ]
    labels = label_count(checkpoint.raw_config)
    expected = expected_tensors(config, head, labels=labels)
    results = [check_names(found, expected), check_shapes(found, expected)]
    results += [check_first_norm(found), check_tied(checkpoint, config, head)]
    results.append(
        check_dtypes(
            found, checkpoint.raw_config.get("dtype") or checkpoint.raw_config.get("torch_dtype")
        )
    )
    if len(checkpoint.weight_files) > 1:
        results.append(check_index(checkpoint))
    return results


def check_architecture(name: str) -> CheckResult:
    """A class whose tensors are not known here: one of ModernBERT's, or another model's."""
    expected = "an architecture whose tensors are known"
    if name in HEADS_NOT_CHECKED:
        return skipped("tensors.names", expected=expected, reason=f"{name} is not one of them")
    return failed(
        "tensors.names",
        expected=expected,
        found=f"architectures says {name}, which is no class of ModernBERT",
        mend='write "architectures": ["ModernBertForMaskedLM"] if that is what the weights are',
    )


def check_names(
    found: Mapping[str, TensorInfo], expected: Mapping[str, tuple[int, ...]]
) -> CheckResult:
    """Every tensor that the config implies, and nothing else."""
    said = f"{len(expected)} tensors, {parameter_count(expected):,} parameters"
    # These two have checks of their own, which say more.
    named = {"decoder.weight", *_first_norms(found)}
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected and name not in named]
    if not missing and not extra:
        return passed("tensors.names", said)
    faults = [f"{len(missing)} missing: {shortened(missing)}"] if missing else []
    faults += [f"{len(extra)} not ModernBERT's: {shortened(extra)}"] if extra else []
    return failed(
        "tensors.names",
        expected=said,
        found="; ".join(faults),
        mend="correct the sizes and biases in config.json, or save the model again from its class",
    )


def check_shapes(
    found: Mapping[str, TensorInfo], expected: Mapping[str, tuple[int, ...]]
) -> CheckResult:
    """Every tensor has the shape that the config implies."""
    wrong = [
        f"{name} {list(found[name].shape)} where the config says {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    if not wrong:
        return passed("tensors.shapes", "the shapes that the config implies")
    return failed(
        "tensors.shapes",
        expected="the shapes that the config implies",
        found=shortened(wrong, shown=2),
        mend="this config and these weights do not belong together: correct config.json",
    )


def check_first_norm(found: Mapping[str, TensorInfo]) -> CheckResult:
    """Layer 0 has no norm before its attention: the embeddings are normalized already."""
    extra = _first_norms(found)
    if not extra:
        return passed("tensors.first_norm", "no layers.0.attn_norm")
    return failed(
        "tensors.first_norm",
        expected="no layers.0.attn_norm",
        found=shortened(extra),
        mend="it is ignored on loading; if it was trained, this model is not a ModernBERT",
    )


def check_tied(checkpoint: Checkpoint, config: ModernBertConfig, head: Head) -> CheckResult:
    """A tied decoder is the embedding itself and not in the file a second time."""
    name, expected = "tensors.tied", "the tied decoder.weight is not in the file"
    if head != "mlm" or not config.tie_word_embeddings:
        return passed(name, "nothing is tied")
    if "decoder.weight" not in checkpoint.tensors:
        return passed(name, expected)
    same = _digest(checkpoint, "decoder.weight") == _digest(checkpoint, f"model.{EMBEDDINGS}")
    if same:
        return warned(
            name,
            expected=expected,
            found="a copy of the embeddings, which is not needed",
            mend="save the model again: model.save_pretrained(folder)",
        )
    return failed(
        name,
        expected=expected,
        found="decoder.weight differs from the embeddings, and is lost on loading",
        mend='write "tie_word_embeddings": false if it was trained untied, else drop the tensor',
    )


def check_dtypes(found: Mapping[str, TensorInfo], declared: object) -> CheckResult:
    """One floating dtype, the one that the config declares: 5.x loads in the declared one."""
    name = "tensors.dtype"
    kinds = sorted({info.dtype for info in found.values()})
    whole = [key for key, info in found.items() if info.dtype not in TORCH_NAMES]
    if whole:
        return failed(
            name,
            expected="floating point",
            found=shortened(f"{key} is {found[key].dtype}" for key in whole),
            mend="save the model unquantized",
        )
    if len(kinds) > 1:
        return warned(
            name,
            expected="one dtype",
            found=" and ".join(kinds),
            mend="save in one dtype: model.to(torch.float32).save_pretrained(folder)",
        )
    stored = TORCH_NAMES[kinds[0]] if kinds else "nothing"
    if declared is None or declared == stored:
        return passed(name, stored)
    return warned(
        name,
        expected=f"{declared}, as config.json says",
        found=f"{stored}; transformers 5.x loads it as {declared}",
        mend=f'write "dtype": "{stored}" in config.json',
    )


def check_index(checkpoint: Checkpoint) -> CheckResult:
    """The index of a sharded model names for each tensor the file that holds it."""
    weight_map = read_json(checkpoint.path / SHARD_INDEX)["weight_map"]
    actual = {name: h.path.name for h in checkpoint.headers for name in h.tensors}
    wrong = sorted(
        name for name in {*weight_map, *actual} if weight_map.get(name) != actual.get(name)
    )
    if not wrong and len(actual) == sum(len(header.tensors) for header in checkpoint.headers):
        return passed("tensors.index", f"{len(checkpoint.weight_files)} files as the index says")
    return failed(
        "tensors.index",
        expected="each tensor in the one file that the index names",
        found=f"not so: {shortened(wrong)}" if wrong else "a tensor stands in two files",
        mend="save the model again: model.save_pretrained(folder)",
    )


def check_finite(checkpoint: Checkpoint, progress: Progress = SILENT) -> CheckResult:
    """No value is NaN or infinite; the files are read in pieces, without torch.

    Raises:
        UserError: a file cannot be read.
    """
    progress.start("reading weights", len(checkpoint.tensors), "tensors")
    bad: dict[str, int] = {}
    for header in checkpoint.headers:
        for name, count in _not_finite(header, progress).items():
            bad[name] = count
    if not bad:
        return passed("tensors.finite", "every value is finite")
    return failed(
        "tensors.finite",
        expected="every value is finite",
        found=shortened(f"{name} has {count:,} NaN or infinite" for name, count in bad.items()),
        mend="this checkpoint is lost: take an earlier one",
    )


def count_not_finite(data: bytes, dtype: str) -> int:
    """The number of NaN and infinite values in little-endian ``data``; 0 for whole numbers."""
    if dtype == "BF16":
        # numpy has no bfloat16: NaN and infinity are those with all exponent bits set.
        bits = np.frombuffer(data, dtype="<u2") & BF16_EXPONENT
        return int(np.count_nonzero(bits == BF16_EXPONENT))
    if dtype not in FLOATS:
        return 0
    values = np.frombuffer(data, dtype=FLOATS[dtype])
    return int(values.size - np.count_nonzero(np.isfinite(values)))


def _not_finite(header: SafetensorsHeader, progress: Progress) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        with header.path.open("rb") as file:
            for name, info in header.tensors.items():
                file.seek(info.start)
                for start in range(info.start, info.end, PIECE_BYTES):
                    piece = file.read(min(PIECE_BYTES, info.end - start))
                    if count := count_not_finite(piece, info.dtype):
                        found[name] = found.get(name, 0) + count
                progress.advance()
    except OSError as error:
        raise unreadable(header.path, error) from error
    return found


def _first_norms(found: Mapping[str, TensorInfo]) -> list[str]:
    return [name for name in found if "layers.0.attn_norm." in name]


def _digest(checkpoint: Checkpoint, name: str) -> bytes | None:
    for header in checkpoint.headers:
        if info := header.tensors.get(name):
            with header.path.open("rb") as file:
                digest = hashlib.sha256(info.dtype.encode())
                file.seek(info.start)
                for start in range(info.start, info.end, PIECE_BYTES):
                    digest.update(file.read(min(PIECE_BYTES, info.end - start)))
                return digest.digest()
    return None
