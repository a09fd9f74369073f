"""What became of a value: the keys that are not as they were, old and new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_IDENTITIES = ("name", "variant", "use")


@dataclass(frozen=True)
class Change:
    """One fact that is not as it was; ``None`` is not stated."""

    key: str
    """Such as ``training.tokens`` or ``data[PMC].license``."""
    before: Any
    after: Any
    item: bool = False
    """Whether it is an item of the list at ``key`` that came or went."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"key": self.key, "before": self.before, "after": self.after}


def changes(before: Any, after: Any, key: str = "") -> Iterator[Change]:
    """The changes from ``before`` to ``after``, plain values as YAML and JSON have them.

    Mappings are compared key by key, lists of named things (data, parents, phases) name by name,
    lists of words word by word; all else is one value.
    """
    if _same(before, after):
        return
    if isinstance(before, Mapping | None) and isinstance(after, Mapping | None):
        yield from _of_mappings(before or {}, after or {}, key)
    elif isinstance(before, list | None) and isinstance(after, list | None):
        yield from _of_lists(before or [], after or [], key)
    else:
        yield Change(key, before, after)


def _same(before: Any, after: Any) -> bool:
    # True is not 1 here, and neither is 1.0: YAML wrote them otherwise on purpose.
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    return bool(before == after) and type(before) is type(after)


def _of_mappings(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> Iterator[Change]:
    if not before and not after:
        return
    for name in dict.fromkeys([*before, *after]):
        inner = f"{key}.{name}" if key else name
        yield from changes(before.get(name), after.get(name), inner)


def _of_lists(before: Sequence[Any], after: Sequence[Any], key: str) -> Iterator[Change]:
    old, new = _by_identity(before), _by_identity(after)
    if old is None or new is None:
        yield Change(key, list(before) or None, list(after) or None)
        return
    for name, value in old.items():
        if name not in new:
            yield Change(key, value, None, item=True)
        elif not _same(value, new[name]):
            yield from changes(value, new[name], f"{key}[{name}]")
    for name, value in new.items():
        if name not in old:
            yield Change(key, None, value, item=True)
    if set(old) == set(new) and list(old) != list(new):
        yield Change(f"{key} (order)", list(old), list(new))


def _by_identity(items: Sequence[Any]) -> dict[str, Any] | None:
    """The items by what tells them apart; ``None`` where nothing does."""
    names = [_identity(item) for item in items]
    if any(name is None for name in names) or len(set(names)) < len(names):
        return None
    return {str(name): item for name, item in zip(names, items, strict=True)}


def _identity(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, Mapping):
        name = next((item[key] for key in _IDENTITIES if key in item), None)
        return name if isinstance(name, str) else None
    return None
