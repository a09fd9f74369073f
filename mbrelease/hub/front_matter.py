"""The metadata of the README that is pushed: the offline rules first, then the server's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.hub.client import headers_of, raise_for_status, sentences
from mbrelease.hub.patience import read_patiently
from mbrelease.hub.problems import Problem
from mbrelease.metadata.check import check_metadata

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def readme_problems(path: Path) -> Iterator[Problem]:
    """What is wrong with the metadata of the README at ``path``, without asking a server."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        yield Problem(f"README.md is not UTF-8 text (byte {error.start})", "save it as UTF-8")
        return
    for finding in check_metadata(text):
        if finding.is_error:
            yield Problem(f"{finding.place}: {finding.what}", finding.mend)


def ask_server(api: HfApi, repo_id: str, text: str) -> tuple[list[str], list[str]]:
    """What the Hub says of a README: errors, for which it refuses it, and warnings.

    Both are empty where a server has no such check.

    Raises:
        CheckFailed: the Hub cannot be asked.
    """
    with sentences(api, repo_id):
        return read_patiently(lambda: _ask(api, text))


def _ask(api: HfApi, text: str) -> tuple[list[str], list[str]]:
    from huggingface_hub import get_session

    response = get_session().post(
        f"{api.endpoint}/api/validate-yaml",
        json={"content": text, "repoType": "model"},
        headers=headers_of(api),
    )
    if response.status_code == 404:
        return [], []
    if response.status_code != 400:
        raise_for_status(response)
    answer = response.json()
    errors = _messages(answer.get("errors"))
    if response.status_code == 400 and not errors:
        errors = ["no reason given"]
    return errors, _messages(answer.get("warnings"))


def _messages(entries: list[dict[str, object]] | None) -> list[str]:
    return [str(entry.get("message")) for entry in entries or []]
