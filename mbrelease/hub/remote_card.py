"""The README of a model on the Hub, read at a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.hub.client import headers_of, raise_for_status, sentences

if TYPE_CHECKING:
    from huggingface_hub import HfApi

README = "README.md"


def read_remote_card(api: HfApi, repo_id: str, commit: str) -> str:
    """The README at a commit; empty where there is none.

    Raises:
        CheckFailed: the Hub cannot be asked.
        UserError: it is no text.
    """
    from huggingface_hub import get_session

    with sentences(api, repo_id):
        answer = get_session().get(
            f"{api.endpoint}/{repo_id}/resolve/{commit}/{README}",
            headers=headers_of(api),
        )
        if answer.status_code == 404:
            return ""
        raise_for_status(answer)
    try:
        return bytes(answer.content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"the README.md of {repo_id} is not UTF-8 text") from error
