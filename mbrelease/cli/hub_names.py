"""Models of a Hub as they are named in a call: ``ORG/NAME``, ``ORG/NAME@REVISION``, ``hf://…``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from mbrelease.checkpoints.hub_source import HubId


def hub_model(name: str) -> HubId:
    """The model that ``name`` must be, at main where it names no revision.

    Raises:
        UserError: it is none.
    """
    found = explicit_hub_model(name) or bare_hub_model(name)
    if found is None:
        raise UserError(f"'{name}' is no model on the Hub", mend="give ORG/NAME@REVISION")
    require_repo_id(found.repo_id)
    return found


def explicit_hub_model(name: str) -> HubId | None:
    """The model that ``name`` can only be: it has a revision, or begins with ``hf://``.

    Raises:
        UserError: it begins so and names none.
    """
    from mbrelease.checkpoints.hub_source import parse_hub_id

    return parse_hub_id(name)


def bare_hub_model(name: str) -> HubId | None:
    """The model at main that ``name`` may be, by its form: a folder can have the same."""
    from mbrelease.checkpoints.hub_source import SCHEME, parse_hub_id

    if name.startswith(SCHEME) or not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", name):
        return None
    return parse_hub_id(f"{SCHEME}{name}")


@contextmanager
def or_a_folder(name: str) -> Iterator[None]:
    """Say of a bare name that no Hub could tell of, that it is no folder here either."""
    try:
        yield
    except CheckFailed as error:
        if Path(name).exists() or not _is_unknown(error.__cause__):
            raise
        told = f"there is no folder {name} here, and {error.message}"
        raise CheckFailed(told, mend=error.mend) from error


def require_repo_id(repo_id: str) -> None:
    """Do nothing if ``repo_id`` can be one.

    Raises:
        UserError: it cannot.
    """
    from mbrelease.hub.plan_problems import wrong_repo_id

    for problem in wrong_repo_id(repo_id):
        raise UserError(problem.message, mend=problem.mend)


def require_tag(tag: str | None, *, create_pr: bool = False) -> None:
    """Do nothing if ``tag`` can be set on what is pushed.

    Raises:
        UserError: it cannot.
    """
    from mbrelease.hub.plan_problems import wrong_tag

    for problem in wrong_tag(tag, create_pr):
        raise UserError(problem.message, mend=problem.mend)


def _is_unknown(error: BaseException | None) -> bool:
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    return isinstance(
        error,
        RepositoryNotFoundError
        | OfflineModeIsEnabled
        | httpx2.ConnectError
        | httpx2.ConnectTimeout,
    )
