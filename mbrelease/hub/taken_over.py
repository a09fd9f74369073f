"""What was taken over from the card on the Hub is written to the folder when the push goes on.

A push may end between that and its receipt. So that the next one does not take the card in the
folder for one that was made from the last receipt, and find clashes with itself, it is remembered
of which commit the card takes account. The memory lies in ``$XDG_CACHE_HOME/mbrelease`` and may be
deleted at any time: then what both have changed is asked about, and ``--base`` is the answer.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import UserError
from mbrelease.file_hashes import cache_folder
from mbrelease.files import read_json, read_text, sha256_bytes, write_json, write_text
from mbrelease.hub.plan import Plan
from mbrelease.hub.proposals import read_proposals
from mbrelease.hub.receipt import Receipt, now, read_receipts
from mbrelease.hub.remote import MAIN
from mbrelease.hub.remote_card import README
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def write_card(plan: Plan, progress: Progress) -> None:
    """Write the card that ``plan`` takes over to its folder, where the next push finds it.

    Raises:
        UserError: it cannot be written.
    """
    path, taken = plan.folder / README, plan.taken_over
    if taken is None or read_text(path) == taken.text:
        return
    memory = {"commit": taken.commit, "instead_of": _card(plan), "at": now()}
    with contextlib.suppress(UserError):  # no cache can be written here
        write_json(_place(plan), memory)
    write_text(path, taken.text)
    progress.note(f"{path} takes over what was written on the Hub until {taken.commit[:12]}")


def forget(plan: Plan) -> None:
    """A receipt tells it now."""
    with contextlib.suppress(OSError):
        _place(plan).unlink()


def last_published(plan: Plan, receipts: Path, api: HfApi) -> Receipt | None:
    """The newest of our publications that the branch holds, a merged pull request among them.

    Its own commit is what the folder was made from, and not that of the merge, which also has what
    others wrote on the branch while it waited.
    """
    for receipt in reversed(read_receipts(receipts, plan.repo_id, plan.endpoint)):
        if README not in receipt.files:
            continue
        if receipt.revision == plan.revision or _was_merged(plan, receipt, api):
            return receipt
    return None


def _was_merged(plan: Plan, receipt: Receipt, api: HfApi) -> bool:
    if plan.revision != MAIN or not receipt.is_proposal:
        return False
    return read_proposals(api, plan.repo_id, [receipt])[receipt.revision].state == "merged"


def recall(plan: Plan, receipts: Path, api: HfApi) -> str | None:
    """The commit whose card that in the folder was made from, as far as anybody knows."""
    last = last_published(plan, receipts, api)
    published = [(last.published, last.commit)] if last is not None else []
    try:
        memory = read_json(_place(plan))
        # Who put the former card back undid what was taken over.
        if memory["instead_of"] != _card(plan):
            published.append((memory["at"], memory["commit"]))
    except (UserError, KeyError, TypeError):
        pass
    return max(published)[1] if published else None


def _card(plan: Plan) -> str:
    """The hash of the card in the folder."""
    return sha256_bytes((plan.folder / README).read_bytes())


def _place(plan: Plan) -> Path:
    what = f"{plan.endpoint} {plan.repo_id} {plan.revision} {plan.folder.resolve()}"
    name = sha256_bytes(what.encode())[:24]
    return cache_folder() / "mbrelease" / "taken-over" / f"{name}.json"
