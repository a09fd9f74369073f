"""Licences of a family that contradict each other: of parents and children, of data and model."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.license_terms import contradiction, data_contradiction, terms_of
from mbrelease.metadata.licenses import nearest_license
from mbrelease.metadata.spot import Spot
from mbrelease.registry.lineage import ancestors
from mbrelease.registry.schema import Registry


def license_findings(top: Spot, registry: Registry, variant: str | None) -> Iterator[Finding]:
    """Where the licence of a card contradicts that of what the model was made from.

    Args:
        top: the metadata of the card.
        registry: the family; what is not in it has no licence that is known here.
        variant: the model, if it is in the registry; else its ``base_model`` are looked up.
    """
    given = top.get("license")
    if given is None:
        return
    for own in given.items():
        if not isinstance(own.value, str):
            continue
        for name in _parents(top, registry, variant):
            yield from _of_parent(own, name, _license(registry, name))
        for source in registry.variants[variant].data if variant is not None else []:
            why = data_contradiction(source.license, own.value) if source.license else None
            if why is not None:
                yield own.warning(
                    f"license {shown(own.value)} contradicts that of the data "
                    f"{shown(source.name)}: {shown(source.license)} {why}",
                    "say on the card why you may, or choose a licence that passes it on",
                )


def _of_parent(own: Spot, parent: str, license_id: str | None) -> Iterator[Finding]:
    why = contradiction(license_id, own.value) if license_id is not None else None
    if why is None or license_id is None:
        return
    terms = terms_of(license_id)
    passes_on = terms is not None and terms.keeps is not None
    known = nearest_license(license_id) or license_id
    mend = f"license: {known}" if passes_on else "ask its authors, or begin with another model"
    yield own.error(
        f"license {shown(own.value)} contradicts that of {shown(parent)}, which it was made from: "
        f"{shown(license_id)} {why}",
        mend,
    )


def _parents(top: Spot, registry: Registry, variant: str | None) -> list[str]:
    if variant is not None:
        return ancestors(registry, variant)
    bases = top.get("base_model")
    named = {str(base.value).casefold() for base in bases.items()} if bases is not None else set()
    found = [n for n, entry in registry.variants.items() if (entry.repo or "").casefold() in named]
    return list(
        dict.fromkeys([*found, *(up for name in found for up in ancestors(registry, name))])
    )


def _license(registry: Registry, name: str) -> str | None:
    return registry.variants[name].license or registry.defaults.license
