"""Each mistake is told at its line and column, and all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from valid_registry import VALID

from mbrelease.errors import UserError
from mbrelease.registry import composing
from mbrelease.registry.load import load_project

# (what to replace in the valid registry, by what, the complaint)
REPLACED = {
    "unknown relation": ("fine-tuning", "finetuning",
        "17:41: unknown relation 'finetuning', did you mean 'fine-tuning'?"),
    "relation far from all": ("fine-tuning", "xyz",
        "17:41: unknown relation 'xyz'; known are continued-pretraining, fine-tuning, averaging, "
        "merging, distillation, quantization, adapter, context-extension, weight-initialization"),
    "unknown key": ("    suite: science\n", "    siute: science\n",
        "18:5: unknown key 'siute' in variants.child, did you mean 'suite'?"),
    "unknown key of a task": ("type: mlm,", "type: mlm, mask_rat: 0.3,",
        "5:30: unknown key 'mask_rat' in suites.science[0], did you mean 'mask_rate'?"),
    "unknown key at the top": ("family: Owls", "family: Owls\nvariant: {}",
        "3:1: unknown key 'variant', did you mean 'variants'?"),
    "wrong type": ("repo: owls/child", "repo: owls/child\n    training: {tokens: many}",
        "17:24: tokens should be a whole number, not the text 'many'"),
    "a number for text": ("family: Owls", "family: 3",
        "2:9: family should be text, not the number 3; put it in quotes"),
    "a mapping for a list": ("[{variant: base, relation: fine-tuning}]", "{variant: base}",
        "17:14: parents should be a list, not a mapping"),
    "nothing for a mapping": ("base: {repo: owls/base}", "base:",
        "14:3: base should be a mapping (key: value), not nothing"),
    "wrong in every branch": ("    suite:", "    candidates: {checkpoints: some}\n    suite:",
        "18:31: checkpoints should be 'all' or a list, not the text 'some'"),
    "wrong within a branch": ("    suite:", "    candidates: {checkpoints: [1, x]}\n    suite:",
        "18:35: checkpoints[1] should be a whole number, not the text 'x'"),
    "out of bounds": ("margin: 0.02", "margin: -1",
        "11:45: margin should be at least 0, not -1"),
    "missing key": (", margin: 0.02", "",
        "11:18: missing key 'margin' in policies.science.guardrails[0]"),
    "missing key at the top": ("family: Owls\n", "", "1:1: missing key 'family'"),
    "missing type of a task": ("type: mlm, ", "", "5:7: missing key 'type' in suites.science[0]"),
    "unknown type of a task": ("type: mlm,", "type: mml,",
        "5:25: unknown type 'mml', did you mean 'mlm'?"),
    "unknown version": ("version: 1", "version: 2", "1:10: version should be 1, not the number 2"),
    "no repo id": ("repo: owls/child", "repo: a/b/c",
        "16:11: repo 'a/b/c' is no repo id (org/name)"),
    "lost parent": ("variant: base,", "variant: bas,",
        "17:25: parent 'bas' is not in the registry, did you mean 'base'?"),
    "parent twice": ("[{variant: base,", "[{variant: base, relation: merging}, {variant: base,",
        "17:61: parent 'base' is given twice"),
    "lost suite": ("    suite: science", "    suite: sience",
        "18:12: suite 'sience' is not in the registry, did you mean 'science'?"),
    "lost policy": ("    policy: science", "    policy: arts",
        "19:13: policy 'arts' is not in the registry"),
    "lost reference": ("reference: base", "reference: bases",
        "12:16: reference 'bases' is not in the registry, did you mean 'base'?"),
    "lost alias": ("production: child", "production: chil",
        "20:23: variant 'chil' is not in the registry, did you mean 'child'?"),
    "alias like a variant": ("production: child", "base: child",
        "20:11: alias 'base' is also the name of a variant"),
    "lost supersedes": ("    suite:", "    supersedes: bass\n    suite:",
        "18:17: superseded variant 'bass' is not in the registry, did you mean 'base'?"),
    "supersedes itself": ("    suite:", "    supersedes: child\n    suite:",
        "18:17: cycle in supersedes: child → child"),
    "one repo twice": ("repo: owls/child", "repo: Owls/Base",
        "16:11: repo 'Owls/Base' is already that of variant 'base'"),
    "task twice": ("name: find", "name: mlm",
        "6:14: task 'mlm' is given twice in suite 'science'"),
    "probe without train": ("train: t.jsonl, ", "",
        "7:42: task 'sort' trains a probe and needs data.train"),
    "no such task": ("primary: find/", "primary: fnd/",
        "10:14: no task 'fnd' in suite 'science', did you mean 'find'? (of variant 'child')"),
    "no such metric": ("mlm/loss", "mlm/los",
        "11:27: task 'mlm' of suite 'science' has no metric 'los', did you mean 'loss'? "
        "(of variant 'child')"),
    "metric not measured": ("find/recall@1", "find/recall@7",
        "10:14: task 'find' of suite 'science' has no metric 'recall@7', did you mean 'recall@1'? "
        "(of variant 'child')"),
    "metric without task": ("find/recall@1", "loss",
        "10:14: metric 'loss' should be task/metric, such as section/macro_f1"),
    "no retrieval metric": ("metrics: [recall@1, mrr]", "metrics: [recall@1, mrr, ndgc@5]",
        "6:86: metrics[2] 'ndgc@5' is no retrieval metric; there are recall@K, ndcg@K and mrr"),
    "a name that leaves its folder": ("  child:", "  ../child:",
        "15:3: name '../child' may hold letters, digits, '.', '_' and '-', and starts with a "
        "letter or digit"),
    "key twice": ("family: Owls", "family: Owls\nfamily: Jays",
        "3:1: key 'family' is given twice, first on line 2"),
    "merge key": ("base: {repo: owls/base}", "base: {<<: {}}",
        "14:10: merge keys (<<) are not supported; write them out"),
    "tag": ("family: Owls", "family: !!python/name:os.system Owls",
        "2:9: tag !!python/name:os.system is not allowed here"),
    "not a number": ("margin: 0.02", "margin: .nan",
        "11:45: margin should be a finite number, not the number nan"),
    "another base or not": ("repo: owls/child", "repo: owls/child\n    training: {tokens: 010}",
        "17:24: tokens should be a whole number, not the text '010'"),
    "yes is text": ("{repo: owls/base}", "{repo: owls/base, released: yes}",
        "14:37: released should be true or false, not the text 'yes'"),
    "colon in text": ("family: Owls", "family: Owls: night",
        "2:13: not YAML: mapping values are not allowed in this context; "
        "put text that contains ': ' in quotes"),
    "control character": ("Owls", "Ow\x07ls", "2:11: control character U+0007 is not allowed"),
    "alias of nothing": ("family: Owls", "family: *owls", "2:9: alias *owls is not defined above"),
    "second document": ("family: Owls", "family: Owls\n---\nfamily: Jays",
        "3:1: a registry is one YAML document; this starts another"),
    "key that is a list": ("family: Owls", "family: Owls\n? [a, b]\n: 3",
        "3:3: a key must be plain text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLACED)
def test_mistake_is_told_at_its_place(name, mistakes):
    old, new, complaint = REPLACED[name]
    assert old in VALID
    # A mistake may bring others with it; this one must be among them.
    assert f"registry.yaml:{complaint}" in mistakes(VALID.replace(old, new, 1))


def test_the_valid_registry_has_none(mistakes):
    assert mistakes(VALID) == []


def test_all_at_once_and_in_order(mistakes):
    text = VALID.replace("family: Owls", "famly: Owls").replace("variant: base,", "variant: x,")
    text = text.replace("    suite: science", "    suite: 5")
    assert mistakes(text) == [
        "registry.yaml:1:1: missing key 'family'",
        "registry.yaml:2:1: unknown key 'famly', did you mean 'family'?",
        "registry.yaml:17:25: parent 'x' is not in the registry",
        "registry.yaml:18:12: suite should be text, not the number 5; put it in quotes",
    ]


def test_cycle_of_parents(mistakes):
    text = """\
