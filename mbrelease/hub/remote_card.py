"""The README of a model on the Hub, read at a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.hub.client import headers_of, raise_for_status, sentences
from mbrelease.hub.patience import read_patiently

if TYPE_CHECKING:
    from huggingface_hub import HfApi

README = "README.md"


def read_remote_card(api: HfApi, repo_id: str, commit: str) -> str:
    """The README at a commit; empty where there is none.

    Raises:
        CheckFailed: the Hub cannot be asked.
        UserError: it is no text.
    """
    with sentences(api, repo_id):
        data = read_patiently(lambda: _bytes(api, repo_id, commit))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"the README.md of {repo_id} is not UTF-8 text") from error


def _bytes(api: HfApi, repo_id: str, commit: str) -> bytes:
    from huggingface_hub import get_session

    answer = get_session().get(
        f"{api.endpoint}/{repo_id}/resolve/{commit}/{README}", headers=headers_of(api)
    )
    if answer.status_code == 404:
        return b""
    raise_for_status(answer)
    return bytes(answer.content)
