"""What a registry says about a family in the words of the Hub: published models alone."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.registry.schema import HUB_RELATION, Registry, Relation


def published_bases(registry: Registry, variant: str) -> tuple[tuple[str, ...], str | None]:
    """The nearest published ancestors and the Hub's word for how the variant relates to them.

    A model that only lent its first weights is none. An unpublished parent is passed over for its
    own parents. A mean of several published models is a merge; a mean of checkpoints of one run
    descends from one model, and is a finetune of it.
    """
    found: dict[str, str] = {}
    for repo, relations in _climb(registry, variant):
        if "weight-initialization" in relations:
            continue  # first weights and no more: the Hub's page would call it a finetune
        # A step that changes the kind of thing (a quantization, an adapter) tells more than
        # the finetuning before or after it.
        hub = [HUB_RELATION[relation] for relation in relations]
        found.setdefault(repo, next((word for word in hub if word != "finetune"), "finetune"))
    if not found:
        return (), None
    own = {parent.relation for parent in registry.variants[variant].parents}
    averaged = len(found) > 1 and "averaging" in own
    return tuple(found), "merge" if averaged else next(iter(found.values()))


def _climb(registry: Registry, variant: str) -> Iterator[tuple[str, tuple[Relation, ...]]]:
    """The nearest published ancestors, each with the relations on the way to it."""
    waiting: list[tuple[str, tuple[Relation, ...]]] = [(variant, ())]
    seen = {variant}
    while waiting:
        name, relations = waiting.pop(0)
        for parent in registry.variants[name].parents:
            if parent.variant in seen:
                continue
            seen.add(parent.variant)
            path = (*relations, parent.relation)
            repo = published_repo(registry, parent.variant)
            if repo:
                yield repo, path
            else:
                waiting.append((parent.variant, path))


def published_repo(registry: Registry, name: str) -> str | None:
    """The repo id of a variant, unless the registry says that it is not released.

    A variant with a repo id and a local copy of its weights is, as a rule, a published model
    that was downloaded to be measured.
    """
    entry = registry.variants[name]
    return None if entry.released is False else entry.repo
