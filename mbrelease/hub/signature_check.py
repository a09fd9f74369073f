"""Are the signatures of a publication, of its files and of its receipt, by the one we believe?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mbrelease.errors import CheckFailed
from mbrelease.hub.signed_files import NOT_SIGNED, SIGNATURE, SignedFiles, not_signed
from mbrelease.hub.signing_keys import Verifier

HOW = "give --public-key FILE"


@dataclass(frozen=True)
class SignatureCheck:
    """What was asked of signatures, and what came out."""

    signed_by: str | None = None
    """Who signed the files; ``None`` where that was not asked, or is not so."""
    findings: tuple[str, ...] = ()
    """What is wrong, in sentences."""
    notes: tuple[str, ...] = ()
    """What was not checked."""

    def __add__(self, other: SignatureCheck) -> SignatureCheck:
        """Both."""
        return SignatureCheck(
            self.signed_by or other.signed_by,
            (*self.findings, *other.findings),
            (*self.notes, *other.notes),
        )


def check_model_signature(
    data: bytes | None,
    called: str,
    present: Mapping[str, str | None],
    verifier: Verifier | None,
) -> SignatureCheck:
    """Hold the files of a model against its ``model.sig``.

    Args:
        data: the signature; ``None`` for no signature.
        called: the model, as it is called in what is said.
        present: hex sha256 of every file by path; ``None`` for one whose hash is not known, which
            then must only be among those that were signed.
        verifier: who is believed; ``None`` for nobody, and then nothing is checked.

    Raises:
        MissingExtra: the extra ``[sign]`` is not installed.
    """
    if verifier is None:
        there = (f"{SIGNATURE} is there, and was not checked: {HOW}",)
        return SignatureCheck(notes=there if data is not None else ())
    if data is None:
        return SignatureCheck(findings=(not_signed(called).message,))
    from mbrelease.hub.signing import authenticate, require_same

    try:
        signed = authenticate(data, verifier, f"the {SIGNATURE} of {called}")
        require_same(called, signed, _known(present, signed))
    except CheckFailed as error:
        return SignatureCheck(findings=(error.message,))
    return SignatureCheck(signed_by=verifier.name)


def check_receipt_signature(path: Path, verifier: Verifier | None) -> SignatureCheck:
    """Hold the receipt at ``path`` against the signature beside it.

    Raises:
        UserError: the receipt cannot be read.
        MissingExtra: the extra ``[sign]`` is not installed.
    """
    from mbrelease.hub.signing import signature_path, verify_file

    place = signature_path(path)
    if verifier is None:
        there = (f"{place} is there, and was not checked: {HOW}",)
        return SignatureCheck(notes=there if place.exists() else ())
    try:
        verify_file(path, verifier)
    except CheckFailed as error:
        return SignatureCheck(findings=(error.message,))
    return SignatureCheck()


def _known(present: Mapping[str, str | None], signed: SignedFiles) -> dict[str, str]:
    """The table of what is there, as far as a signature covers it."""
    covered = {path: sha256 for path, sha256 in present.items() if path not in NOT_SIGNED}
    return {
        path: signed.digests.get(path, "") if sha256 is None else sha256
        for path, sha256 in covered.items()
    }
