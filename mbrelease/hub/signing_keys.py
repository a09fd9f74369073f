"""Who signs and who is believed: keys in PEM, and the identities of Sigstore.

The bytes of a private key and its password are never part of a message.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mbrelease.errors import CheckFailed, MissingExtra, UserError
from mbrelease.files import unreadable, write_bytes
from mbrelease.hub.signed_files import SignedFiles

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        PrivateKeyTypes,
        PublicKeyTypes,
    )
    from model_signing import signing, verifying

# Those of the Sigstore bundle: NIST P-256, P-384 and P-521.
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
MAKE_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "sigstore"


class Verifier(Protocol):
    """Somebody whose signatures are believed."""

    @property
    def name(self) -> str:
        """Who it is, in a few words."""

    def require_maker(self, signed: SignedFiles, place: str) -> None:
        """Raise CheckFailed if the signature names another maker, before it is computed."""

    def configure(self, config: verifying.Config, scratch: Path) -> verifying.Config:
        """Tell model-signing; files it needs are written into ``scratch``."""


class Signer(Protocol):
    """Somebody who can sign."""

    def verifier(self) -> Verifier:
        """Who believes this signer."""

    def configure(self, config: signing.Config) -> signing.Config:
        """Tell model-signing."""


@dataclass(frozen=True)
class PublicKey:
    """An elliptic-curve key that signatures are checked with."""

    pem: bytes
    path: Path
    """Where it was read from, itself or its private half."""

    @property
    def sha256(self) -> str:
        """Of the PEM text, which is how a signature names its key."""
        return hashlib.sha256(self.pem).hexdigest()

    @property
    def name(self) -> str:
        """Such as ``the key 1a2b3c4d5e6f``."""
        return f"the key {self.sha256[:12]}"

    def require_maker(self, signed: SignedFiles, place: str) -> None:
        """A signature names its key.

        Raises:
            CheckFailed: it names another.
        """
        if signed.key_sha256 is None:
            raise CheckFailed(
                f"{place} was signed without a key, by Sigstore",
                mend="give --identity and --issuer in place of --public-key",
            )
        if signed.key_sha256 != self.sha256:
            raise CheckFailed(
                f"{place} was signed with the key {_shown(signed.key_sha256)}, and {self.path} is "
                f"{self.sha256[:12]}",
                mend="get the publisher's key from where you trust it, and give that",
            )

    def configure(self, config: verifying.Config, scratch: Path) -> verifying.Config:
        """See ``Verifier``."""
        place = scratch / "key.pub"
        write_bytes(place, self.pem)
        return config.use_elliptic_key_verifier(public_key=place)


@dataclass(frozen=True)
class PrivateKey:
    """An elliptic-curve key that signs. The key itself stays in its file."""

    path: Path
    password: bytes | None = field(repr=False)
    public: PublicKey

    def verifier(self) -> PublicKey:
        """The public half."""
        return self.public

    def configure(self, config: signing.Config) -> signing.Config:
        """See ``Signer``."""
        # Declared as text, but handed to a function that takes bytes alone.
        password: str | None = self.password  # type: ignore[assignment]
        return config.use_elliptic_key_signer(private_key=self.path, password=password)


@dataclass(frozen=True)
class Identity:
    """Whom Sigstore certifies: such as a workflow, by its issuer."""

    identity: str
    issuer: str

    @property
    def name(self) -> str:
        """The identity."""
        return self.identity

    def require_maker(self, signed: SignedFiles, place: str) -> None:
        """A certificate is needed.

        Raises:
            CheckFailed: it was signed with a key.
        """
        if signed.key_sha256 is not None:
            raise CheckFailed(
                f"{place} was signed with the key {_shown(signed.key_sha256)}, not by Sigstore",
                mend="give --public-key FILE in place of --identity",
            )

    def configure(self, config: verifying.Config, scratch: Path) -> verifying.Config:
        """See ``Verifier``; asks Sigstore for its own keys."""
        return config.use_sigstore_verifier(identity=self.identity, oidc_issuer=self.issuer)


@dataclass(frozen=True)
class Keyless:
    """The identity of a job, such as GitHub Actions', for which Sigstore issues a certificate.

    There is no key to keep: a certificate of ten minutes is made for the job, and the signature
    is entered in Sigstore's public log.
    """

    identity: Identity

    def verifier(self) -> Identity:
        """The job's own identity."""
        return self.identity

    def configure(self, config: signing.Config) -> signing.Config:
        """See ``Signer``; asks the job for a token, good for minutes, and Sigstore for its keys."""
        return config.use_sigstore_signer(identity_token=_job_token())


def read_private_key(path: Path, password_env: str | None = None) -> PrivateKey:
    """The elliptic-curve key in the PEM file ``path``.

    Args:
        path: the file.
        password_env: the name of the environment variable that holds its password, if it has one.

    Raises:
        UserError: it cannot be read, is no such key, or its password is missing or wrong.
        MissingExtra: the extra ``[sign]`` is not installed.
    """
    require_extra()
    data = _read(path)
    if b"PRIVATE KEY" not in data and b"PUBLIC KEY" in data:
        raise UserError(f"{path} is a public key, which cannot sign", mend="give its private half")
    password = _password(password_env)
    key = _load_private(data, path, password, password_env)
    return PrivateKey(path, password, PublicKey(_public_pem(key.public_key(), path), path))


def read_public_key(path: Path) -> PublicKey:
    """The elliptic-curve key in the PEM file ``path``, as ``openssl ec -pubout`` writes it.

    Raises:
        UserError: it cannot be read, or is no such key.
        MissingExtra: the extra ``[sign]`` is not installed.
    """
    require_extra()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise UserError(
            f"{path} is a private key; nobody needs it to verify",
            mend=f"openssl ec -in {path} -pubout -out key.pub, and give key.pub",
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        mend = "give the file that openssl ec -pubout wrote"
        raise UserError(f"{path} is not a public key in PEM", mend=mend) from error
    return PublicKey(_public_pem(key, path), path)


def read_keyless() -> Keyless:
    """The identity of the job that this process runs in.

    Raises:
        UserError: this is no job with an identity, or it may not ask for it.
        MissingExtra: the extra ``[sign]`` is not installed.
    """
    require_extra()
    from sigstore.oidc import IdentityError, IdentityToken

    token = _job_token()
    try:
        claims = IdentityToken(token, AUDIENCE)
        identity = claims.identity
        if claims.issuer == GITHUB_ISSUER:
            # The library knows the token's subject; the certificate names the workflow's file,
            # https://github.com/sigstore/fulcio/blob/main/docs/oidc.md.
            identity = f"https://github.com/{_claims(token)['job_workflow_ref']}"
    except (IdentityError, LookupError) as error:
        raise _no_identity(f"the job's token could not be read ({type(error).__name__})") from error
    return Keyless(Identity(identity, claims.issuer))


def _claims(token: str) -> dict[str, Any]:
    """What a token says; that it is well formed was asked before."""
    payload = token.split(".")[1]
    padded = payload + "=" * (-len(payload) % 4)
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(padded))
    return claims


def _job_token() -> str:
    """What proves the job's identity to Sigstore."""
    from sigstore.oidc import IdentityError, detect_credential

    try:
        token = detect_credential(AUDIENCE)
    except IdentityError as error:
        # What it says may quote an answer of the issuer; the kind of failure is enough.
        raise _no_identity(f"the job gave no token ({type(error).__name__})") from error
    if token is None:
        raise _no_identity("this is not a job with an identity")
    return token


def _no_identity(why: str) -> UserError:
    mend = "in GitHub Actions give the job 'id-token: write'; elsewhere use --sign-key FILE"
    return UserError(f"cannot sign without a key: {why}", mend=mend)


def require_extra() -> None:
    """Do nothing if signatures can be made and checked.

    Raises:
        MissingExtra: the extra ``[sign]`` is not installed.
    """
    try:
        import model_signing  # noqa: F401
    except ImportError as error:
        raise MissingExtra("sign", "a signature") from error


def _read(path: Path) -> bytes:
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is not a file", mend="give the file of a key in PEM")
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def _password(variable: str | None) -> bytes | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        # The text may be the password itself, given by mistake: it is not repeated.
        raise UserError(
            "--sign-password-env names no environment variable that is set",
            mend="give the name of the variable, never the password itself",
        )
    return value.encode()


def _load_private(
    data: bytes, path: Path, password: bytes | None, variable: str | None
) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, password)
    except TypeError as error:
        if password is None:
            mend = "give the name of the variable with its password: --sign-password-env NAME"
            raise UserError(f"{path} is encrypted", mend=mend) from error
        mend = "leave --sign-password-env out"
        raise UserError(f"{path} is not encrypted and has no password", mend=mend) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if password is not None and b"ENCRYPTED" in data:
            raise UserError(f"the password in ${variable} does not open {path}") from error
        mend = f"make one: {MAKE_KEY}"
        raise UserError(f"{path} is not a private key in PEM", mend=mend) from error


def _public_pem(key: PublicKeyTypes, path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise UserError(
            f"{path} is not a key on the curve P-256, P-384 or P-521",
            mend=f"make one: {MAKE_KEY}",
        )
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _shown(digest: str) -> str:
    """The first digits of what a signature, which anybody may have written, calls its key."""
    return digest[:12] if digest.isalnum() else "?"
