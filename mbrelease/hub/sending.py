"""Bring the large files to the Hub before the commit, without reading one twice to hash it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.file_hashes import file_sha256
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.download import LARGE_BYTES
from mbrelease.hub.patience import attempts, patiently
from mbrelease.hub.plan import Plan
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi


def send_files(plan: Plan, api: HfApi, progress: Progress) -> list[CommitOperationAdd]:
    """Send the large files; returns an addition for every file to commit.

    Raises:
        CheckFailed: a file is not what the plan has shown, or the Hub would drop one.
    """
    pairs = [(file, _addition(plan, file)) for file in plan.to_send]
    progress.start("sending", plan.bytes_to_send, "bytes")
    small = [pair for pair in pairs if pair[0].size_bytes < LARGE_BYTES]
    # Large files are sent one by one, so that the bar moves.
    for batch in [small, *([pair] for pair in pairs if pair[0].size_bytes >= LARGE_BYTES)]:
        if batch:
            _send(plan, [addition for _, addition in batch], api)
            progress.advance(sum(file.size_bytes for file, _ in batch))
    for file, _ in pairs:
        if file.size_bytes >= LARGE_BYTES:
            _require_planned(plan, file, "no commit was made")
    return [addition for _, addition in pairs]


def deletions(plan: Plan) -> list[CommitOperationDelete]:
    """What the commit takes out."""
    from huggingface_hub import CommitOperationDelete

    return [CommitOperationDelete(path, is_folder=False) for path in plan.deleted]


def _send(plan: Plan, additions: list[CommitOperationAdd], api: HfApi) -> None:
    garbled: Exception | None = None
    for _ in attempts():
        try:
            patiently(
                lambda: api.preupload_lfs_files(
                    plan.repo_id,
                    additions,
                    revision=plan.revision,
                    create_pr=plan.create_pr,
                    free_memory=False,
                )
            )
            break
        except (json.JSONDecodeError, KeyError) as error:
            # The client asks again where no answer came, and takes one that came as it is.
            garbled = error
    else:
        assert garbled is not None
        raise garbled
    # The client would leave these out of the commit without a word.
    ignored = [a.path_in_repo for a in additions if getattr(a, "_should_ignore", False)]
    if ignored:
        raise CheckFailed(
            f"the .gitignore of {plan.repo_id} would drop {', '.join(ignored)}; no commit made",
            mend="change the .gitignore on the Hub",
        )


def _addition(plan: Plan, file: LocalFile) -> CommitOperationAdd:
    """What the client is to send for ``file``, which must have the bytes that the plan has shown.

    Small files are held in memory: the client reads them when it commits, and that may be an hour
    of uploads after they were looked at. For large ones the client is told the hash that is known.
    """
    from huggingface_hub import CommitOperationAdd

    _require_planned(plan, file, "nothing was sent")
    path = plan.folder / file.path
    if file.size_bytes >= LARGE_BYTES:
        addition = CommitOperationAdd(file.path, str(path))
        addition.upload_info.sha256 = bytes.fromhex(file.sha256)
        return addition
    addition = CommitOperationAdd(file.path, path.read_bytes())
    if addition.upload_info.sha256.hex() != file.sha256:
        raise _changed(plan, file, "nothing was sent")
    return addition


def _require_planned(plan: Plan, file: LocalFile, so_far: str) -> None:
    """Do nothing if ``file`` is as it was planned; a file that nobody touched is not read."""
    path = plan.folder / file.path
    if not path.is_file() or file_sha256(path) != file.sha256:
        raise _changed(plan, file, so_far)


def _changed(plan: Plan, file: LocalFile, so_far: str) -> CheckFailed:
    return CheckFailed(
        f"{plan.folder / file.path} has changed since the plan; {so_far}",
        mend="run the command again when nothing writes to the folder",
    )