version: 1
family: x
variants:
  a: {parents: [{variant: c, relation: merging}]}
  b: {parents: [{variant: a, relation: merging}]}
  c:
    parents:
      - {variant: root, relation: merging}
      - {variant: b, relation: merging}
  root: {}
"""
    assert mistakes(text) == ["registry.yaml:4:27: cycle in parents: a → c → b → a"]


def test_long_chains_are_no_cycles_and_no_recursion(mistakes):
    chain = "".join(
        f"  v{i}: {{parents: [{{variant: v{i + 1}, relation: merging}}]}}\n" for i in range(3000)
    )
    assert mistakes(f"version: 1\nfamily: x\nvariants:\n{chain}  v3000: {{}}\n") == []


def test_supersedes_loop(mistakes):
    text = "version: 1\nfamily: x\nvariants:\n  a: {supersedes: b}\n  b: {supersedes: a}\n"
    assert mistakes(text) == ["registry.yaml:4:19: cycle in supersedes: a → b → a"]


def test_tabs(mistakes):
    text = "version: 1\nfamily: x\nvariants:\n\ta: {}\n\tb: {}\n"
    said = "tab in the indentation; use spaces"
    assert mistakes(text) == [f"registry.yaml:4:1: {said}", f"registry.yaml:5:1: {said}"]


def test_merge_conflict(mistakes):
    text = "version: 1\n<<<<<<< HEAD\nfamily: x\n=======\nfamily: y\n>>>>>>> other\nvariants: {}\n"
    assert mistakes(text) == [
        "registry.yaml:2:1: merge-conflict marker '<<<<<<<'; resolve the conflict",
        "registry.yaml:4:1: merge-conflict marker '======='; resolve the conflict",
        "registry.yaml:6:1: merge-conflict marker '>>>>>>>'; resolve the conflict",
    ]


def test_latin_1(mistakes):
    said = ["registry.yaml:2:12: byte 0xe9 is not UTF-8; save the file as UTF-8"]
    assert mistakes(b"version: 1\nfamily: caf\xe9\n") == said


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff"])
def test_empty(text, mistakes):
    assert mistakes(text) == ["registry.yaml:1:1: the registry is empty"]


def test_a_list_is_no_registry(mistakes):
    (said,) = mistakes("- a\n")
    assert said.endswith("not a list")


def test_aliases_share_values_and_places(mistakes):
    text = """\
