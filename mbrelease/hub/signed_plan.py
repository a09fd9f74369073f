"""Sign what a clean plan is about to publish, so that the signature is part of the commit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.files import sha256_bytes
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.plan import Plan
from mbrelease.hub.remote_signature import read_remote_signature
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.hub.signing import sign_release
from mbrelease.hub.signing_keys import Signer

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def sign_plan(plan: Plan, signer: Signer, *, api: HfApi) -> Plan:
    """Write ``model.sig`` into the folder of a plan that was made with ``sign=True``.

    The hashes are those of the plan, so nothing is read again. A signature on the Hub that holds
    for the same bytes and the same signer is kept, so that a release published so is unchanged.

    Raises:
        CheckFailed: the plan has problems, the tag names a commit without this signature, or
            Sigstore cannot be reached.
        UserError: the folder cannot be written, or holds the key.
    """
    plan.require_clean()
    plan = replace(
        plan, remote_only=_without(plan.remote_only), deleted=_without(plan.deleted), sign=False
    )
    there = read_remote_signature(api, plan.repo_id, plan.head) if plan.head else None
    digests = {file.path: file.sha256 for file in plan.files}
    place = sign_release(
        plan.folder, signer, digests=digests, earlier=[] if there is None else [there]
    )
    data = place.read_bytes()
    file = LocalFile(SIGNATURE, len(data), sha256_bytes(data))
    files = tuple(sorted((*plan.files, file), key=lambda each: each.path))
    signed = replace(plan, files=files)
    if data == there:
        return replace(signed, unchanged=_with(plan.unchanged))
    if plan.tag_commit is not None:
        raise CheckFailed(
            f"tag '{plan.tag}' of {plan.repo_id} names {plan.tag_commit[:12]}, which lacks this "
            "signature, and a tag is not moved",
            mend="choose another tag",
        )
    if there is None:
        return replace(signed, added=_with(plan.added))
    return replace(signed, changed=_with(plan.changed))


def _with(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted((*paths, SIGNATURE)))


def _without(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path for path in paths if path != SIGNATURE)
