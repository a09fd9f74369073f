"""`registry sync`: what it proposes, what it writes, what it remembers."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from published_family import BASE, BIO, DAPT1, DAPT2, LARGE, card, child, config, publish
from sync_project import Run

from mbrelease.registry.load import load_project

SPACE = " "
DIFF = f"""\
--- a/registry.yaml
+++ b/registry.yaml
@@ -8,8 +8,31 @@
     license: apache-2.0
     languages: [en]
     sources: [answerdotai/ModernBERT-base]
-    architecture: {{parameters: 149_000_000}}
+    architecture: {{parameters: 149_000_000, layers: 22, hidden_size: 768, attention_heads: 12, \
intermediate_size: 1152, context: 8192, vocabulary: 50368, activation: GeLU, linear_bias: false, \
global_attention_every: 3, local_window: 128, norm_epsilon: 1e-05, norm_bias: false, \
rope_theta: 160000, local_rope_theta: 10000}}
{SPACE}
   # To be trained.
   own:
     parents: [{{variant: base, relation: fine-tuning}}]
+
+  modernbert-bio-base:
+    repo: almanach/ModernBERT-bio-base
+    parents: [{{variant: base, relation: continued-pretraining}}]
+    released: true
+    license: mit
+    languages: [en]
+    sources: [almanach/ModernBERT-bio-base]
+    architecture:
+      layers: 22
+      hidden_size: 768
+      attention_heads: 12
+      intermediate_size: 1152
+      context: 8192
+      vocabulary: 50368
+      activation: GeLU
+      linear_bias: false
+      global_attention_every: 3
+      local_window: 128
+      norm_epsilon: 1e-05
+      norm_bias: false
+      rope_theta: 160000
+      local_rope_theta: 10000
"""


def test_a_model_and_its_base_are_proposed_as_a_diff(
    family: HfApi, run: Run, project: Path
) -> None:
    before = (project / "registry.yaml").read_text()
    said = run("sync", BIO)
    assert said.code == 0
    assert said.out == DIFF
    commits = {repo: family.model_info(repo).sha[:7] for repo in (BIO, BASE)}
    assert said.err.splitlines() == [
        f"read {BIO} at {commits[BIO]}",
        f"read {BASE} at {commits[BASE]}",
        "2 models read: 1 variant and 14 facts proposed for registry.yaml; --write writes it",
    ]
    assert (project / "registry.yaml").read_text() == before
    assert sorted(path.name for path in project.iterdir()) == [".mbrelease", "registry.yaml"]


def test_the_diff_is_one_that_git_applies(family: HfApi, run: Run, project: Path) -> None:
    patch = run("sync", BIO, DAPT2).out
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=project, check=True)
    applied = (project / "registry.yaml").read_text()
    assert run("sync", BIO, DAPT2).out == ""
    (project / "registry.yaml").write_text(applied.split("\n\n  modernbert")[0] + "\n")
    assert run("sync", BIO, DAPT2, "--write").code == 0
    assert (project / "registry.yaml").read_text() == applied


def test_what_was_written_is_not_proposed_again(family: HfApi, run: Run, project: Path) -> None:
    first = run("sync", BASE, "--descendants", "--write")
    assert "3 variants and 14 facts written to registry.yaml" in first.err
    written = (project / "registry.yaml").read_bytes()
    again = run("sync", BASE, "--descendants", "--write")
    assert (again.code, again.out) == (0, "")
    assert "4 models read: nothing to add to registry.yaml" in again.err
    assert (project / "registry.yaml").read_bytes() == written
    assert run("lint").code == 0


def test_a_newer_version_is_followed_and_supersedes(family: HfApi, run: Run) -> None:
    run("sync", DAPT1, "--write")
    variants = load_project().registry.variants
    assert variants["modernbert-science-dapt-v2"].supersedes == "modernbert-science-dapt-v1"


def test_without_ids_the_repos_of_the_registry_are_read(family: HfApi, run: Run) -> None:
    assert run("sync", "--json").json["models"][0]["id"] == BASE
    assert [m["id"] for m in run("sync", "--json").json["models"]] == [BASE]


def test_what_the_registry_says_stays_and_is_told(family: HfApi, run: Run, project: Path) -> None:
    text = (project / "registry.yaml").read_text()
    text = text.replace("apache-2.0", "mit").replace("149_000_000", "150_000_000, layers: 21")
    (project / "registry.yaml").write_text(text.replace("[en]", "[en, code]"))
    said = run("sync", BASE, "--write")
    for told in (
        "base: license is mit here and apache-2.0 on the Hub",
        "base: languages is en, code here and en on the Hub",
        "base: architecture.layers is 21 here and 22 on the Hub",
    ):
        assert told in said.err.splitlines()
    base = load_project().registry.variants["base"]
    assert (base.license, base.languages) == ("mit", ["en", "code"])
    assert base.architecture is not None
    assert (base.architecture.layers, base.architecture.hidden_size) == (21, 768)
    # 149,655,232 is not 150 million; it is 149 million, as the card rounds it.
    assert (
        "base: architecture.parameters is 150000000 here and 149655232 on the Hub" not in said.err
    )


def test_a_rounding_is_no_disagreement(family: HfApi, run: Run, project: Path) -> None:
    text = (project / "registry.yaml").read_text()
    for stated, agrees in {
        "149_655_232": 1,
        "149_700_000": 1,
        "150_000_000": 1,
        "148_000_000": 0,
        "100_000_000": 0,
    }.items():
        (project / "registry.yaml").write_text(text.replace("149_000_000", stated))
        assert ("architecture.parameters" not in run("sync", BASE).err) == agrees, stated


def test_what_the_defaults_say_is_not_repeated(family: HfApi, run: Run, project: Path) -> None:
    defaults = "defaults: {license: apache-2.0, languages: [en]}\nvariants: {}\n"
    (project / "registry.yaml").write_text(f"version: 1\nfamily: x\n{defaults}")
    run("sync", BIO, "--write")
    text = (project / "registry.yaml").read_text()
    assert text.count("license:") == 2 and "license: mit" in text and text.count("languages") == 1


def test_one_that_cannot_be_read_does_not_stop_the_others(
    family: HfApi, run: Run, project: Path
) -> None:
    publish(family, "lab/secret", private=True, README=card("license: mit"))
    publish(family, "lab/orphan", README=child("lab/never", "tags: [dapt]"), config=config())
    said = run("sync", "lab/orphan", "lab/secret", BIO, "--write")
    assert said.code == 1
    told = said.err.splitlines()
    assert "could not read lab/never: it does not exist, or is private" in told
    assert "could not read lab/secret: it does not exist, or is private" in told
    text = (project / "registry.yaml").read_text()
    assert "\n  # open: its base model lab/never could not be read\n  orphan:\n" in text
    assert "modernbert-bio-base" in load_project().registry.variants


def test_with_a_token_a_private_model_is_read_and_not_called_released(
    family: HfApi, run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "hf_" + "Rehearsal" * 4
    publish(family, "lab/secret", private=True, README=child(BASE, "tags: [dapt]"))
    monkeypatch.setenv("HF_TOKEN", token)
    said = run("sync", "lab/secret", "--write")
    assert load_project().registry.variants["secret"].released is None
    assert "# open: private on the Hub" in (project / "registry.yaml").read_text()
    kept = "".join(path.read_text() for path in project.rglob("*") if path.is_file())
    assert token not in said.out + said.err + kept


OPEN = "  # open: was it fine-tuning of base? the card does not say how"


def test_a_guess_is_marked_and_an_answer_kept(family: HfApi, run: Run, project: Path) -> None:
    publish(family, "lab/owl", README=child(BASE))
    first = run("sync", "lab/owl")
    assert f"+{OPEN}" in first.out and "relation: fine-tuning}" in first.out
    assert first.code == 0
    answered = run("sync", "lab/owl", "--answer", "lab/owl.relation=context-extension")
    assert "relation: context-extension}" in answered.out and "# open: was" not in answered.out
    assert "kept in registry.answers.json" in answered.err
    assert json.loads((project / "registry.answers.json").read_text()) == {
        "version": 1,
        "answers": {"lab/owl": {"relation": "context-extension"}},
    }
    assert run("sync", "lab/owl").out == answered.out
    run("sync", "lab/owl", "--write")
    assert run("sync", "lab/owl").out == ""


def test_what_was_skipped_is_never_proposed_again(family: HfApi, run: Run, project: Path) -> None:
    skips = [f"{BIO}.license", f"{BIO}.architecture.norm_bias", f"{BASE}.architecture", DAPT1]
    options = [part for skip in skips for part in ("--skip", skip)]
    said = run("sync", BASE, "--descendants", *options)
    assert "license: mit" not in said.out and "norm_bias" in said.out
    assert said.out.count("norm_bias") == 1  # of the third
    assert "dapt-v1" not in said.out and "hidden_size: 768, " not in said.out
    assert run("sync", BASE, "--descendants").out == said.out
    run("sync", BASE, "--descendants", "--write")
    assert run("sync", BASE, "--descendants").out == ""
    answers = json.loads((project / "registry.answers.json").read_text())["answers"]
    assert answers[BIO] == {"skip": ["architecture.norm_bias", "license"]}
    assert answers[DAPT1] == {"skip": "all"}


def test_a_name_may_be_chosen_and_is_made_unique(family: HfApi, run: Run) -> None:
    publish(family, "lab/Own", README=child(BASE, "tags: [dapt]"))
    publish(family, "lab2/own", README=child(BASE, "tags: [dapt]"))
    names = [
        each["name"] for each in run("sync", "lab/Own", "lab2/own", "--json").json["additions"]
    ]
    assert names == ["lab-own", "lab2-own"]
    named = run("sync", "lab/Own", "--answer", "lab/Own.name=owl", "--json").json["additions"]
    assert [each["name"] for each in named] == ["owl"]
    publish(family, "lab/owl", README=child(BASE, "tags: [dapt]"))
    both = run("sync", "lab/owl", "lab/Own", "--json").json["additions"]
    assert {each["repo"]: each["name"] for each in both} == {"lab/owl": "lab-owl", "lab/Own": "owl"}
    again = run("sync", "lab/owl", "--answer", "lab/owl.name=owl")
    assert again.code == 2
    assert "lab/owl cannot be called owl: lab/own is called so in registry.answers" in again.err


def test_an_address_of_a_page_is_as_good_as_an_id(family: HfApi, run: Run, hub_url: str) -> None:
    whole = run("sync", BIO).out
    below = f"http://hf.co/{BIO}/blob/main/config.json?x=1#L2"
    for given in (f"{hub_url}/{BIO}", f"https://HuggingFace.co/{BIO}/", below):
        assert run("sync", given).out == whole, given
    lost = run("sync", "https://huggingface.co/bert-base-uncased/tree/main")
    assert lost.code == 1 and "could not read bert-base-uncased: " in lost.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["../x"], "error: '../x' is a path, and readers of the card do not have it"),
        (["a/b/c"], "error: 'a/b/c' is no id of a model: it has more than one '/'"),
        (["https://example.org/a/b"], "error: 'https://example.org/a/b' is no page of http://127"),
        (["https://huggingface.co/datasets/a/b"], "is no page of a model"),
        (["https://huggingface.co/"], "is no page of http://127"),
        ([BIO, "--answer", f"{BIO}.name=Base"], f"{BIO} cannot be called Base: the registry has"),
        (
            [BIO, "--answer", f"{BIO}.name=x", "--answer", f"{DAPT1}.name=X"],
            f"{DAPT1} cannot be called X: {BIO} is to be called so",
        ),
        (["a/b\x1b[2J"], "error: 'a/b\\x1b[2J' is no id of a repository"),
        ([BIO, "--answer", "x"], "error: --answer x is no answer"),
        ([BIO, "--answer", f"{BIO}.relation=finetuning"], "did you mean 'fine-tuning'?"),
        ([BIO, "--answer", f"{BIO}.name=a b"], "'a b' is no name for a variant"),
        ([BIO, "--skip", f"{BIO}.architecture.layer"], "did you mean 'layers'?"),
        ([BASE, "--answer", f"{BASE}.name=x"], "mbrelease registry rename base x"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_asked(
    run: Run, project: Path, arguments: list[str], told: str
) -> None:
    said = run("sync", *arguments)
    assert said.code == 2 and told in said.err
    assert [path.name for path in project.iterdir()] == ["registry.yaml"]


def test_answers_of_another_making_are_told(family: HfApi, run: Run, project: Path) -> None:
    path = project / "registry.answers.json"
    path.write_text('{"version": 1, "answers": {"a/b": {"relation": "cousin"}}}')
    said = run("sync", BIO)
    assert said.code == 2 and "registry.answers.json: answers.a/b.relation" in said.err
    path.write_text("{")
    assert run("sync", BIO).code == 2


def test_a_merge_has_several_parents(family: HfApi, run: Run) -> None:
    bases = f"[{BIO}, {DAPT2}]"
    mergekit = (
        f"merge_method: ties\nmodels: [{{model: {BIO}}}, {{model: {DAPT2}}}, {{model: a/b}}]\n"
    )
    publish(family, "lab/merge", README=child(bases), config=config(), mergekit=mergekit)
    said = run("sync", "lab/merge", "--write")
    assert [(p.variant, p.relation) for p in load_project().variant("merge").parents] == [
        ("modernbert-bio-base", "merging"),
        ("modernbert-science-dapt-v2", "merging"),
    ]
    assert "lab/merge was merged of models that its card does not name: a/b" in said.err


def test_a_circle_of_base_models_is_cut_and_told(family: HfApi, run: Run) -> None:
    publish(family, "lab/a", README=child("lab/b", "tags: [dapt]"))
    publish(family, "lab/b", README=child("lab/c", "tags: [dapt]"))
    publish(family, "lab/c", README=child("lab/a", "tags: [dapt]"))
    publish(family, "lab/self", README=child("lab/self"))
    publish(family, "lab/n1", README=child(BASE, "new_version: lab/n2", "tags: [dapt]"))
    publish(family, "lab/n2", README=child(BASE, "new_version: lab/n1", "tags: [dapt]"))
    said = run("sync", "lab/a", "lab/self", "lab/n1", "--write")
    assert said.code == 0
    assert said.err.count("name each other as base models") == 2
    assert "each name the other as the newer version" in said.err
    assert run("lint").code == 0 and len(load_project().registry.variants) == 8


def test_in_a_registry_of_several_files_each_is_changed_where_it_stands(
    family: HfApi, run: Run, project: Path
) -> None:
    whole = (project / "registry.yaml").read_text()
    (project / "variants").mkdir()
    (project / "variants" / "ours.yaml").write_text("variants:" + whole.split("variants:")[1])
    (project / "registry.yaml").write_text("version: 1\nfamily: x\ninclude: [variants/*.yaml]\n")
    said = run("sync", BIO)
    assert said.out.startswith("--- a/variants/ours.yaml\n+++ b/variants/ours.yaml\n")
    assert said.out.count("--- a/") == 1
    name = "registry.yaml"
    (project / name).write_text((project / name).read_text() + "variants:\n  here: {}\n")
    written = run("sync", BIO, "--write")
    assert "written to registry.yaml and variants/ours.yaml\n" in written.err
    assert load_project().defined_in("modernbert-bio-base")[0].name == "registry.yaml"
    (project / name).write_text((project / name).read_text().split("variants:\n")[0])
    run("sync", BIO, "--write")
    place, _ = load_project().defined_in("modernbert-bio-base")
    assert place.name == "ours.yaml"


def test_of_too_many_models_some_are_left_out_and_counted(family: HfApi, run: Run) -> None:
    said = run("sync", BASE, "--descendants", "--limit", "2")
    assert said.out.count("+    repo:") == 1
    assert "there are more models than --limit 2" in said.err


def test_json_holds_all_of_it(family: HfApi, run: Run) -> None:
    publish(family, "lab/owl", README=child(BASE))
    said = run("sync", "lab/owl", "--json")
    assert said.err == ""
    answer = said.json
    assert answer["diff"].startswith("--- a/registry.yaml") and not answer["changed"]
    assert answer["questions"][0]["guess"] == "fine-tuning"
    assert answer["additions"][0]["entry"]["parents"] == [
        {"variant": "base", "relation": "fine-tuning"}
    ]
    assert {model["id"]: len(model["commit"]) for model in answer["models"]} == {
        "lab/owl": 40,
        BASE: 40,
    }


def test_a_large_model_has_another_shape(family: HfApi, run: Run) -> None:
    publish(family, "lab/wide", README=child(BASE), config=config(num_hidden_layers=28))
    question = run("sync", "lab/wide", "--json").json["questions"][0]
    assert question["guess"] == "fine-tuning"
    assert LARGE not in question["why"]
    # What sync guesses, check-hub has nothing to say against, nor has the next sync.
    assert run("sync", "lab/wide", "--write").code == 0
    assert run("check-hub").code == 0
    assert "here and" not in run("sync", "lab/wide").err


def test_on_a_terminal_a_person_is_asked(
    family: HfApi, run: Run, project: Path, hub_url: str
) -> None:
    publish(family, "lab/owl", README=child(BASE))
    publish(family, "lab/owlet", README=child("lab/owl"))
    terminal, ours = pty.openpty()
    env = {**os.environ, "HF_ENDPOINT": hub_url, "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "mbrelease.cli.main", "registry", "sync", "lab/owlet"]
    with subprocess.Popen(
        command, cwd=project, env=env, stdin=ours, stderr=ours, stdout=subprocess.PIPE, text=True
    ) as process:
        os.close(ours)
        shown = ""
        for answer in ("cousin\n", "distillation\n", "\n"):
            while not shown.rstrip().endswith("[later]:"):
                shown += os.read(terminal, 1000).decode()
            os.write(terminal, answer.encode())
            shown += answer
        assert process.stdout is not None
        diff = process.stdout.read()
        process.wait()
    os.close(terminal)
    assert "lab/owl: how was it made from base?" in shown
    assert "the card does not say how, and there are no two configs to compare; perhaps " in shown
    assert "[{variant: base, relation: distillation}]" in diff
    assert "+  # open: was it fine-tuning of owl? the card does not say how" in diff
    assert run("sync", "lab/owlet").out == diff
