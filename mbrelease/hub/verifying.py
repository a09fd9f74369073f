"""Prove a publication: what the world will get, every byte of it, and whether it loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import CheckFailed
from mbrelease.file_hashes import file_sha256
from mbrelease.hub.committing import Landed
from mbrelease.hub.contents import LocalFile
from mbrelease.hub.download import (
    Interrupted,
    Wanted,
    difference,
    download,
    download_folder,
    read_heads,
)
from mbrelease.hub.loading import check_downloaded
from mbrelease.hub.plan import Plan
from mbrelease.hub.proven import NOTHING, Proven
from mbrelease.hub.receipt import Verified
from mbrelease.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def verify_published(
    plan: Plan, landed: Landed, api: HfApi, progress: Progress, known: Proven = NOTHING
) -> Verified:
    """Download the files at the commit, compare them with what was sent, and load the model.

    Of what is ``known`` by earlier receipts the Hub is only asked whether it serves the object.

    Raises:
        CheckFailed: it is not what was sent, does not load, or could not be read.
    """
    where = f"{plan.repo_id} at {landed.commit[:12]}"
    try:
        with download_folder(api, plan.repo_id, landed.commit) as folder:
            return _verify(plan, landed, api, folder, where, progress, known)
    except Interrupted as error:
        raise CheckFailed(
            f"published as {where}, but not yet read back: {error.message}",
            mend="run the same command again: it verifies, tags and writes the receipt",
        ) from error


def _verify(
    plan: Plan,
    landed: Landed,
    api: HfApi,
    folder: Path,
    where: str,
    progress: Progress,
    known: Proven,
) -> Verified:
    old = [file for file in plan.files if file.path in known.read_before]
    if known.loaded is None:  # then all of it is to be loaded, also what is not downloaded
        old = [file for file in old if _wanted(plan.folder, file).at_hand is not None]
    new = [file for file in plan.files if file not in old]
    differences = {
        **_other_bytes(plan, landed, new, api, folder, progress),
        **_other_objects(plan, landed, old, known, api),
    }
    if differences:
        path, fault = next(iter(differences.items()))
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise CheckFailed(
            f"{where} is not what was sent: {path} {fault}{more}; not tagged, no receipt",
            mend="do not announce it; run the same command again, and tell the Hub if it stays",
        )
    progress.note(_told(new, old))
    if known.loaded is None:
        loaded = _load(plan, old, folder, where, progress)
    else:
        loaded = known.loaded
        progress.note(f"not loaded again: it was at {str(loaded.loaded_before)[:12]}, as it is now")
    return loaded.model_copy(
        update={
            "files": len(new),
            "bytes": sum(file.size_bytes for file in new),
            "read_before": {file.path: known.read_before[file.path] for file in old},
        }
    )


def _told(new: Sequence[LocalFile], old: Sequence[LocalFile]) -> str:
    if not new:
        return f"no file read back: all {len(old)} are objects that were read back before"
    told = f"{len(new)} file{'' if len(new) == 1 else 's'} read back; every byte is what was sent"
    return told + (f"; {len(old)} are objects read back before" if old else "")


def _other_bytes(
    plan: Plan,
    landed: Landed,
    files: Sequence[LocalFile],
    api: HfApi,
    folder: Path,
    progress: Progress,
) -> dict[str, str]:
    """Download ``files``; how those differ that are not what was sent, by path."""
    wanted = [_wanted(plan.folder, file) for file in files]
    served = download(api, plan.repo_id, landed.commit, wanted, folder, progress=progress)
    faults = {file.path: difference(file, served[file.path]) for file in files}
    return {path: fault for path, fault in faults.items() if fault is not None}


def _other_objects(
    plan: Plan, landed: Landed, files: Sequence[LocalFile], known: Proven, api: HfApi
) -> dict[str, str]:
    """Those of ``files`` that the Hub would not serve as the object that was read back before."""
    wanted = [_wanted(plan.folder, file) for file in files]
    heads = read_heads(api, plan.repo_id, landed.commit, wanted)
    return {
        path: f"is served as another object ({str(head)[:12]})"
        for path, head in heads.items()
        if head != known.objects[path]
    }


def _load(
    plan: Plan, old: Sequence[LocalFile], folder: Path, where: str, progress: Progress
) -> Verified:
    """Load what was downloaded; what was not is here, byte for byte."""
    for file in old:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to((plan.folder / file.path).resolve())
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
    return Verified(files=0, bytes=0, loading=list(loading.passed), not_loaded=loading.not_loaded)


def _wanted(folder: Path, file: LocalFile) -> Wanted:
    path = folder / file.path
    same = path.is_file() and file_sha256(path) == file.sha256
    return Wanted(file.path, file.size_bytes, file.sha256, path if same else None)
