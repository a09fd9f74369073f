"""Put one question to several versions of transformers, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbrelease.files import write_json
from mbrelease.parity.texts import TEXTS
from mbrelease.parity.versions.unavailable import Unavailable

PROBE = Path(__file__).with_name("probe.py")
SECONDS = 600
MAX_VALUES = 1 << 25
"""134 MB of float32: all tokens of :data:`COMPUTED` for a vocabulary of ModernBERT's size."""
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
PARAGRAPH = (
    "The encoder reads a text from both sides at once, so a word means what the words before and "
    "after it make of it. Most of its layers look no further than a window around each token; "
    "every third looks at all of the text. "
)
# In pairs, as they are padded: short beside long, within the window of 128 tokens and beyond.
COMPUTED = (
    "The capital of France is {mask}.",
    f"{PARAGRAPH}A {{mask}} stands between them.",
    "  two  spaces,\ttabs\nand lines .  {mask}  ,  don't ( tidy ) it up !",
    f"{PARAGRAPH * 2}def f(x):\n    return x ** 2  # a comment",
    "Ünïcödé ☃ 日本語のテキスト 🤗 ﬁ ½ İstanbul — „quotes“ … e\u0301\u200b.",
    f"{PARAGRAPH * 7}The {{mask}} is far from the first word.",
)
"""What goes through the model; ``{mask}`` stands for the mask token."""


@dataclass(frozen=True)
class Question:
    """What is asked about a folder.

    All ``texts`` are tokenized and the first of them, which are :data:`COMPUTED`, go through the
    model, unless ``ids`` has the token ids to compute with.
    """

    folder: Path
    model_class: str
    max_length: int
    ids: tuple[tuple[int, ...], ...] = ()
    texts: tuple[str, ...] = (*COMPUTED, *TEXTS)


@dataclass(frozen=True)
class Answer:
    """What one transformers made of it; an error in place of what it could not do."""

    tokenizer: Mapping[str, Any] | None
    tokenizer_error: str | None
    output: NDArray[np.float32] | None
    """Shape (tokens or texts, columns), on disk in the workspace."""
    model_error: str | None
    tokens: int
    """Real tokens that went through the model."""


def ask(python: Path, question: Question, workspace: Path, *, seconds: int = SECONDS) -> Answer:
    """Let the interpreter ``python`` answer; it has no network, no settings and no tokens of ours.

    Args:
        python: of an environment with torch and transformers.
        question: see :class:`Question`.
        workspace: an empty folder, which the answer needs as long as it is used.
        seconds: after which it is given up.

    Raises:
        Unavailable: there is no answer: transformers cannot be imported there, it was killed, or
            it took too long.
    """
    paths = {name: workspace / name for name in ("question.json", "answer.json", "output.npy")}
    values = {
        "folder": str(question.folder.resolve()),
        "model_class": question.model_class,
        "max_length": question.max_length,
        "ids": question.ids,
        "texts": question.texts,
        "computed": len(COMPUTED),
        "max_values": MAX_VALUES,
        "answer": str(paths["answer.json"].resolve()),
        "output": str(paths["output.npy"].resolve()),
    }
    write_json(paths["question.json"], values)
    said = _run(python, paths["question.json"], seconds)
    try:
        content = json.loads(paths["answer.json"].read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unavailable(f"it ended without an answer{said}") from error
    if unusable := content.get("unusable"):
        raise Unavailable(f"it cannot be imported here: {unusable}")
    return _answer(content, paths["output.npy"])


def _run(python: Path, question: Path, seconds: int) -> str:
    """Run the probe; what it last said, which matters only where it leaves no answer."""
    home = str(question.parent)
    environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ} | {
        "HOME": home,
        "HF_HOME": home,
        "XDG_CACHE_HOME": home,
        "TMPDIR": home,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
    }
    try:
        done = subprocess.run(  # noqa: S603
            [str(python), "-I", str(PROBE), str(question)],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"it took longer than {seconds} seconds") from error
    except OSError as error:
        raise Unavailable(f"{python} cannot be run: {error.strerror}") from error
    if done.returncode < 0:
        return f": it was killed by signal {-done.returncode}"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""


def _answer(content: Mapping[str, Any], output: Path) -> Answer:
    tokenizer, model = content["tokenizer"], content["model"]
    has_output = "error" not in model
    return Answer(
        tokenizer=None if "error" in tokenizer else tokenizer,
        tokenizer_error=tokenizer.get("error"),
        output=np.load(output, mmap_mode="r", allow_pickle=False) if has_output else None,
        model_error=model.get("error"),
        tokens=model.get("tokens", 0),
    )