version: 1
family: x
variants:
  a: {card: &card {limitations: 5}}
  b: {card: *card}
"""
    # Told where it stands, once.
    said = "limitations should be a list, not the number 5"
    assert mistakes(text) == [f"registry.yaml:4:33: {said}"]


def test_yaml_bomb_stops(mistakes):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    (said,) = mistakes(bomb)
    assert said.endswith("aliases repeat more than 100,000 values")


def test_an_alias_in_itself(mistakes):
    assert mistakes("a: &a [*a]\n") == ["registry.yaml:1:8: alias *a contains itself"]


def test_deep_nesting_stops(mistakes):
    assert mistakes("[" * 5000) == ["registry.yaml:1:42: nested more than 40 deep"]


def test_without_libyaml_the_same_is_said(mistakes, monkeypatch):
    with_libyaml = mistakes(VALID.replace("fine-tuning", "finetuning"))
    monkeypatch.setattr(composing, "PARSER", yaml.SafeLoader)
    assert mistakes(VALID) == []
    assert mistakes(VALID.replace("fine-tuning", "finetuning")) == with_libyaml
    tab = "version: 1\nvariants:\n\ta: {}\n"
    assert mistakes(tab) == ["registry.yaml:3:1: tab in the indentation; use spaces"]


def test_crlf_and_byte_order_mark_shift_nothing(mistakes):
    text = "\ufeff" + VALID.replace("fine-tuning", "finetuning").replace("\n", "\r\n")
    said = "unknown relation 'finetuning', did you mean 'fine-tuning'?"
    assert mistakes(text) == [f"registry.yaml:17:41: {said}"]


def test_the_path_is_shown_relative_only_below_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "here/deep").mkdir(parents=True)
    (tmp_path / "here/deep/registry.yaml").write_text("version: 1\n")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match=r"^deep/registry\.yaml:1:1: missing key 'family'"):
        load_project(Path("deep/registry.yaml"))
    monkeypatch.chdir(tmp_path / "here/deep")
    with pytest.raises(UserError, match=r"^registry\.yaml:1:1"):
        load_project()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"^{tmp_path}/here/deep/registry.yaml:1:1"):
        load_project(tmp_path / "here/deep/registry.yaml")


def test_the_nearest_registry_above_is_found(tmp_path, monkeypatch):
    (tmp_path / "registry.yaml").write_text(VALID)
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    assert load_project().root == tmp_path.resolve()


def test_no_file_and_no_registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no registry\.yaml in .* or above"):
        load_project()
    with pytest.raises(UserError, match=r"^gone\.yaml does not exist$"):
        load_project(Path("gone.yaml"))
    with pytest.raises(UserError, match=r"^cannot read"):
        load_project(tmp_path)


def test_one_long_text_repeated_stops(mistakes):
    text = f'family: &a "{"x" * 100_000}"\nvariants: [{", ".join(["*a"] * 200)}]\n'
    (said,) = mistakes(text)
    assert said.endswith("aliases repeat more than 100,000 values")
