"""Where the model comes from and what came after it: ``base_model`` and ``new_version``.

https://huggingface.co/docs/hub/model-cards#specifying-a-base-model
"""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.errors import did_you_mean
from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.kinds import is_text
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.metadata.spot import Spot

RELATIONS = ("adapter", "finetune", "merge", "quantized")


def check_lineage(top: Spot, repo_id: str | None) -> Iterator[Finding]:
    """The base models, how the model relates to them, and what superseded it.

    Args:
        top: the metadata.
        repo_id: of the card's own model, where it is known.
    """
    bases, relation = top.get("base_model"), top.get("base_model_relation")
    if bases is not None:
        yield from _bases(bases, repo_id)
        if relation is None and bases.value:
            yield bases.error(
                "base_model stands without base_model_relation, and the Hub would guess",
                "base_model_relation: finetune (or adapter, merge, quantized)",
            )
    if relation is not None:
        yield from _relation(top, relation)
    newer = top.get("new_version")
    if newer is not None:
        yield from is_repo_id(newer, "org/name of the newer model")
        if isinstance(newer.value, str) and _same(newer.value, repo_id):
            yield newer.error(
                "new_version names the model itself", "it belongs on the card of the older model"
            )


def is_repo_id(spot: Spot, mend: str) -> Iterator[Finding]:
    """An id of a repository."""
    yield from is_text(spot)
    if not isinstance(spot.value, str) or not spot.value.strip():
        return
    fault = fault_of_repo_id(spot.value)
    if fault is not None:
        yield spot.error(f"{spot.name} {shown(spot.value)} {fault}", mend)


def _bases(bases: Spot, repo_id: str | None) -> Iterator[Finding]:
    if isinstance(bases.value, dict):
        yield bases.error("base_model is a mapping", "give an id, or a list of ids")
        return
    if bases.value == []:
        yield bases.error("base_model is an empty list", "give an id, or remove the line")
        return
    seen: set[str] = set()
    for base in bases.items():
        yield from is_repo_id(base, "the id of the model on the Hub, org/name")
        if not isinstance(base.value, str):
            continue
        if _same(base.value, repo_id):
            yield base.error(
                f"{base.name} {shown(base.value)} is the model itself", "name its parent"
            )
        if base.value.casefold() in seen:
            yield base.warning(f"{base.name} {shown(base.value)} is given twice", "give it once")
        seen.add(base.value.casefold())


def _relation(top: Spot, relation: Spot) -> Iterator[Finding]:
    word, bases = relation.value, top.get("base_model")
    if word is None:
        return
    if word not in RELATIONS:
        hint = did_you_mean(word, RELATIONS) if isinstance(word, str) else None
        mend = hint or f"one of {', '.join(RELATIONS)}"
        yield relation.error(f"base_model_relation {shown(word)} is unknown to the Hub", mend)
        return
    if bases is None:
        yield relation.error("base_model_relation stands without base_model", "add base_model")
        return
    several = isinstance(bases.value, list) and len(bases.value) > 1
    tags = top.get("tags")
    tagged = tags is not None and isinstance(tags.value, list) and "merge" in tags.value
    if word == "merge" and not several and not tagged:
        yield relation.error(
            "a merge has several base models", "list them in base_model, or add the tag merge"
        )
    if word != "merge" and several:
        yield relation.warning(
            f"the Hub takes several base models for a merge, and base_model_relation is {word}",
            "name the one it was made from, or say merge",
        )


def _same(one: str, other: str | None) -> bool:
    # The Hub takes ids that differ only in case for one.
    return other is not None and one.casefold() == other.casefold()
