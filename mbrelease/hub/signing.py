"""Sign a release and verify it: every file is as it was signed, and no file more or less.

A signature covers all that is published: weights, config, tokenizer, card, its lock and its
pictures. Only itself and ``.gitattributes``, which the Hub writes, are not in it. The format is
that of `OpenSSF Model Signing <https://github.com/sigstore/model-transparency>`_, and its own
command verifies what is signed here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import sha256_file, write_bytes
from mbrelease.hub.signed_files import (
    NOT_SIGNED,
    SHOWN,
    SIGNATURE,
    WHOLE,
    SignedFiles,
    find_changes,
    parse_signature,
    read_digests,
    read_signature,
)
from mbrelease.hub.signing_keys import Identity, Keyless, Signer, Verifier
from mbrelease.progress import SILENT, Progress


def sign_release(
    folder: Path,
    signer: Signer,
    *,
    digests: Mapping[str, str] | None = None,
    earlier: Iterable[bytes] = (),
) -> Path:
    """Write ``model.sig`` into ``folder``, unless one of the same signer holds for these bytes.

    A signature has other bytes each time it is made (ECDSA draws a random number), so one that
    holds is kept: a release that has not changed does not change by being signed.

    Args:
        folder: a release.
        signer: a ``PrivateKey`` or ``Keyless``.
        digests: hex sha256 of each file by path, if known; else they are read.
        earlier: signatures to keep if they hold, such as the one on the Hub; then that in
            ``folder`` is looked at.

    Returns:
        The path of the signature.

    Raises:
        UserError: the folder cannot be read or written, or holds the key that signs it.
        CheckFailed: Sigstore cannot be reached, or refuses.
    """
    key = getattr(signer, "path", None)
    if key is not None and folder.resolve() in key.resolve().parents:
        mend = "move it out; what is in a release is published"
        raise UserError(f"the key {key} is in the folder that it signs", mend=mend)
    if digests is None:
        digests = read_digests(folder)
    odd = [path for path, digest in digests.items() if not digest]
    if odd:
        mend = "take it out of the folder"
        raise UserError(f"{folder / odd[0]} is neither a file nor a folder", mend=mend)
    place = folder / SIGNATURE
    name = folder.resolve().name
    here = [read_signature(place, str(folder))] if place.exists() else []
    _keep_or_sign(place, name, digests, signer, [*earlier, *here], NOT_SIGNED)
    return place


def sign_file(path: Path, signer: Signer) -> Path:
    """Write the signature of one file beside it, as ``NAME.sig``, unless one holds already.

    Raises:
        UserError: it cannot be read, or the signature not written.
        CheckFailed: Sigstore cannot be reached, or refuses.
    """
    place = signature_path(path)
    here = [read_signature(place, str(path))] if place.exists() else []
    _keep_or_sign(place, path.name, {WHOLE: sha256_file(path)}, signer, here, ())
    return place


def signature_path(path: Path) -> Path:
    """Where the signature of the single file ``path`` lies."""
    return path.with_name(f"{path.name}.sig")


def verify_signature(
    folder: Path, verifier: Verifier, *, called: str | None = None, progress: Progress = SILENT
) -> SignedFiles:
    """Do nothing but return what was signed, if ``folder`` is that and ``verifier`` signed it.

    Args:
        folder: a release, a download or a clone of it.
        verifier: a ``PublicKey`` or ``Identity`` that is trusted.
        called: what is said of the folder, where its path would say nothing to a reader.
        progress: told of the files that are hashed.

    Raises:
        UserError: there is no such folder, or a file cannot be read.
        CheckFailed: there is no signature, it is none or was made by another, or the files are
            not those that were signed.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder" if folder.exists() else f"{folder} is missing")
    name, place = called or str(folder), folder / SIGNATURE
    shown = f"the {SIGNATURE} of {called}" if called else str(place)
    signed = authenticate(read_signature(place, name), verifier, shown)
    require_same(name, signed, read_digests(folder, progress))
    return signed


