"""What was read from a Hub, kept beside the registry: a model that has not changed costs one
cheap request, and a reading that was interrupted goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import json_text, read_json, sha256_bytes, write_text
from mbrelease.registry.project import Project

_VERSION = 1


@dataclass(frozen=True)
class Kept:
    """A model as the Hub described it, and those of its files that describe it.

    Fields:
        info: the part of the Hub's description that is read here.
        files: path → its blob on the Hub and its text (of a card the metadata).
    """

    etag: str | None
    info: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        """The commit of ``main`` that was read."""
        return str(self.info["sha"])


@dataclass(frozen=True)
class KeptFacts:
    """A folder with a file for each model; it may be deleted at any time."""

    folder: Path
    endpoint: str

    @classmethod
    def beside(cls, project: Project, endpoint: str) -> KeptFacts:
        """The folder for the registry of ``project``."""
        return cls(project.root / ".mbrelease" / "hub-facts", endpoint)

    def read(self, repo_id: str) -> Kept | None:
        """What is kept of a model; ``None`` where there is nothing that can be used."""
        try:
            value = read_json(self._path(repo_id))
        except UserError:
            return None
        if not isinstance(value, dict) or value.get("version") != _VERSION:
            return None
        if (value.get("endpoint"), value.get("id")) != (self.endpoint, repo_id):
            return None
        info, files = value.get("info"), value.get("files")
        if not isinstance(info, dict) or not isinstance(files, dict) or "sha" not in info:
            return None
        return Kept(value.get("etag"), info, files)

    def write(self, repo_id: str, kept: Kept) -> None:
        """Keep a model.

        Raises:
            UserError: the folder cannot be written.
        """
        value = {
            "version": _VERSION,
            "endpoint": self.endpoint,
            "id": repo_id,
            "etag": kept.etag,
            "info": kept.info,
            "files": kept.files,
        }
        write_text(self._path(repo_id), json_text(value))

    def forget(self, repo_id: str) -> None:
        """Keep nothing of a model."""
        self._path(repo_id).unlink(missing_ok=True)

    def _path(self, repo_id: str) -> Path:
        return self.folder / f"{sha256_bytes(f'{self.endpoint} {repo_id}'.encode())[:24]}.json"
