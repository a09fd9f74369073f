"""A receipt of a commit is extended, and never loses what it has proven."""

from __future__ import annotations

from pathlib import Path

from mbrelease.errors import CheckFailed
from mbrelease.hub.receipt import PlanSummary, Receipt, Verified, read_receipt, receipt_path
from mbrelease.hub.signing import signature_path


def extended(earlier: Receipt, later: Receipt) -> Receipt:
    """``earlier`` with the files that ``later``, of the same commit, has proven too."""
    assert (earlier.endpoint, earlier.commit) == (later.endpoint, later.commit)
    return earlier.model_copy(
        update={
            "files": dict(sorted({**earlier.files, **later.files}.items())),
            "summary": _summary(earlier, later),
            "what_was_verified": _verified(earlier, later),
            # They tell by what it was loaded.
            "versions": earlier.versions if _was_loaded_by(earlier, later) else later.versions,
        }
    )


def needs_key(root: Path, receipt: Receipt) -> bool:
    """Whether writing ``receipt`` below ``root`` would break the signature of the one there."""
    path = receipt_path(root, receipt.repo_id, receipt.commit)
    is_signed = path.exists() and signature_path(path).exists()
    return is_signed and read_receipt(path) != receipt


def require_key(root: Path, receipt: Receipt, *, has_key: bool) -> None:
    """Do nothing if ``receipt`` may be written below ``root``.

    Raises:
        CheckFailed: another one of the commit is there, and signed, and there is no key to sign
            this one with.
    """
    path = receipt_path(root, receipt.repo_id, receipt.commit)
    if has_key or not needs_key(root, receipt):
        return
    there = read_receipt(path)
    told = [f"the tag {tag}" for tag in receipt.tags if tag not in there.tags]
    told += [f"the alias {name}" for name in receipt.aliases if name not in there.aliases]
    told += [name for name in receipt.files if name not in there.files]
    raise CheckFailed(
        f"{path} is signed, and does not name {', '.join(told) or 'the same'} yet; without its key "
        "it is not changed, and nothing was sent",
        mend="sign it anew: mbrelease push … --sign-key FILE",
    )


def _was_loaded_by(earlier: Receipt, later: Receipt) -> bool:
    """Whether the first push has loaded the model, and the later one could not."""
    first, then = earlier.what_was_verified, later.what_was_verified
    is_loaded = first is not None and first.not_loaded is None
    return is_loaded and then is not None and then.not_loaded is not None


def _summary(earlier: Receipt, later: Receipt) -> PlanSummary:
    """That of the push that made the commit, in which files were kept that are proven now."""
    added = later.files.keys() - earlier.files.keys()
    summary = earlier.summary
    return summary.model_copy(
        update={
            "unchanged": sorted({*summary.unchanged, *added}),
            "remote_only": [path for path in summary.remote_only if path not in added],
        }
    )


def _verified(earlier: Receipt, later: Receipt) -> Verified | None:
    """What was done with the files of both; a file that was read at this commit is not told of."""
    first, then = earlier.what_was_verified, later.what_was_verified
    if first is None or then is None:
        return then
    loading = first.loading if _was_loaded_by(earlier, later) else []
    before = {path: at for path, at in then.read_before.items() if at != later.commit}
    return then.model_copy(
        update={
            "files": first.files + then.files,
            "bytes": first.bytes + then.bytes,
            "loading": list(dict.fromkeys([*loading, *then.loading])),
            "read_before": {**first.read_before, **before},
            "loaded_before": None if then.loaded_before == later.commit else then.loaded_before,
        }
    )
