"""It loads with transformers from disk alone, and computes."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mbrelease.errors import MissingExtra
from mbrelease.parity.reference import Head
from mbrelease.parity.report import CheckResult, failed, passed, shortened, skipped

SENTENCE = "The capital of France is {mask}."
AUTO_CLASSES: dict[Head, str] = {
    "mlm": "AutoModelForMaskedLM",
    "encoder": "AutoModel",
    "classifier": "AutoModelForSequenceClassification",
}


def check_loading(path: Path, head: Head) -> list[CheckResult]:
    """Load the folder ``path`` and run one sentence through it, in float32 on the CPU."""
    name, expected = "loading.model", f"{AUTO_CLASSES[head]}.from_pretrained loads every tensor"
    if not all(importlib.util.find_spec(module) for module in ("torch", "transformers")):
        return [skipped(name, expected=expected, reason=MissingExtra("eval", "loading").message)]
    with quiet_transformers():
        try:
            model, info = _load(path, head)
        except Exception as error:  # whatever stops the load is the answer
            return [
                failed(
                    name,
                    expected=expected,
                    found=_one_line(error),
                    mend="mend the checks above; what they passed should load",
                )
            ]
        results = [_loaded(name, expected, info)]
        results.append(check_fill_mask(path, model, head))
    return results


def check_fill_mask(path: Path, model: Any, head: Head) -> CheckResult:
    """The model computes finite numbers of the right shape on a sentence with a mask."""
    import torch
    from transformers import AutoTokenizer

    name, expected = "loading.forward", f"finite output on “{SENTENCE.format(mask='[MASK]')}”"
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        batch = tokenizer(SENTENCE.format(mask=tokenizer.mask_token), return_tensors="pt")
        batch = {key: batch[key] for key in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            output = model(**batch)[0]
    except Exception as error:  # whatever stops the forward pass is the answer
        return failed(name, expected=expected, found=_one_line(error), mend="see tokenizer.*")
    length = batch["input_ids"].shape[1]
    shapes = {
        "mlm": (1, length, model.config.vocab_size),
        "encoder": (1, length, model.config.hidden_size),
        "classifier": (1, model.config.num_labels),
    }
    bad = int((~torch.isfinite(output)).sum())
    if bad or tuple(output.shape) != shapes[head]:
        return failed(
            name,
            expected=f"{expected}, shape {list(shapes[head])}",
            found=f"shape {list(output.shape)}, {bad} of {output.numel()} not finite",
            mend="look for theta ≤ 0 in config.json and for lost weights",
        )
    return passed(name, _said(output, batch, tokenizer, head), expected)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars, reports and warnings off stderr; what matters is in our answer."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load(path: Path, head: Head) -> tuple[Any, dict[str, Any]]:
    import torch
    import transformers

    model, info = getattr(transformers, AUTO_CLASSES[head]).from_pretrained(
        path,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        dtype=torch.float32,
    )
    return model.eval(), info


def _loaded(name: str, expected: str, info: dict[str, Any]) -> CheckResult:
    faults = [
        f"{len(info[key])} {key.removesuffix('_keys')}: {shortened(map(str, sorted(info[key])))}"
        for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if info.get(key)
    ]
    if not faults:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found="; ".join(faults),
        mend="a missing tensor is filled with random numbers: save the model again",
    )


def _said(output: Any, batch: dict[str, Any], tokenizer: Any, head: Head) -> str:
    shape = f"finite, shape {list(output.shape)}"
    if head != "mlm":
        return shape
    place = int((batch["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0])
    best = tokenizer.decode([int(output[0, place].argmax())]).strip()
    return f"{shape}; the mask becomes “{best}”"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
