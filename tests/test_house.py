"""A room imports only from rooms below it."""

import ast
from pathlib import Path

import pytest

import mbrelease

PACKAGE = Path(mbrelease.__file__).parent
LEVEL = {
    "errors": 0, "files": 0, "file_hashes": 0, "progress": 0, "secrets": 0,
    "checkpoints": 1, "registry": 1, "pictures": 1, "pages": 1,
    "evaluation": 2, "averaging": 2, "metadata": 2, "start": 2,
    "selection": 3, "parity": 3,
    "hub": 4, "cards": 4,
    "release_checks": 5, "bom": 5, "graph": 5, "questions": 5,
    "pipeline": 6,
    "demo": 7,
    "cli": 8,
}  # fmt: skip


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    return {name for name in found if name.startswith("mbrelease.")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path))
def test_a_room_imports_only_from_rooms_below(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imports(path):
        other = room(module)
        assert other in LEVEL, f"{module} is no room of the house"
        below = LEVEL[other] < LEVEL[own] or other == own or LEVEL[own] == 0
        assert below, f"{own} imports {module}"


def test_no_two_files_of_tests_have_one_name():
    # pytest imports them by their names alone, and fails on the second only when it meets both.
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []
