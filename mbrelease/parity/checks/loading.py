"""What people load it with, each from disk alone, in float32 on the CPU.

One model is loaded and shared: the others read the same mapped file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mbrelease.errors import MissingExtra
from mbrelease.parity.checks.embedder import check_sentence_transformers
from mbrelease.parity.loaded import (
    AUTO_CLASSES,
    Loaded,
    batch_of,
    load,
    load_tokenizer,
    one_line,
    one_thread,
    quiet_transformers,
)
from mbrelease.parity.reference import Head
from mbrelease.parity.report import CheckResult, failed, passed, shortened, skipped

SENTENCE = "The capital of France is {mask}."
HEADS: dict[Head, tuple[str, ...]] = {
    "mlm": ("head.", "decoder."),
    "encoder": (),
    "classifier": ("head.", "classifier."),
}
"""How the tensors begin that AutoModel, which has no head, leaves over."""
OWN_CLASS: dict[Head, str] = {"mlm": "loading.masked_lm", "classifier": "loading.classifier"}
NEEDS_MASKED_LM = ("loading.masked_lm", "loading.fill_mask")


def check_loading(path: Path, head: Head) -> tuple[list[CheckResult], Loaded | None]:
    """Load the folder ``path`` in every way, and run a sentence through each.

    Returns:
        The answers, and the model for further checks: ``None`` where it does not load, has no
        tokenizer that loads, or does not compute.
    """
    name, expected = "loading.auto_model", "AutoModel loads every tensor but those of the head"
    if not all(importlib.util.find_spec(module) for module in ("torch", "transformers")):
        reason = MissingExtra("eval", "loading").message
        return [skipped(name, expected=expected, reason=reason)], None
    with quiet_transformers():
        encoder, first = _load(name, path, "AutoModel", head)
        if encoder is None:
            return [first], None  # what stops this stops them all
        results, model = [first], encoder
        if head != "encoder":
            del encoder
            model, second = _load(OWN_CLASS[head], path, AUTO_CLASSES[head], head)
            results.append(second)
        results += [_no_head(check, head) for check in NEEDS_MASKED_LM if head != "mlm"]
        if model is None:
            return results, None
        with one_thread(model):
            return _run(results, path, head, model)


def _run(
    results: list[CheckResult], path: Path, head: Head, model: Any
) -> tuple[list[CheckResult], Loaded | None]:
    try:
        tokenizer = load_tokenizer(path)
    except Exception as error:  # whatever stops the tokenizer is the answer
        expected = "the tokenizer loads, and its tokens run through the model"
        found, mend = one_line(error), "mend what tokenizer.* found"
        return [
            *results,
            failed("loading.forward", expected=expected, found=found, mend=mend),
        ], None
    loaded = Loaded(path, head, model, tokenizer)
    forward = check_forward(loaded)
    results = [*results, forward]
    if forward.status != "pass":
        return results, None
    if head == "mlm":
        results.append(check_fill_mask(loaded))
    return [*results, check_sentence_transformers(loaded)], loaded


def check_forward(loaded: Loaded) -> CheckResult:
    """The model computes finite numbers of the right shape on a sentence."""
    import torch

    text = _sentence(loaded.tokenizer)
    name, expected = "loading.forward", f"finite output on “{text}”"
    try:
        batch = batch_of(loaded.tokenizer, text)
        with torch.inference_mode():
            output = loaded.model(**batch)[0]
    except Exception as error:  # whatever stops the forward pass is the answer
        mend = "mend what tokenizer.* found: a token without embedding stops it too"
        return failed(name, expected=expected, found=one_line(error), mend=mend)
    length, config = batch["input_ids"].shape[1], loaded.model.config
    shapes: dict[Head, tuple[int, ...]] = {
        "mlm": (1, length, config.vocab_size),
        "encoder": (1, length, config.hidden_size),
        "classifier": (1, config.num_labels),
    }
    shape = shapes[loaded.head]
    bad = int((~torch.isfinite(output)).sum())
    if bad or tuple(output.shape) != shape:
        return failed(
            name,
            expected=f"{expected}, shape {list(shape)}",
            found=f"shape {list(output.shape)}, {bad} of {output.numel()} not finite",
            mend="look for theta ≤ 0 in config.json and for lost weights",
        )
    return passed(name, f"finite, shape {list(shape)}", expected)


def check_fill_mask(loaded: Loaded) -> CheckResult:
    """The fill-mask pipeline gives tokens with probabilities."""
    from transformers import pipeline

    name, expected = "loading.fill_mask", "the fill-mask pipeline fills the mask of a sentence"
    if loaded.tokenizer.mask_token is None:
        return skipped(name, expected=expected, reason="the tokenizer has no mask_token")
    mend = "tokenizer.* says what is wrong with the mask token; sparse_prediction must be false"
    try:
        fill = pipeline(
            "fill-mask", model=loaded.model, tokenizer=loaded.tokenizer, device="cpu", top_k=3
        )
        filled = [
            (guess["token_str"].strip(), guess["score"])
            for guess in fill(_sentence(loaded.tokenizer))
        ]
    except Exception as error:  # whatever stops the pipeline is the answer
        return failed(name, expected=expected, found=one_line(error), mend=mend)
    said = ", ".join(f"“{token}” {score:.3f}" for token, score in filled)
    if not all(0 <= score <= 1 for _, score in filled):
        return failed(name, expected=f"{expected} with probabilities", found=said, mend=mend)
    return passed(name, said, expected)


def _load(name: str, path: Path, auto_class: str, head: Head) -> tuple[Any, CheckResult]:
    """The model, ``None`` where it does not load, and what loading it says."""
    bare = auto_class == "AutoModel" and head != "encoder"
    expected = f"{auto_class} loads every tensor" + (" but those of the head" if bare else "")
    try:
        model, info = load(path, auto_class)
    except Exception as error:  # whatever stops the load is the answer
        mend = "mend the checks above; what they passed should load"
        return None, failed(name, expected=expected, found=one_line(error), mend=mend)
    spared = HEADS[head] if bare else ()
    faults = [
        f"{len(keys)} {kind}: {shortened(keys)}"
        for kind in ("missing", "unexpected", "mismatched")
        if (keys := _keys(info.get(f"{kind}_keys") or (), spared))
    ]
    if not faults:
        return model, passed(name, expected)
    return model, failed(
        name,
        expected=expected,
        found="; ".join(faults),
        mend="a missing tensor is filled with random numbers: save the model again",
    )


def _keys(found: Iterable[Any], spared: tuple[str, ...]) -> list[str]:
    names = sorted(str(key) for key in found)
    return [name for name in names if not (spared and name.startswith(spared))]


def _no_head(name: str, head: Head) -> CheckResult:
    kind = "an encoder" if head == "encoder" else "a classifier"
    expected = "the head for masked tokens loads and fills a mask"
    return skipped(name, expected=expected, reason=f"{kind} has no head for masked tokens")


def _sentence(tokenizer: Any) -> str:
    return SENTENCE.format(mask=tokenizer.mask_token or "Paris")
