"""Other versions of transformers read the same model from the same folder."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.normalize_folder import is_trainers, normalization
from mbrelease.errors import MissingExtra, UserError
from mbrelease.parity.reference import architecture_of, head_of
from mbrelease.parity.report import CheckResult, failed, graded, passed, skipped
from mbrelease.parity.versions.ask import COMPUTED, Answer, Question, ask
from mbrelease.parity.versions.environment import python_with, running_version
from mbrelease.parity.versions.unavailable import Unavailable
from mbrelease.progress import SILENT, Progress

TOLERANCE = 1e-4
LONGEST = 300
ROWS_AT_ONCE = 64
PARTS = {
    "ids": "other token ids",
    "padded": "another padded batch",
    "decoded": "other decoded texts",
    "plain": "other texts without special tokens",
    "special": "other special tokens",
    "special ids": "other ids of special tokens",
    "all special ids": "other special ids",
    "size": "a vocabulary of another size",
    "longest": "another model_max_length",
}
"""What is compared of tokenizers, and how a difference is said."""
OF_EACH_TEXT = ("ids", "decoded", "plain")


def check_versions(
    checkpoint: Checkpoint,
    versions: Sequence[str],
    *,
    publishable: bool,
    progress: Progress = SILENT,
) -> list[CheckResult]:
    """Compare each of ``versions`` of transformers with the one that is running.

    On a fixed set of texts, of some 8 to 300 tokens and padded in pairs, the tokens have to be the
    same, and the output of the declared head equal to 1e-4 in float32 with eager attention. Both
    compute on the tokens of the running version, so that a tokenizer that cannot be read does not
    hide what the model would say.

    Args:
        checkpoint: of a model that the running transformers loads.
        versions: such as ``4.48.3``; see ``requested_versions``.
        publishable: see :func:`graded`.
        progress: is told how far it is, and of what is installed.

    Raises:
        NoSuchVersion: one of them does not exist.
    """
    if not all(importlib.util.find_spec(module) for module in ("torch", "transformers")):
        return skip_versions(versions, MissingExtra("eval", "asking other versions").message)
    if head_of(checkpoint.raw_config) is None:
        return skip_versions(versions, f"no check for {architecture_of(checkpoint.raw_config)}")
    # What cannot be installed is known before anything is computed, which takes longer.
    pythons = [_python(version, progress) for version in versions]
    reasons = [python for python in pythons if isinstance(python, str)]
    if len(reasons) == len(pythons):
        named = zip(versions, reasons, strict=True)
        return [result for version, why in named for result in skip_versions([version], why)]
    with tempfile.TemporaryDirectory(prefix="mbrelease-") as name:
        workspace = Path(name)
        progress.start("asking transformers", len(versions) + 1, "versions")
        question = _question(checkpoint)
        reference = _asked(_python(running_version(), progress), question, workspace / "reference")
        progress.advance()
        if isinstance(reference, str):
            return skip_versions(versions, f"transformers {running_version()}: {reference}")
        unanswered = reference.tokenizer_error or reference.model_error
        if unanswered or reference.tokenizer is None:
            reason = f"transformers {running_version()} cannot answer itself: {unanswered}"
            return skip_versions(versions, reason)
        ids = tuple(tuple(each) for each in reference.tokenizer["ids"][: len(COMPUTED)])
        question = _question(checkpoint, ids)
        results = []
        for version, python in zip(versions, pythons, strict=True):
            is_running = version == running_version()
            answer = reference if is_running else _asked(python, question, workspace / version)
            results.append(
                compared(checkpoint, version, reference, answer, publishable=publishable)
            )
            progress.advance()
    return results


def skip_versions(versions: Sequence[str], reason: str) -> list[CheckResult]:
    """None of them was asked, all for the same reason."""
    return [skipped(_name(v), expected=_expected(), reason=reason) for v in versions]


def compared(
    checkpoint: Checkpoint,
    version: str,
    reference: Answer,
    answer: Answer | str,
    *,
    publishable: bool,
) -> CheckResult:
    """What a version answered beside what the running one did; a text is why it did not answer."""
    name, expected = _name(version), _expected()
    if isinstance(answer, str):
        return skipped(name, expected=expected, reason=answer)
    same, found = _output(answer, reference)
    differences = tokenizer_differences(answer, reference)
    found = "; ".join([found, *(differences or ["the same tokens"])])
    if same and not differences:
        itself = "the version that the others are compared with; " * (answer is reference)
        return passed(name, f"{itself}{found}", expected)
    mend, can_be_mended = _mend(checkpoint)
    if can_be_mended:
        return graded(publishable, name, expected=expected, found=found, mend=mend)
    return failed(name, expected=expected, found=found, mend=mend)


def tokenizer_differences(mine: Answer, reference: Answer) -> list[str]:
    """How a tokenizer differs from the running version's, in a few words."""
    if mine.tokenizer is None or reference.tokenizer is None:
        return [f"tokenizer: {mine.tokenizer_error}"]
    ours, theirs = mine.tokenizer, reference.tokenizer
    return [
        f"{said}{_of_texts(ours[part], theirs[part]) if part in OF_EACH_TEXT else ''}"
        for part, said in PARTS.items()
        if ours.get(part) != theirs.get(part)
    ]


