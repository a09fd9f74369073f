"""Environments with another transformers, built once and kept.

``$XDG_CACHE_HOME/mbrelease/venvs/<key>`` holds ``env``, a virtual environment with one
transformers and the tokenizers and huggingface-hub that it pins, and ``shared``, links to the
packages of the running environment that are not fetched again (torch above all). The key names
the version, and covers Python and all that is shared. The folder may be deleted at any time.
"""

from __future__ import annotations

import os
import sys
import venv
from importlib.metadata import version as installed_version
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.files import atomic_folder, locked
from mbrelease.parity.versions.install import install
from mbrelease.parity.versions.shared import Shared, shared_packages
from mbrelease.parity.versions.unavailable import NoSuchVersion, Unavailable
from mbrelease.progress import SILENT, Progress


def running_version() -> str:
    """The version of transformers beside the running interpreter."""
    return installed_version("transformers")


def python_with(version: str, *, progress: Progress = SILENT) -> Path:
    """An interpreter that imports transformers ``version``; its environment is built if need be.

    Another process that is building the same is waited for; what a killed one left never counts.

    Raises:
        NoSuchVersion: the package index does not have it.
        Unavailable: it cannot be built here, for the reason that it tells.
    """
    if version == running_version():
        return Path(sys.executable)
    shared = shared_packages()
    folder = _cache() / _key(version, shared)
    python = folder / "env" / "bin" / "python"
    if python.exists():
        return python
    waiting = f"another process is installing transformers {version}; waiting for it"
    try:
        with locked(folder.parent / f"{folder.name}.lock", lambda: progress.note(waiting)):
            if not python.exists():
                progress.note(f"installing transformers {version} in {folder}")
                with atomic_folder(folder) as unfinished:
                    _build(unfinished, version, shared)
    except NoSuchVersion:
        raise
    except UserError as error:  # a cache that cannot be written
        raise Unavailable(error.message) from error
    return python


def _build(folder: Path, version: str, shared: Shared) -> None:
    (folder / "shared").mkdir()
    for name, target in shared.links.items():
        (folder / "shared" / name).symlink_to(target)
    venv.EnvBuilder(symlinks=True).create(folder / "env")
    site = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    # A relative line, for the folder will be renamed. What is installed comes before it, and pip
    # takes what lies there for another's, which it does not remove.
    (site / "shared.pth").write_text(os.path.relpath(folder / "shared", site) + "\n")
    install(folder / "env" / "bin" / "python", version, folder)


def _key(version: str, shared: Shared) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    torch = shared.versions["torch"]
    return f"transformers-{version}-python{python}-torch{torch}-{shared.identity[:12]}"


def _cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(given) if given else Path.home() / ".cache"
    except RuntimeError as error:
        raise Unavailable("there is no home folder to keep environments in") from error
    return base / "mbrelease" / "venvs"
