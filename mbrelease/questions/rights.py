"""Licences along a lineage that ask more than the variant's own. No legal advice."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.metadata.license_terms import contradiction, data_contradiction, terms_of
from mbrelease.registry.lineage import ancestors
from mbrelease.registry.schema import Registry


def license_remarks(registry: Registry, name: str) -> list[str]:
    """A sentence for each licence of an ancestor, or of data of the line, that asks more.

    Relations do not matter here: also first weights, and a teacher's answers, came under terms.
    """
    own = _license(registry, name)
    return list(dict.fromkeys([*_of_parents(registry, name, own), *_of_data(registry, name, own)]))


def _of_parents(registry: Registry, name: str, own: str | None) -> Iterator[str]:
    for above in ancestors(registry, name):
        theirs = _license(registry, above)
        terms = terms_of(theirs) if theirs is not None else None
        if theirs is None or terms is None:
            continue
        if own is None:
            yield f"{above} is under {theirs}, which {terms.demand}; {name} states no licence"
        elif (why := contradiction(theirs, own)) is not None:
            yield f"{above} is under {theirs}, which {why}; {name} is under {own}"


def _of_data(registry: Registry, name: str, own: str | None) -> Iterator[str]:
    for each in [name, *ancestors(registry, name)]:
        for source in registry.variants[each].data:
            if source.license is None or own is None:
                continue
            why = data_contradiction(source.license, own)
            if why is not None:
                of = "" if each == name else f", which {each} was trained on,"
                yield (
                    f"the data '{source.name}'{of} are under {source.license}, "
                    f"which {_of_model(why)}; {name} is under {own}"
                )


def _of_model(why: str) -> str:
    return why.removesuffix(", and the model's licence does")


def _license(registry: Registry, name: str) -> str | None:
    return registry.variants[name].license or registry.defaults.license
