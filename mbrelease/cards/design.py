"""The design of a model as a table: settings down, the sizes of the family across."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mbrelease.cards.numbers import amount_text, count_text, real_text
from mbrelease.cards.published_sheet import variant_title
from mbrelease.cards.tables import Table
from mbrelease.cards.told import Place, inline, place
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Architecture

# What the table of sizes says already; alone they are no design.
_SIZES = (
    "parameters", "context", "layers", "hidden_size", "attention_heads", "intermediate_size",
    "vocabulary",
)  # fmt: skip


def _tokens(count: int) -> str:
    return f"{count_text(count)} tokens"


def _layers(every: int) -> str:
    return "every layer" if every == 1 else f"one layer in {count_text(every)}"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


_SETTINGS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("parameters", "Parameters", amount_text),
    ("context", "Longest input", _tokens),
    ("vocabulary", "Vocabulary", count_text),
    ("unused_tokens", "Unused tokens in it", count_text),
    ("layers", "Layers", count_text),
    ("hidden_size", "Hidden size", count_text),
    ("block", "Block", str),
    ("activation", "Activation", str),
    ("linear_bias", "Bias in linear layers", _yes_or_no),
    ("attention", "Attention", str),
    ("attention_heads", "Attention heads", count_text),
    ("global_attention_every", "Global attention", _layers),
    ("local_window", "Local attention window", _tokens),
    ("intermediate_size", "Intermediate size", count_text),
    ("glu_expansion", "GLU expansion", count_text),
    ("normalization", "Normalization", str),
    ("norm_epsilon", "Epsilon of the normalization", real_text),
    ("norm_bias", "Bias in the normalization", _yes_or_no),
    ("rope_theta", "RoPE theta, global attention", real_text),
    ("local_rope_theta", "RoPE theta, local attention", real_text),
)


@dataclass(frozen=True)
class _Column:
    heading: Markup
    architecture: Architecture
    place: Place

    def cell(self, setting: str, write: Callable[[Any], str]) -> str:
        value = getattr(self.architecture, setting)
        if value is None:
            return ""
        number = value if isinstance(value, int | float) else None
        return self.place.at(setting).tell(write(value), number)


def design_table(project: Project, variant: str) -> Table:
    """The architecture that the registry states of a variant and of those beside it.

    Returns:
        An empty table where the registry states nothing but sizes of ``variant``.
    """
    name = project.resolve_name(variant)
    own = project.variant(name)
    columns = [
        column
        for model in dict.fromkeys((name, *own.card.design_beside))
        if (column := _column(project, model)) is not None
    ]
    stated = own.architecture.model_dump(exclude_none=True) if own.architecture else {}
    if not set(stated) - set(_SIZES):
        return Table((), ())
    rows = [
        (label, *(column.cell(setting, write) for column in columns))
        for setting, label, write in _SETTINGS
        # Alone, it would say again what the table of sizes says.
        if len(columns) > 1 or setting not in _SIZES
    ]
    return Table(
        columns=("Setting", *(column.heading for column in columns)),
        rows=tuple(row for row in rows if any(row[1:])),
    )


def _column(project: Project, model: str) -> _Column | None:
    registry = place(project.root, project.registry_path)
    architecture = project.variant(model).architecture
    if architecture is None:
        return None
    title = variant_title(project, registry, model)
    heading = Markup(">" + inline(title))  # noqa: S704  (inline escapes)
    return _Column(heading, architecture, registry.at("variants", model, "architecture"))
