"""Prove a publication: what the world will get, every byte of it, and whether it loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.file_hashes import file_sha256
from mbrelease.hub.committing import Landed
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.download import Interrupted, Wanted, difference, download, download_folder
from mbrelease.hub.loading import check_downloaded
from mbrelease.hub.plan import Plan
from mbrelease.hub.receipt import Verified
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def verify_published(plan: Plan, landed: Landed, api: HfApi, progress: Progress) -> Verified:
    """Download every file at the commit, compare it with what was sent, and load the model.

    Raises:
        CheckFailed: it is not what was sent, does not load, or could not be read.
    """
    where = f"{plan.repo_id} at {landed.commit[:12]}"
    try:
        with download_folder(api, plan.repo_id, landed.commit) as folder:
            return _verify(plan, landed, api, folder, where, progress)
    except Interrupted as error:
        raise CheckFailed(
            f"published as {where}, but not yet read back: {error.message}",
            mend="run the same command again: it verifies, tags and writes the receipt",
        ) from error


def _verify(
    plan: Plan, landed: Landed, api: HfApi, folder: Path, where: str, progress: Progress
) -> Verified:
    wanted = [_wanted(plan.folder, file) for file in plan.files]
    served = download(api, plan.repo_id, landed.commit, wanted, folder, progress=progress)
    differences = {
        file.path: fault for file in plan.files if (fault := difference(file, served[file.path]))
    }
    if differences:
        path, fault = next(iter(differences.items()))
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise CheckFailed(
            f"{where} is not what was sent: {path} {fault}{more}; not tagged, no receipt",
            mend="do not announce it; run the same command again, and tell the Hub if it stays",
        )
    progress.note(f"{len(plan.files)} files read back; every byte is what was sent")
    loading = check_downloaded(folder)
    if loading.failures:
        more = f" (and {len(loading.failures) - 1} more)" if len(loading.failures) > 1 else ""
        raise CheckFailed(
            f"{where} has every byte that was sent, and does not load: {loading.failures[0]}{more};"
            " not tagged, no receipt",
            mend=f"do not announce it; see 'mbrelease verify {plan.folder}'",
        )
    progress.note(
        "it loads, as it was downloaded"
        if loading.not_loaded is None
        else f"not loaded: {loading.not_loaded}"
    )
    return Verified(
        files=len(plan.files),
        bytes=sum(file.size_bytes for file in plan.files),
        loading=list(loading.passed),
        not_loaded=loading.not_loaded,
    )


def _wanted(folder: Path, file: LocalFile) -> Wanted:
    path = folder / file.path
    same = path.is_file() and file_sha256(path) == file.sha256
    return Wanted(file.path, file.size_bytes, file.sha256, path if same else None)