def verify_file(path: Path, verifier: Verifier) -> SignedFiles:
    """``verify_signature`` for a single file with its signature beside it, such as a receipt.

    Raises:
        UserError: there is no file.
        CheckFailed: there is no signature, it is none or was made by another, or the file is not
            the one that was signed.
    """
    digest = sha256_file(path)
    place = signature_path(path)
    signed = authenticate(read_signature(place, str(path)), verifier, str(place))
    require_same(str(path), signed, {WHOLE: digest})
    return signed


def authenticate(data: bytes, verifier: Verifier, place: str) -> SignedFiles:
    """What the signature ``data``, read from ``place``, covers, if ``verifier`` made it.

    Raises:
        CheckFailed: it is none, was made by another, was altered, or Sigstore cannot be asked.
    """
    from model_signing import verifying

    from mbrelease.hub.known_hashes import KnownHashes

    signed = parse_signature(data, place)
    verifier.require_maker(signed, place)
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / SIGNATURE
        write_bytes(written, data)
        try:
            config = verifier.configure(verifying.Config(), Path(scratch))  # type: ignore[no-untyped-call]
            # Held against its own hashes: here only who wrote them is asked.
            config.set_hashing_config(KnownHashes("", signed.digests, ()))
            config.verify(Path(scratch), written)
        except UserError:
            raise
        except Exception as error:
            if isinstance(verifier, Identity):
                _explain_sigstore(error)
            raise CheckFailed(
                f"{place} is not a signature by {verifier.name}",
                mend="it was altered or made by another: do not use what it is for",
            ) from error
    return signed


def _keep_or_sign(
    place: Path,
    name: str,
    digests: Mapping[str, str],
    signer: Signer,
    earlier: Iterable[bytes],
    ignored: Iterable[str],
) -> None:
    for data in earlier:
        if signature_holds(data, digests, signer.verifier()):
            if not place.exists() or place.read_bytes() != data:
                write_bytes(place, data)
            return
    write_bytes(place, _sign(name, digests, signer, ignored))


def signature_holds(data: bytes, digests: Mapping[str, str], verifier: Verifier) -> bool:
    """Whether an earlier signature can stand for a new one; one that cannot is not an error."""
    try:
        # Compared first: to be asked about a certificate, Sigstore must be reached.
        if parse_signature(data, SIGNATURE).digests != digests:
            return False
        authenticate(data, verifier, SIGNATURE)
    except UserError:
        return False
    return True


def _sign(name: str, digests: Mapping[str, str], signer: Signer, ignored: Iterable[str]) -> bytes:
    from model_signing import signing

    from mbrelease.hub.known_hashes import KnownHashes

    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / SIGNATURE
        try:
            config = signer.configure(signing.Config())  # type: ignore[no-untyped-call]
            config.set_hashing_config(KnownHashes(name, digests, ignored))
            config.sign(Path(scratch), written)
        except Exception as error:
            if isinstance(signer, Keyless):
                _explain_sigstore(error)
                told = f"Sigstore did not sign ({type(error).__name__}); nothing was sent"
                raise CheckFailed(told, mend="run the same command again") from error
            raise
        return written.read_bytes()


def _explain_sigstore(error: Exception) -> None:
    """Raise the sentence for a failure that says nothing about the signature itself."""
    from sigstore.errors import NetworkError, TUFError

    if isinstance(error, NetworkError | TUFError | OSError):
        raise CheckFailed(
            "Sigstore could not be asked, and the signature was neither made nor checked",
            mend="run it again where sigstore.dev can be reached",
        ) from error


def require_same(name: str, signed: SignedFiles, present: Mapping[str, str]) -> None:
    """Do nothing if the files of ``name`` are those that were signed, none more or less.

    Raises:
        CheckFailed: they are not; it says which.
    """
    changes = find_changes(signed.digests, present)
    if not changes:
        return
    if WHOLE in present:
        told = f"{name} is not as it was signed"
    else:
        more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        told = f"{name} is not as it was signed: {', '.join(changes[:SHOWN])}{more}"
    raise CheckFailed(told, mend="do not use it; get it again, or ask its publisher")
