"""What all environments share: torch, numpy, safetensors, and what these need.

An environment sees nothing else of the running one: a newer ``accelerate`` beside an older
transformers is a mixture that nobody has, and would fail for reasons of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from mbrelease.files import sha256_json
from mbrelease.parity.versions.unavailable import Unavailable

ROOTS = ("torch", "numpy", "safetensors")


@dataclass(frozen=True)
class Shared:
    """Packages of the running environment; ``links`` are names in its site-packages."""

    versions: dict[str, str]
    """By the package's normalized name."""
    links: dict[str, Path]

    @property
    def identity(self) -> str:
        """What an environment that shares them is bound to: these packages, and this Python."""
        places = sorted({str(path.parent) for path in self.links.values()})
        return sha256_json([self.versions, places, sys.version, sys.base_prefix])


def shared_packages() -> Shared:
    """The packages that are shared, as they are installed beside the running interpreter.

    Raises:
        Unavailable: one is missing, or was installed in a way that does not tell its files.
    """
    versions: dict[str, str] = {}
    links: dict[str, Path] = {}
    for package in _with_requirements():
        versions[_normalized(package.name)] = package.version
        if package.files is None:
            raise Unavailable(f"{package.name} was installed without a list of its files")
        for name in {file.parts[0] for file in package.files} - {"..", "/", "__pycache__"}:
            links.setdefault(name, Path(str(package.locate_file(name))))
    return Shared(dict(sorted(versions.items())), links)


def _with_requirements() -> Iterator[Distribution]:
    from packaging.requirements import Requirement

    pending: list[tuple[str, str]] = [(name, "") for name in ROOTS]
    seen: set[tuple[str, str]] = set()
    while pending:
        name, extra = pending.pop()
        if (_normalized(name), extra) in seen:
            continue
        seen.add((_normalized(name), extra))
        try:
            package = distribution(name)
        except PackageNotFoundError as error:
            if name in ROOTS:
                raise Unavailable(f"{name} is not installed") from error
            continue  # what runs without it here will run without it there
        yield package
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                pending += [(needed.name, each) for each in ("", *needed.extras)]


def _normalized(name: str) -> str:
    # As PEP 503 has it.
    return re.sub(r"[-_.]+", "-", name).lower()
