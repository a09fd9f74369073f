"""The signature that a commit on the Hub carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbrelease.hub.client import headers_of, raise_for_status, sentences
from mbrelease.hub.patience import read_patiently
from mbrelease.hub.signed_files import SIGNATURE

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def read_remote_signature(api: HfApi, repo_id: str, commit: str) -> bytes | None:
    """The bytes of ``model.sig`` at ``commit``; ``None`` where there is none.

    Raises:
        CheckFailed: the Hub cannot be asked.
    """
    with sentences(api, repo_id):
        return read_patiently(lambda: _read(api, repo_id, commit))


def _read(api: HfApi, repo_id: str, commit: str) -> bytes | None:
    from huggingface_hub import get_session

    address = f"{api.endpoint}/{repo_id}/resolve/{commit}/{SIGNATURE}"
    answer = get_session().get(address, headers=headers_of(api))
    if answer.status_code == 404:
        return None
    raise_for_status(answer)
    return bytes(answer.content)
