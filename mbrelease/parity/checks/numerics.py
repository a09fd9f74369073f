"""It computes, and the same in every way that people run it.

The bounds, and why they are where they are:

- ``FLOAT32_BOUND``: float32 keeps 24 bits, so a sum taken in another order differs by about 1e-7
  of its terms. After all layers that is some 1e-6 of the logit scale; a wrong mask, window or
  position gives 1e-2 and more. The bound lies well away from both.
- ``HALF_COSINE``: bfloat16 keeps 8 bits and float16 11. What is lost has no direction, so it
  averages out over tokens and dimensions: 0.9995 and more in bfloat16. Below 0.999 a search
  returns other documents.
- float16 ends at 65,504: what is larger becomes infinite, and NaN in the next norm.

A float32 file that does not bear bfloat16 or float16 is no wrong model, so it only warns. A file
stored in that dtype is loaded in it by everyone, and fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import FLASH, choose_backend
from mbrelease.evaluation.batching import is_out_of_memory
from mbrelease.evaluation.forward import HEAD_SIZE_MULTIPLE, LARGEST_HEAD
from mbrelease.parity.loaded import (
    AUTO_CLASSES,
    Loaded,
    load,
    one_line,
    one_thread,
    quiet_transformers,
)
from mbrelease.parity.numerics import (
    WORK,
    Difference,
    Document,
    NoDocuments,
    Outcome,
    choose_lengths,
    combine,
    compare,
    largest_activations,
    make_documents,
    not_finite,
    one_by_one,
    packed,
    padded,
    varies,
)
from mbrelease.parity.report import CheckResult, failed, passed, skipped, warned
from mbrelease.parity.texts import TEXTS
from mbrelease.progress import SILENT, Progress

FLOAT32_BOUND = 1e-4
HALF_COSINE = 0.999
LARGEST_FLOAT16 = 65_504
HALF_WORK = WORK / 8
"""A processor without arithmetic for float16 takes so much longer for it."""


@dataclass(frozen=True)
class Way:
    """A way of computing, and what is asked of it."""

    name: str
    expected: str
    mend: str
    run: Callable[[], Sequence[Outcome]]
    holds: Callable[[Difference], bool]
    must_hold: bool = True
    """Whether the model fails if it does not; else it warns."""
    remark: str = ""


def check_numerics(loaded: Loaded, progress: Progress = SILENT) -> list[CheckResult]:
    """Compare the ways of computing a model with eager attention in float32.

    Args:
        loaded: A model that computes finite numbers on a sentence (``loading.forward``).
        progress: Is told of each way.
    """
    progress.start("comparing ways of computing", 6, "ways")
    name, expected = "numerics.output", "the output differs from token to token"
    with quiet_transformers(), one_thread(loaded.model):
        try:
            documents = _documents(loaded)
            with largest_activations(loaded.model) as largest:
                reference = one_by_one(loaded.model, documents, "eager")
        except NoDocuments as error:
            return [skipped(name, expected=expected, reason=str(error))]
        except Exception as error:  # whatever stops the forward pass is the answer
            mend = "a sentence ran, longer texts do not: look at the memory and the config"
            return [failed(name, expected=expected, found=one_line(error), mend=mend)]
        progress.advance()
        results = [check_output(name, expected, reference)]
        if results[0].status == "fail":
            return results
        for way in [*_float32(loaded, documents), *_half(loaded, documents, largest)]:
            results.append(check_way(way, reference, documents))
            progress.advance()
        results.append(check_flash(loaded, reference, documents))
        progress.advance()
    return results


def check_output(name: str, expected: str, reference: Sequence[Outcome]) -> CheckResult:
    """The output is finite on every text, and depends on the tokens."""
    if bad := sum(not_finite(outcome) for outcome in reference):
        found = f"{bad:,} values not finite"
        mend = "look for theta ≤ 0 in config.json and for lost weights"
        return failed(name, expected=f"{expected}, and is finite", found=found, mend=mend)
    if varies(reference):
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found="every token gets the same output",
        mend="these weights were lost or never trained: take another checkpoint",
    )


def check_way(way: Way, reference: Sequence[Outcome], documents: Sequence[Document]) -> CheckResult:
    """Run one way and hold it to the reference; a way may run the first few documents alone."""
    try:
        outcomes = way.run()
    except Exception as error:  # whatever stops the forward pass is the answer
        if is_out_of_memory(error):
            return skipped(way.name, expected=way.expected, reason="out of memory")
        return failed(way.name, expected=way.expected, found=one_line(error), mend=way.mend)
    differences = [compare(*pair) for pair in zip(reference, outcomes, strict=False)]
    total = combine(differences)
    result = passed(way.name, _said(total, way.remark), way.expected)
    if total.not_finite or not way.holds(total):
        answer = failed if way.must_hold else warned
        result = answer(way.name, expected=way.expected, found=result.found, mend=way.mend)
    tables = [
        {"tokens": len(document)} | one.as_json()
        for document, one in zip(documents, differences, strict=False)
    ]
    return replace(result, details={"texts": tables})


def check_flash(
    loaded: Loaded, reference: Sequence[Outcome], documents: Sequence[Document]
) -> CheckResult:
    """FlashAttention-2 over packed texts in bfloat16, where there is a GPU that has it."""
    name = "numerics.flash"
    expected = f"FlashAttention-2 in bfloat16: pooled cosine ≥ {HALF_COSINE}"
    config = loaded.model.config
    head_size = config.hidden_size // config.num_attention_heads
    try:
        backend = choose_backend("cuda", "auto", "bfloat16")
    except UserError as error:
        return skipped(name, expected=expected, reason=error.message)
    if backend.attn not in FLASH or head_size % HEAD_SIZE_MULTIPLE or head_size > LARGEST_HEAD:
        reason = f"no FlashAttention-2 for heads of size {head_size} with this GPU and torch"
        return skipped(name, expected=expected, reason=reason)

    def run() -> Sequence[Outcome]:
        model = _half_model(loaded, "bfloat16").to(backend.device)
        return packed(model, documents, backend.attn)

    mend = "where numerics.bfloat16 holds this is the kernel: take another version of torch"
    return check_way(Way(name, expected, mend, run, _close), reference, documents)


def _float32(loaded: Loaded, documents: Sequence[Document]) -> list[Way]:
    scores = "logits" if loaded.head == "mlm" else "hidden states"
    expected = f"{scores} of eager attention within {FLOAT32_BOUND:g} of their scale"
    mend = (
        "try other versions of torch and transformers; if it stays, weights far too large let "
        "rounding errors grow"
    )

    def holds(total: Difference) -> bool:
        return total.relative <= FLOAT32_BOUND

    def sdpa() -> Sequence[Outcome]:
        return padded(loaded.model, documents, "sdpa")

    def banded() -> Sequence[Outcome]:
        return packed(loaded.model, documents, "sdpa")

    return [
        Way("numerics.sdpa", f"sdpa on padded texts: {expected}", mend, sdpa, holds),
        Way("numerics.packed", f"sdpa in bands on packed texts: {expected}", mend, banded, holds),
    ]


def _half(loaded: Loaded, documents: Sequence[Document], largest: dict[str, float]) -> list[Way]:
    """bfloat16 and float16, on as many of the documents as may be had in some seconds."""
    stored = {info.dtype for info in open_checkpoint(loaded.path).tensors.values()}
    lengths = _lengths(loaded, always=2, work=HALF_WORK)
    place, value = max(largest.items(), key=lambda pair: pair[1])

    def run(dtype: str) -> Sequence[Outcome]:
        return one_by_one(_half_model(loaded, dtype), documents[: len(lengths)], "sdpa")

    def mend(must_hold: bool, instead: str) -> str:
        return f"store it as {instead}" if must_hold else f"say on the card that it needs {instead}"

    def fits(total: Difference) -> bool:
        return value <= LARGEST_FLOAT16 and _close(total)

    cosine = f"pooled cosine ≥ {HALF_COSINE} to float32"
    is_bfloat16, is_float16 = "BF16" in stored, "F16" in stored
    return [
        Way(
            "numerics.bfloat16",
            cosine,
            mend(is_bfloat16, "float32"),
            lambda: run("bfloat16"),
            _close,
            must_hold=is_bfloat16,
        ),
        Way(
            "numerics.float16",
            f"{cosine}, nothing above {LARGEST_FLOAT16:,}",
            mend(is_float16, "float32 or bfloat16"),
            lambda: run("float16"),
            fits,
            must_hold=is_float16,
            remark=f"largest activation {value:,.4g} in {place}",
        ),
    ]


def _half_model(loaded: Loaded, dtype: str) -> Any:
    # As people load it: a model that is cast instead has its rotary frequencies rounded too.
    return load(loaded.path, AUTO_CLASSES[loaded.head], dtype)[0]


def _documents(loaded: Loaded) -> list[Document]:
    """The fixed texts as the tokenizer has them.

    Raises:
        NoDocuments: the tokenizer gives no token, or one that has no embedding.
    """
    mask = loaded.head == "mlm" and loaded.tokenizer.mask_token_id is not None
    documents = make_documents(loaded.tokenizer, TEXTS, _lengths(loaded), mask=mask)
    largest = max(int(document.ids.max()) for document in documents)
    if largest >= loaded.model.config.vocab_size:
        raise NoDocuments(f"token {largest} has no embedding: see tokenizer.ids")
    return documents


def _lengths(loaded: Loaded, *, always: int = 3, work: float = WORK) -> list[int]:
    context, parameters = loaded.model.config.max_position_embeddings, loaded.model.num_parameters()
    return choose_lengths(context, parameters, always=always, work=work)


def _close(total: Difference) -> bool:
    return total.cosine >= HALF_COSINE


def _said(total: Difference, remark: str) -> str:
    said = [
        f"max |Δ| {total.largest:.2g}, mean {total.mean:.2g} at scale {total.scale:.3g}",
        *([] if total.agreed is None else [f"top-1 {total.agreed} of {total.asked}"]),
        f"cosine {total.cosine:.6f}",
    ]
    said += [f"{total.not_finite:,} values not finite"] if total.not_finite else []
    return ", ".join([*said, remark] if remark else said)
