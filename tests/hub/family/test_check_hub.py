"""`registry check-hub`: where the Hub's model tree and the registry disagree."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from published_family import BASE, BIO, DAPT1, DAPT2, LARGE, card, child, config, publish
from sync_project import Run

from mbrelease.hub.family.asking import Asker, NotReadable

FAMILY = """\
version: 1
family: Science
variants:
  base: {repo: answerdotai/ModernBERT-base, released: true, license: Apache License 2.0}
  large:
    repo: answerdotai/ModernBERT-large
    parents: [{variant: base, relation: weight-initialization}]
    released: true
  bio:
    repo: almanach/ModernBERT-bio-base
    parents: [{variant: base, relation: continued-pretraining}]
    released: true
    license: mit
  v1:
    repo: brettgenz/modernbert-science-dapt-v1
    parents: [{variant: base, relation: continued-pretraining}]
    released: true
  v2:
    repo: brettgenz/modernbert-science-dapt-v2
    parents: [{variant: v1, relation: continued-pretraining}]
    supersedes: v1
    released: true
  planned: {repo: lab/planned, released: false}
  unnamed: {}
"""


@pytest.fixture
def registry(project: Path) -> Path:
    path = project / "registry.yaml"
    path.write_text(FAMILY.replace("{variant: v1,", "{variant: base,"))
    return path


def told(run: Run, *variants: str) -> list[tuple[str, str, str, str]]:
    said = run("check-hub", *variants, "--json")
    found = said.json["disagreements"]
    assert said.code == bool(found)
    return [(d["variant"], d["about"], d["registry"], d["hub"]) for d in found]


def test_where_they_agree_nothing_is_told(family: HfApi, run: Run, registry: Path) -> None:
    said = run("check-hub")
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("5 models read from http://127.0.0.1:")
    assert said.err.endswith(": 0 disagreements\n")


def test_what_differs_is_a_table_of_eighty_columns(family: HfApi, run: Run, registry: Path) -> None:
    long = "a-rather-long-name-of-an-account/and-a-name-of-a-model-that-has-no-end-at-all"
    publish(family, BIO, README=child(f"[{LARGE}, {long}]", license="cc-by-nc-4.0"))
    said = run("check-hub")
    assert said.code == 1
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[:2] for line in lines if "bio" in line and "base_m" in line]
    assert "".join(said.out.split()).count("cc-by-nc-4.0") == 1
    assert said.err.endswith("2 disagreements\n")


@pytest.mark.parametrize(
    ("readme", "registry_says", "hub_says"),
    [
        (child(LARGE, license="mit"), ("base_model", BASE), LARGE),
        (card("license: mit"), ("base_model", BASE), "–"),
        (child(f"[{BASE}, {LARGE}]", license="mit"), ("base_model", BASE), f"{BASE}, {LARGE}"),
        (
            child(BASE, "base_model_relation: quantized", license="mit"),
            ("relation", "finetune (continued-pretraining)"),
            "quantized",
        ),
        (child(BASE), ("license", "mit"), "apache-2.0"),
        (card(f"base_model: {BASE}"), ("license", "mit"), "–"),
        (child(BASE, f"new_version: {DAPT2}", license="mit"), ("new_version", "–"), DAPT2),
    ],
)
def test_each_kind_of_disagreement(
    family: HfApi,
    run: Run,
    registry: Path,
    readme: str,
    registry_says: tuple[str, str],
    hub_says: str,
) -> None:
    publish(family, BIO, README=readme)
    assert told(run) == [("bio", *registry_says, hub_says)]


def test_what_the_hub_guesses_is_told_as_a_guess(family: HfApi, run: Run, registry: Path) -> None:
    publish(family, BIO, adapter="{}")
    expected = ("bio", "relation", "finetune (continued-pretraining)", "adapter (guessed)")
    assert told(run) == [expected]


def test_an_older_card_that_does_not_name_the_newer(
    family: HfApi, run: Run, registry: Path
) -> None:
    publish(family, DAPT1, README=child(BASE))
    assert told(run) == [("v1", "new_version", DAPT2, "–")]
    publish(family, DAPT1, README=child(BASE, f"new_version: {BIO}"))
    assert told(run) == [("v1", "new_version", DAPT2, BIO)]


def test_repos_that_are_gone_renamed_private_or_out_too_early(
    family: HfApi, run: Run, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(family, "lab/planned", README=card("license: mit"))
    family.delete_repo(LARGE)
    family.move_repo(from_id=BIO, to_id="almanach/Bio")
    assert told(run) == [
        ("large", "repo", "released", "it does not exist, or is private"),
        ("bio", "repo", BIO, "almanach/Bio (renamed)"),
        ("planned", "released", "planned", "published"),
    ]
    family.delete_repo("lab/planned")
    publish(family, LARGE, private=True, README=card("license: apache-2.0"))
    assert told(run, "large", "planned") == [
        ("large", "repo", "released", "it does not exist, or is private")
    ]
    monkeypatch.setenv("HF_TOKEN", "hf_" + "Rehearsal" * 4)
    assert told(run, "large", "planned") == [("large", "released", "released", "private")]


def test_only_the_variants_that_were_named_are_compared(
    family: HfApi, run: Run, registry: Path
) -> None:
    publish(family, BIO, README=child(LARGE))
    assert told(run, "base", "unnamed") == []
    assert run("check-hub", "bio").code == 1
    wrong = run("check-hub", "boi")
    assert wrong.code == 2 and "did you mean 'bio'?" in wrong.err


def test_what_a_person_skipped_is_counted_and_no_disagreement(
    family: HfApi, run: Run, registry: Path
) -> None:
    publish(family, BIO, README=child(BASE))
    assert run("sync", BIO, "--skip", f"{BIO}.license").code == 0
    said = run("check-hub")
    assert said.code == 0 and said.err.endswith("0 disagreements, 1 skipped\n")


def test_a_registry_without_repos_has_nothing_to_compare(run: Run, project: Path) -> None:
    (project / "registry.yaml").write_text("version: 1\nfamily: x\nvariants: {a: {}}\n")
    said = run("check-hub", "--json")
    assert said.code == 0
    assert json.loads(said.out)["without_repo"] == ["a"]


def test_what_sync_wrote_agrees(family: HfApi, run: Run, project: Path) -> None:
    publish(family, "lab/q", README=child(BASE, "base_model_relation: quantized"))
    publish(family, "lab/a", README=child(BASE), adapter="{}")
    publish(family, "lab/m", README=child(f"[{BIO}, {DAPT2}]"), config=config())
    assert run("sync", BASE, "--descendants", "--write").code == 0
    assert told(run) == []


@pytest.mark.parametrize("columns", [40, 70])
def test_a_narrow_terminal_gets_whole_words(
    family: HfApi, run: Run, registry: Path, hub_url: str, columns: int
) -> None:
    publish(family, BIO, README=child(LARGE, license="cc-by-nc-4.0"))
    terminal, ours = pty.openpty()
    termios.tcsetwinsize(ours, (24, columns))
    environment = {**os.environ, "HF_ENDPOINT": hub_url, "TERM": "dumb"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "mbrelease.cli.main", "registry", "check-hub"]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=ours, stderr=subprocess.PIPE,
        cwd=registry.parent, check=False,
    )  # fmt: skip
    os.close(ours)
    printed = os.read(terminal, 10_000).decode().replace("\r", "")
    os.close(terminal)
    assert done.returncode == 1, done.stderr
    assert max(map(len, printed.splitlines())) <= columns
    assert "    about: base_model\n" in printed and f"    Hub: {LARGE}\n" in printed


def test_a_hub_that_is_down_is_no_disagreement(
    run: Run, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as held:  # bound and not listening: it refuses
        held.bind(("127.0.0.1", 0))
        hub = f"http://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", hub)
        said = run("check-hub", "base", "bio", "--json")
        assert (said.code, said.json["agree"], said.json["disagreements"]) == (2, None, [])
        assert set(said.json["unreadable"]) == {BASE, BIO}
        assert said.json["unreadable"][BASE].startswith(f"cannot reach {hub}")
        plain = run("check-hub")
        assert (plain.code, plain.out) == (2, "") and f"error: cannot reach {hub}" in plain.err


def test_a_model_that_the_hub_cannot_tell_of_now_is_no_disagreement(
    family: HfApi, run: Run, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_of = Asker.info

    def info(self: Asker, repo_id: str, etag: str | None) -> Any:
        if repo_id == BIO:
            raise NotReadable("the Hub answered 503")
        return told_of(self, repo_id, etag)

    monkeypatch.setattr(Asker, "info", info)
    said = run("check-hub", "--json")
    assert said.code == 2 and said.json["agree"] is None
    assert said.json["unreadable"] == {BIO: "the Hub answered 503"}
    assert len(said.json["models"]) == 4
    publish(family, DAPT1, README=child(BASE))
    said = run("check-hub")
    assert said.code == 1 and f"could not read {BIO}: the Hub answered 503\n" in said.err
