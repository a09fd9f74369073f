"""A checkpoint as transformers loads it: from disk alone, and without a word on the screen."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.parity.reference import Head

AUTO_CLASSES: dict[Head, str] = {
    "mlm": "AutoModelForMaskedLM",
    "encoder": "AutoModel",
    "classifier": "AutoModelForSequenceClassification",
}

ONE_THREAD_UP_TO = 250_000_000
"""Parameters."""


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer, loaded once for all checks.

    ``model`` is of the class in ``AUTO_CLASSES``, in float32 whatever the file holds, on the CPU.
    """

    path: Path
    head: Head
    model: Any
    tokenizer: Any


def load(path: Path, auto_class: str, dtype: str = "float32") -> tuple[Any, dict[str, Any]]:
    """The model in ``path`` by the ``auto_class`` of transformers, and what loading it reported.

    In float32 the values of a float16 or bfloat16 file are the file's own, without rounding.
    transformers maps the file into memory, so that a second model of the same file and dtype
    takes next to none.
    """
    import torch
    import transformers

    model, info = getattr(transformers, auto_class).from_pretrained(
        path,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        dtype=getattr(torch, dtype),
    )
    return model.eval(), info


def load_tokenizer(path: Path) -> Any:
    """The tokenizer in ``path``, as transformers reads it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def batch_of(tokenizer: Any, text: str) -> dict[str, Any]:
    """What ModernBERT takes of one text: tensors of shape (1, tokens)."""
    batch = tokenizer(text, return_tensors="pt")
    return {key: batch[key] for key in ("input_ids", "attention_mask")}


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


@contextlib.contextmanager
def one_thread(model: Any) -> Iterator[None]:
    """Compute in one thread, but for a large model.

    The threads of one product wait for the slowest of them. Where anything else runs on the
    machine a short text then takes many times as long, and where nothing does they save a second
    or two of ModernBERT-base.
    """
    import torch

    before = torch.get_num_threads()
    if model.num_parameters() <= ONE_THREAD_UP_TO:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_line(error: BaseException) -> str:
    """What went wrong, in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