def _of_texts(ours: Sequence[object], theirs: Sequence[object]) -> str:
    count = sum(mine != other for mine, other in zip(ours, theirs, strict=True))
    return f" of {count} of {len(ours)} texts"


def greatest_difference(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """The maximum of |Δ| over two arrays of one shape; NaN if a value is not finite."""
    greatest = 0.0
    for start in range(0, len(mine), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        difference = float(np.abs(mine[rows] - theirs[rows]).max())
        if not np.isfinite(difference):
            return float("nan")
        greatest = max(greatest, difference)
    return greatest


def _output(answer: Answer, reference: Answer) -> tuple[bool, str]:
    """Whether the model says the same, and how far it is from that."""
    mine, theirs = answer.output, reference.output
    assert theirs is not None, "a reference without output is not compared with"
    if mine is None:
        return False, f"model: {answer.model_error}"
    if mine.shape != theirs.shape:
        return False, f"output of shape {list(mine.shape)}, not {list(theirs.shape)}"
    greatest = greatest_difference(mine, theirs)
    largest = float(np.abs(theirs).max())
    of = f"over {reference.tokens} tokens, of values up to {largest:.3g}"
    return greatest <= TOLERANCE, f"max |Δ| {greatest:.2g} {of}"


def _mend(checkpoint: Checkpoint) -> tuple[str, bool]:
    """What to do about a difference, and whether ``normalize`` does it."""
    folder = checkpoint.path
    try:
        plan = normalization(checkpoint)
    except UserError as error:
        return f"{error.message}; {error.mend or 'correct it'}", False
    if plan.changes:
        return f"mbrelease normalize {folder}{' -o FOLDER' * is_trainers(folder)}", True
    return "it is normalized already: say in the card which transformers it needs", False


def _python(version: str, progress: Progress) -> Path | str:
    try:
        return python_with(version, progress=progress)
    except Unavailable as error:
        return str(error)


def _asked(python: Path | str, question: Question, workspace: Path) -> Answer | str:
    """The answer, or the reason why there is none."""
    if isinstance(python, str):
        return python
    workspace.mkdir()
    try:
        return ask(python, question, workspace)
    except Unavailable as error:
        return str(error)


def _question(checkpoint: Checkpoint, ids: tuple[tuple[int, ...], ...] = ()) -> Question:
    return Question(
        folder=checkpoint.path,
        model_class=architecture_of(checkpoint.raw_config) or "ModernBertForMaskedLM",
        max_length=min(LONGEST, checkpoint.config.max_position_embeddings),
        ids=ids,
    )


def _name(version: str) -> str:
    return f"versions.{version}"


def _expected() -> str:
    return f"as transformers {_running()}: max |Δ| {TOLERANCE:g} in float32, the same tokens"


def _running() -> str:
    try:
        return running_version()
    except ImportError:
        return "that is installed"
