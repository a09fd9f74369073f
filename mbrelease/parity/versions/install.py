"""Install one transformers into an environment, by uv where it is, else by pip."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mbrelease.errors import did_you_mean
from mbrelease.parity.versions.shared import ROOTS
from mbrelease.parity.versions.unavailable import NoSuchVersion, Unavailable

SECONDS = 900
# They would change what is installed, or where; an index and its certificates stay as configured.
NOT_PASSED_ON = (
    "PIP_CONSTRAINT", "PIP_NO_DEPS", "PIP_PREFIX", "PIP_REQUIRE_HASHES", "PIP_REQUIREMENT",
    "PIP_ROOT", "PIP_TARGET", "PIP_USER", "PYTHONHOME", "PYTHONPATH", "UV_BUILD_CONSTRAINT",
    "UV_CONSTRAINT", "UV_NO_BINARY", "UV_OVERRIDE", "UV_PYTHON", "UV_SYSTEM_PYTHON", "VIRTUAL_ENV",
)  # fmt: skip
UNREACHED = re.compile(
    r"connection broken|Retrying|Failed to fetch|error sending request|dns error|"
    r"name resolution|network was disabled|Network connectivity is disabled|from versions: none",
    re.IGNORECASE,
)
Command = Callable[[Path, str, Path], list[str]]


def install(python: Path, version: str, scratch: Path) -> None:
    """Install ``transformers==version`` with what it pins for the interpreter ``python``.

    Args:
        python: of an environment that sees the shared packages already.
        version: of transformers.
        scratch: a folder for what the installer has to be told in a file.

    Raises:
        NoSuchVersion: the index does not have it.
        Unavailable: there is no installer, no index can be reached, or the installer failed.
    """
    commands = _installers()
    if not commands:
        raise Unavailable("neither uv nor pip is installed")
    for command in commands:
        error = _run(command(python, version, scratch))
        if error is None:
            return
    raise _reason(error or "", version)


def _installers() -> list[Command]:
    found: list[Command] = []
    if shutil.which("uv"):
        found.append(_uv)
    # An index may be configured for pip alone, so where uv fails pip is asked too.
    if importlib.util.find_spec("pip"):
        found.append(_pip)
    return found


def _uv(python: Path, version: str, scratch: Path) -> list[str]:
    # uv does not see the shared packages; a marker that is never true leaves them out.
    overrides = scratch / "overrides.txt"
    overrides.write_text("".join(f'{name}; python_version < "0"\n' for name in ROOTS))
    call = ["uv", "pip", "install", "--quiet", "--python", str(python), "--only-binary", ":all:"]
    return [*call, "--overrides", str(overrides), f"transformers=={version}"]


def _pip(python: Path, version: str, scratch: Path) -> list[str]:
    call = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    # Nothing is built: an old source package runs its own code, and takes minutes.
    call += ["--no-input", "--only-binary", ":all:", "--no-compile"]
    return [*call, "--retries", "1", "--timeout", "15", f"transformers=={version}"]


def _run(call: list[str]) -> str | None:
    """What the installer said if it failed."""
    environment = {key: text for key, text in os.environ.items() if key not in NOT_PASSED_ON}
    try:
        done = subprocess.run(  # noqa: S603
            call,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"error: it took longer than {SECONDS // 60} minutes"
    except OSError as error:
        return f"error: {call[0]}: {error.strerror}"
    return done.stderr.decode(errors="replace") if done.returncode else None


def _reason(said: str, version: str) -> NoSuchVersion | Unavailable:
    if UNREACHED.search(said):
        return Unavailable(f"no package index can be reached to install transformers {version}")
    missing = f"the package index has no transformers {version}"
    asked = re.escape(f"transformers=={version}")
    if found := re.search(rf"requirement {asked} \(from versions: ([^)]*)\)", said):
        known = found[1].split(", ")
        return NoSuchVersion(missing, mend=did_you_mean(version, known))
    if re.search(rf"no version of {asked}\b", said):
        return NoSuchVersion(missing)
    lines = [line for line in said.splitlines() if line.lower().startswith(("error:", "  cause:"))]
    first = " ".join(lines[0].split())[:200] if lines else "no reason was given"
    return Unavailable(f"transformers {version} could not be installed: {first}")
