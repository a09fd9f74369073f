"""What a card says of files that may be gone when it is checked: sizes, the run, the members.

``evidence/models/<variant>.json`` is written with the card where the weights are on disk, and read
where they are not, so that a card can be derived from a repository without weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.trainer_state import TrainerState
from mbrelease.errors import UserError
from mbrelease.files import read_json, write_json

AGAIN = "delete it, and write the card where the weights are"


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model; what is not known is ``None``."""

    parameters: int | None = None
    layers: int | None = None
    hidden_size: int | None = None
    attention_heads: int | None = None
    intermediate_size: int | None = None
    context: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class Run:
    """What the Trainer logged of a run, as far as it was trained."""

    global_step: int
    max_steps: int
    peak_learning_rate: float | None
    decay_start: int | None
    """The last logged step before the learning rate falls for good."""


@dataclass(frozen=True)
class ModelRecord:
    """One variant's weights, and what their files say."""

    weights_sha256: str
    sizes: Sizes
    modules: bool
    """Whether they say themselves how sentence-transformers loads them."""
    run: Run | None = None
    recipe: str | None = None
    """Of an average that no decision chose."""
    members: tuple[tuple[str, str], ...] = ()
    """Of that average: name and weight."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of the weights of the models that the card holds it against, by name."""


def run_of(state: TrainerState | None) -> Run | None:
    """What a card says of the Trainer's log."""
    if state is None:
        return None
    rates = [rate for _, rate in state.curve("learning_rate")]
    return Run(state.global_step, state.max_steps, max(rates, default=None), state.decay_start)


def record_path(evidence: Path, variant: str) -> Path:
    """Where the record of ``variant`` lies; no task's evidence is looked for there."""
    return evidence / "models" / f"{variant}.json"


def write_record(path: Path, record: ModelRecord) -> None:
    """Write ``record`` unless it stands there already."""
    content = asdict(record) | {"members": [list(member) for member in record.members]}
    if not path.is_file() or read_json(path) != content:
        write_json(path, content)


def read_record(path: Path) -> ModelRecord | None:
    """The record at ``path``, if there is one.

    Raises:
        UserError: it is malformed.
    """
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        return _record(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: malformed record of a model: {error!r}", mend=AGAIN) from error


def _record(content: Mapping[str, Any]) -> ModelRecord:
    sizes = {one.name: content["sizes"][one.name] for one in fields(Sizes)}
    if not all(value is None or isinstance(value, int) for value in sizes.values()):
        raise ValueError("a size is no whole number")
    run = content["run"]
    return ModelRecord(
        weights_sha256=str(content["weights_sha256"]),
        sizes=Sizes(**sizes),
        modules=bool(content["modules"]),
        run=None if run is None else Run(**run),
        recipe=content["recipe"],
        members=tuple((str(name), str(weight)) for name, weight in content["members"]),
        beside={str(name): str(sha256) for name, sha256 in content["beside"].items()},
    )
