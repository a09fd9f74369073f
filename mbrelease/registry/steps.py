"""What a step of the lineage changed, as far as the registry states it.

A child that says nothing of a setting is not taken to have changed it; but licence and languages
are told where they stop being stated, for there silence is an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mbrelease.registry.changes import Change
from mbrelease.registry.lineage import Step
from mbrelease.registry.schema import Registry, Training, Variant
from mbrelease.registry.seen import own_tokens

_SETTINGS = ("objective", "mask_rate", "context")


def step_changes(registry: Registry, step: Step) -> list[Change]:
    """What is otherwise in ``step.child`` than in ``step.parent``."""
    parent, child = registry.variants[step.parent], registry.variants[step.child]
    return [
        *_settings(parent.training, child.training),
        *_tokens(step.child, child),
        *_data(parent, child),
        *_architecture(parent, child),
        *_rights(registry, parent, child),
    ]


def _settings(parent: Training | None, child: Training | None) -> Iterator[Change]:
    for key in _SETTINGS:
        before, after = _stated(parent, key), _stated(child, key)
        if after is not None and after != before:
            yield Change(f"training.{key}", before, after)
    phases = [phase.name for phase in child.phases] if child is not None else []
    if phases:
        yield Change("training.phases", None, phases)


def _stated(training: Training | None, key: str) -> Any:
    """A setting of the training, or of its last phase that has one."""
    if training is None:
        return None
    values = [getattr(training, key), *(getattr(p, key) for p in reversed(training.phases))]
    return next((value for value in values if value is not None), None)


def _tokens(name: str, child: Variant) -> Iterator[Change]:
    own = own_tokens(name, child.training)
    if own.amount is not None:
        yield Change("training.tokens", None, own.amount)


def _data(parent: Variant, child: Variant) -> Iterator[Change]:
    known = {(source.hub_id or source.name).casefold() for source in parent.data}
    for source in child.data:
        if (source.hub_id or source.name).casefold() not in known:
            yield Change("data", None, source.name)


def _architecture(parent: Variant, child: Variant) -> Iterator[Change]:
    before, after = _design(parent), _design(child)
    for key, value in after.items():
        if value != before.get(key):
            yield Change(f"architecture.{key}", before.get(key), value)


def _design(variant: Variant) -> dict[str, Any]:
    """The stated architecture; the base of the rotary positions also from the last phase."""
    phases = reversed(variant.training.phases) if variant.training is not None else ()
    theta = next((phase.rope_theta for phase in phases if phase.rope_theta is not None), None)
    design = {} if theta is None else {"rope_theta": theta}
    stated = variant.architecture
    return design | (stated.model_dump(exclude_none=True) if stated is not None else {})


def _rights(registry: Registry, parent: Variant, child: Variant) -> Iterator[Change]:
    defaults = registry.defaults
    for key in ("license", "languages"):
        default = getattr(defaults, key) or None
        before, after = (getattr(one, key) for one in (parent, child))
        before, after = (default if one is None else one for one in (before, after))
        if before != after:
            yield Change(key, before, after)
