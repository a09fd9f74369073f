"""A refused edit, told to programs as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mbrelease.cli.output import print_json
from mbrelease.errors import UserError


@contextmanager
def refusal_as_json(as_json: bool, **answer: Any) -> Iterator[None]:
    """Where the block is refused, print why as JSON if that was asked for; stderr has it too.

    Args:
        as_json: whether it was.
        answer: what the JSON says besides.

    Raises:
        UserError: what refused the block.
    """
    from mbrelease.registry.edit import StillNamed
    from mbrelease.registry.mistakes import InvalidRegistry

    try:
        yield
    except UserError as refused:
        if as_json:
            error, mistakes = refused.message, []
            if isinstance(refused, InvalidRegistry):
                error = refused.lead or "the registry is invalid"
                mistakes = refused.as_json()
            if isinstance(refused, StillNamed):
                answer |= {"named_in": [place.as_json() for place in refused.places]}
            told = {"error": error, "mend": refused.mend, "mistakes": mistakes}
            print_json({**answer, "changed": False, **told})
        raise
