"""What ``--with transformers==4.48.3,4.57.6`` names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mbrelease.errors import UserError

VERSION = re.compile(r"\d+(?:\.\d+){1,3}(?:(?:a|b|rc)\d+)?(?:\.post\d+)?")
FIRST = (4, 48)
"""The first transformers that has ModernBERT."""


def requested_versions(texts: Iterable[str]) -> tuple[str, ...]:
    """The versions in ``texts``, in their order and each once.

    Raises:
        UserError: another package, no version, or one that knows no ModernBERT.
    """
    versions: dict[str, None] = {}
    for text in texts:
        package, _, listed = text.rpartition("==")
        if package.strip() not in ("", "transformers"):
            raise UserError(
                f"--with {text}: only transformers can be asked",
                mend="give its versions: --with transformers==4.48.3,4.57.6",
            )
        for version in listed.split(","):
            versions[_checked(version.strip(), text)] = None
    return tuple(versions)


def _checked(version: str, text: str) -> str:
    if not VERSION.fullmatch(version):
        raise UserError(
            f"--with {text}: '{version}' is no version",
            mend="give versions such as --with transformers==4.48.3,4.57.6",
        )
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < FIRST:
        raise UserError(
            f"--with {text}: transformers {version} has no ModernBERT",
            mend="the first that has it is 4.48.0",
        )
    return version
