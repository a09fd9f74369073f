"""How to sign, and whom to believe: options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.hub.signing_keys import Signer, Verifier

_File = click.Path(path_type=Path)


@dataclass(frozen=True)
class SignRequest:
    """What was asked of signing; nothing is read before ``signer``."""

    key: Path | None
    password_env: str | None
    keyless: bool

    def __bool__(self) -> bool:
        """Whether a signature was asked for."""
        return self.key is not None or self.keyless

    def require_sense(self) -> None:
        """Do nothing if the options go together.

        Raises:
            UserError: they do not.
        """
        if self.key is not None and self.keyless:
            raise UserError("--sign-key and --sign-keyless are two ways", mend="leave one out")
        if self.password_env is not None and self.key is None:
            raise UserError("--sign-password-env goes with --sign-key", mend="leave it out")

    def signer(self, *, plan_only: bool = False) -> Signer | None:
        """The key, or the identity of this job; ``None`` where no signature was asked for.

        With ``plan_only`` nothing is signed: the key must be good, and no identity is asked for.

        Raises:
            UserError: there is none, or it cannot be opened.
            MissingExtra: the extra ``[sign]`` is not installed.
        """
        from mbrelease.hub.signing_keys import read_keyless, read_private_key

        if self.key is not None:
            return read_private_key(self.key, self.password_env)
        return read_keyless() if self.keyless and not plan_only else None


def sign_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that signs; it receives them as ``sign``, a ``SignRequest``."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        sign_key: Path | None,
        sign_password_env: str | None,
        sign_keyless: bool,
        **options: Any,
    ) -> None:
        request = SignRequest(sign_key, sign_password_env, sign_keyless)
        request.require_sense()
        command(*args, sign=request, **options)

    for option in (
        click.option(
            "--sign-keyless",
            is_flag=True,
            help="Sign with the identity of this job (GitHub Actions), by Sigstore.",
        ),
        click.option(
            "--sign-password-env",
            metavar="NAME",
            help="The environment variable that holds the password of that key.",
        ),
        click.option(
            "--sign-key",
            type=_File,
            metavar="FILE",
            help="Sign the release with this private key (PEM, P-256 to P-521).",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped


@dataclass(frozen=True)
class TrustRequest:
    """Whose signatures are to be believed."""

    public_key: Path | None
    identity: str | None
    issuer: str | None

    def __bool__(self) -> bool:
        """Whether anybody was named."""
        return any((self.public_key, self.identity, self.issuer))

    def verifier(self) -> Verifier:
        """The one who is believed.

        Raises:
            UserError: nobody is named, two are, or the key cannot be read.
            MissingExtra: the extra ``[sign]`` is not installed.
        """
        from mbrelease.hub.signing_keys import Identity, read_public_key, require_extra

        if self.public_key is not None and (self.identity or self.issuer):
            raise UserError("--public-key and --identity are two ways", mend="leave one out")
        if self.public_key is not None:
            return read_public_key(self.public_key)
        if not self.identity and not self.issuer:
            raise UserError(
                "a signature proves nothing before it is said whose it must be",
                mend="give --public-key FILE, or --identity URL --issuer URL",
            )
        if not self.identity or not self.issuer:
            raise UserError("--identity and --issuer go together", mend="give both")
        require_extra()
        return Identity(self.identity, self.issuer)

    def verifier_if_any(self) -> Verifier | None:
        """The one who is believed; ``None`` where nobody was named.

        Raises:
            UserError: two are, or the key cannot be read.
            MissingExtra: the extra ``[sign]`` is not installed.
        """
        return self.verifier() if self else None


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that verifies; it receives them as ``trust``, a ``TrustRequest``."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        public_key: Path | None,
        identity: str | None,
        issuer: str | None,
        **options: Any,
    ) -> None:
        command(*args, trust=TrustRequest(public_key, identity, issuer), **options)

    for option in (
        click.option(
            "--issuer",
            metavar="URL",
            help="Who vouches for it, such as https://token.actions.githubusercontent.com.",
        ),
        click.option(
            "--identity",
            metavar="URL",
            help="Whom Sigstore must have certified: the workflow with its ref.",
        ),
        click.option(
            "--public-key",
            type=_File,
            metavar="FILE",
            help="The signer's public key (PEM).",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped
