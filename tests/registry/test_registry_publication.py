"""What a push writes into the registry, and that it writes nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.registry.load import load_project
from mbrelease.registry.publication import record_publication

TEXT = """# Ours.
version: 1
family: Owls
variants:
  one: {repo: owls/one}  # the first
  two:
    repo: owls/two
    released: false  # not yet
aliases:
  production: one  # what serves
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "registry.yaml").write_text(TEXT)
    return tmp_path / "registry.yaml"


def test_an_alias_moves_and_what_is_no_longer_true_is_mended(path: Path) -> None:
    told = record_publication(load_project(path), "two", "owls/two", aliases=["production"])
    assert told == ["two is released", "production means two"]
    assert path.read_text() == TEXT.replace("released: false", "released: true").replace(
        "production: one", "production: two"
    )
    assert load_project(path).resolve_name("production") == "two"
    assert record_publication(load_project(path), "two", "owls/two", aliases=["production"]) == []


def test_a_new_alias_is_added(path: Path) -> None:
    assert record_publication(load_project(path), "one", "owls/one", aliases=["latest"]) == [
        "latest means one"
    ]
    assert path.read_text() == TEXT + "  latest: one\n"


def test_a_push_elsewhere_releases_nothing(path: Path) -> None:
    assert record_publication(load_project(path), "two", "my/fork") == []
    assert path.read_text() == TEXT


def test_an_alias_is_no_variant(path: Path) -> None:
    with pytest.raises(UserError, match="'one' is a variant"):
        record_publication(load_project(path), "two", "my/fork", aliases=["one"])
    assert path.read_text() == TEXT


def test_a_registry_without_aliases_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nfamily: Owls\nvariants:\n  one: {}\n")
    record_publication(load_project(path), "one", "owls/one", aliases=["latest"])
    assert load_project(path).registry.aliases == {"latest": "one"}
