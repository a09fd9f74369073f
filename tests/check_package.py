"""Run by `make package` with the Python of a new environment that holds the wheel alone."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import mbrelease
from mbrelease.cards.render import shipped_templates

package = Path(mbrelease.__file__).parent
assert "site-packages" in package.parts, f"{package} is not an installed wheel"
assert find_spec("torch") is None, "the base install must not bring torch"
templates = shipped_templates()
assert templates.is_relative_to(package), f"{templates} is not inside the wheel"
found = sorted(path.relative_to(templates).as_posix() for path in templates.rglob("*.j2"))
assert "card.md.j2" in found and len(found) > 8, found
assert (package / "py.typed").exists()
assert list((package / "hub" / "rehearsal" / "pages").glob("*.j2")), "the Hub's pages are missing"
assert (package / "start" / "release.yml").exists(), "the release workflow is missing"
from mbrelease.registry import Family  # noqa: E402  (what other programs use)

assert Family.load.__doc__
assert find_spec("cyclonedx") is None, "the base install must not bring CycloneDX"
for command in ("init", "registry", "average", "select", "card", "push"):
    subprocess.run(
        [sys.executable, "-m", "mbrelease.cli.main", command, "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
print(f"the wheel holds {len(found)} templates, and its commands start without torch")
