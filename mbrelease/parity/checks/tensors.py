"""The weights against what the config implies, from the headers alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, Checkpoint
from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.checkpoints.safetensors_header import SafetensorsHeader, TensorInfo
from mbrelease.checkpoints.tied import DECODER, drop_tied
from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import read_json
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
from mbrelease.parity.strangers import kind_of

TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
FIRST_NORMS = frozenset({"layers.0.attn_norm.weight", "layers.0.attn_norm.bias"})


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
    # The next but one tell more of these.
    elsewhere = set(_first_norms(found)) | ({DECODER} if _is_tied(config, head) else set())
    results = [check_names(found, expected, elsewhere), check_shapes(found, expected)]
    results += [check_first_norm(found), check_tied(checkpoint, config, head)]
    results.append(
        check_dtypes(
            found, checkpoint.raw_config.get("dtype") or checkpoint.raw_config.get("torch_dtype")
        )
    )
    results.append(check_format(checkpoint.headers))
    if checkpoint.weight_files != (checkpoint.path / SINGLE_FILE,):
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
    found: Mapping[str, TensorInfo],
    expected: Mapping[str, tuple[int, ...]],
    judged_elsewhere: Collection[str] = (),
) -> CheckResult:
    """Every tensor that the config implies, and nothing else; what else there is, by its kind."""
    name = "tensors.names"
    implied = _counted(len(expected), parameter_count(expected))
    stored = _counted(len(found), sum(info.elements for info in found.values()))
    missing = [key for key in expected if key not in found]
    kinds = {
        key: kind_of(key, expected)
        for key in found
        if key not in expected and key not in judged_elsewhere
    }
    if not missing and not kinds:
        return passed(name, stored, implied)
    others: dict[str, list[str]] = {}
    for key, kind in kinds.items():
        others.setdefault(kind.words, []).append(key)
    faults = [f"{len(missing)} missing: {shortened(missing)}"] if missing else []
    faults += [f"{len(keys)} {words}: {shortened(keys)}" for words, keys in others.items()]
    mends = dict.fromkeys(kind.mend for kind in kinds.values()) or [_mend_missing(found)]
    result = failed(
        name,
        expected=implied,
        found=f"{stored}; {'; '.join(faults)}",
        mend="; ".join(mends),
    )
    return replace(result, details={"missing": missing, "others": others})


def _counted(tensors: int, parameters: int) -> str:
    return f"{tensors} tensors, {parameters:,} parameters"


def _mend_missing(found: Mapping[str, TensorInfo]) -> str:
    if not found:
        return "the file is empty: save the model again: model.save_pretrained(folder)"
    return "correct the sizes and biases in config.json, or save the model again from its class"


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
    # What a model of this config would take, were it built.
    asked, held = parameter_count(expected), sum(info.elements for info in found.values())
    return failed(
        "tensors.shapes",
        expected=f"the shapes that the config implies: {asked:,} parameters, {_gigabytes(asked)}",
        found=f"{held:,} parameters, {_gigabytes(held)}; {shortened(wrong, shown=2)}",
        mend="this config and these weights do not belong together: correct config.json",
    )


def _gigabytes(parameters: int) -> str:
    if parameters > 10**15:  # a config may say any number, too large for a float
        return "more than 4,000,000 GB in float32"
    return f"{4 * parameters / 1e9:,.2f} GB in float32"


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
    if not _is_tied(config, head):
        return passed(name, "nothing is tied")
    if DECODER not in checkpoint.tensors:
        return passed(name, expected)
    try:
        same = _is_copy(checkpoint)
    except UserError as error:
        return skipped(name, expected=expected, reason=error.message)
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


def _is_tied(config: ModernBertConfig, head: Head) -> bool:
    return head == "mlm" and config.tie_word_embeddings


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


def check_format(headers: Iterable[SafetensorsHeader]) -> CheckResult:
    """Metadata, where there are any, say that PyTorch wrote them: 4.x refuses a file otherwise.

    transformers 4.48 and 4.57, ``load_state_dict``; 5.x does not ask.
    """
    name, expected = "tensors.format", '"format": "pt" in the metadata, or no metadata'
    wrong = [header for header in headers if header.metadata.get("format", "") != "pt"]
    wrong = [header for header in wrong if header.metadata]
    if not wrong:
        return passed(name, expected)
    metadata = wrong[0].metadata
    said = f"format {metadata['format']}" if "format" in metadata else "no format"
    return failed(
        name,
        expected=expected,
        found=f"{wrong[0].path.name}: {said}, but {shortened(sorted(metadata))}",
        mend='save it as transformers does: save_file(tensors, path, metadata={"format": "pt"})',
    )


def _first_norms(found: Mapping[str, TensorInfo]) -> list[str]:
    return [name for name in found if name.removeprefix("model.") in FIRST_NORMS]


def _is_copy(checkpoint: Checkpoint) -> bool:
    """Whether the decoder's weight, which is in the file, is that of the embeddings."""
    stored = checkpoint.stored
    pair = {name: stored[name] for name in (DECODER, f"model.{EMBEDDINGS}") if name in stored}
    try:
        return DECODER not in drop_tied(pair, tied=True, place=checkpoint.path)
    except CheckFailed:
        return False
