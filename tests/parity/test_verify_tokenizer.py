"""The tokenizer: one deliberate fault for each check, and how it is told from the parent's."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.checks.encoding import check_encoding, encode
from mbrelease.parity.checks.tokenizer import check_tokenizer, check_unused
from mbrelease.parity.report import CheckResult
from mbrelease.parity.texts import TEXTS
from mbrelease.parity.tokenizer_file import read_tokenizer
from mbrelease.parity.verify import verify

Change = Callable[[Any], None]


def spoil(folder: Path, change: Change, name: str = "tokenizer.json") -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def asked(
    folder: Path, parent: Path | None = None, *, new_vocabulary: bool = False
) -> dict[str, CheckResult]:
    checkpoint = open_checkpoint(folder)
    results = check_tokenizer(
        checkpoint,
        normal_form(checkpoint.raw_config),
        publishable=True,
        parent=None if parent is None else open_checkpoint(parent),
        new_vocabulary=new_vocabulary,
    )
    by_name = {result.name: result for result in results}
    assert len(by_name) == len(results), "each check answers once"
    assert all(r.mend for r in results if r.status in ("fail", "warn"))
    return by_name


def not_passed(results: dict[str, CheckResult]) -> dict[str, str]:
    return {name: result.status for name, result in results.items() if result.status != "pass"}


@pytest.fixture
def parent(released: Path, tmp_path: Path) -> Path:
    """A parent with two slots for tokens of one's own."""
    folder = Path(shutil.copytree(released, tmp_path / "parent"))

    def add(content: Any) -> None:
        for index in range(2):
            entry = content["added_tokens"][0] | {"id": 270 + index, "content": f"[unused{index}]"}
            content["added_tokens"].append(entry | {"special": False})

    spoil(folder, add)
    return folder


@pytest.fixture
def child(parent: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(parent, tmp_path / "child"))


def test_the_same_file_passes_and_needs_no_look_at_its_parts(parent, child):
    results = asked(child, parent)
    assert not_passed(results) == {}
    assert "tokenizer.merges" not in results
    assert "the same file, sha256 " in results["tokenizer.parent"].found
    assert results["tokenizer.unused"].found == "2 [unusedN] tokens, 23 rows without a token"
    assert results["tokenizer.mask"].found == "[MASK] takes the space before it, as the parent's"
    assert "50 texts, " in results["tokenizer.encoding"].found


def test_the_same_rules_in_another_layout_pass(parent, child):
    def older(content: Any) -> None:
        merges = content["model"]["merges"]
        content["model"]["merges"] = [p if isinstance(p, str) else " ".join(p) for p in merges]
        content["model"]["vocab"] = dict(reversed(content["model"]["vocab"].items()))
        content["model"].pop("fuse_unk")  # false is what is meant where it is left out

    spoil(child, older)
    results = asked(child, parent)
    assert not_passed(results) == {}
    assert results["tokenizer.parent"].found == "the same rules in another file"
    assert results["tokenizer.vocabulary"].found == "the same tokens under the same ids"
    assert results["tokenizer.merges"].found == "the same merges in the same order"


def renamed(content: Any) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["xyz"] = vocabulary.pop("the")
    content["model"]["merges"] = content["model"]["merges"][:1]


def swapped(content: Any) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["q"], vocabulary["Q"] = vocabulary["Q"], vocabulary["q"]


def other_merges(content: Any) -> None:
    content["model"]["vocab"]["he"] = content["model"]["vocab"].pop("th")
    content["model"]["merges"] = [["h", "e"], ["t", "he"]]


def lowercased(content: Any) -> None:
    content["normalizer"] = {"type": "Lowercase"}


def flagged(content: Any) -> None:
    content["added_tokens"][5]["rstrip"] = True


def mask_without_lstrip(content: Any) -> None:
    content["added_tokens"][4]["lstrip"] = False


AGAINST_PARENT = {
    "a token renamed": (
        renamed,
        {"tokenizer.vocabulary", "tokenizer.merges", "tokenizer.encoding"},
        "1 added: xyz; 1 lost: the",
    ),
    "two ids swapped": (
        swapped,
        {"tokenizer.vocabulary", "tokenizer.encoding"},
        "2 with another id: Q ",
    ),
    "other merges": (
        other_merges,
        {"tokenizer.vocabulary", "tokenizer.merges", "tokenizer.encoding"},
        "2 added; 2 lost; the first to differ is number 1",
    ),
    "a normalizer": (
        lowercased,
        {"tokenizer.parent", "tokenizer.encoding"},
        "another normalizer",
    ),
    "an option of the model": (
        lambda content: content["model"].update(ignore_merges=True),
        {"tokenizer.parent"},
        "another ignore_merges of the model",
    ),
    "a flag of an added token": (flagged, {"tokenizer.parent"}, "[unused0] rstrip true"),
    "a mask that leaves the space": (
        mask_without_lstrip,
        {"tokenizer.mask", "tokenizer.encoding"},
        "lstrip false: [MASK] leaves the space before it",
    ),
}


@pytest.mark.parametrize(("change", "names", "found"), AGAINST_PARENT.values(), ids=AGAINST_PARENT)
def test_another_tokenizer_than_the_parents_is_told_apart(parent, child, change, names, found):
    spoil(child, change)
    results = asked(child, parent)
    assert not_passed(results) == dict.fromkeys(names, "fail")
    assert any(found in results[name].found for name in names), results


def test_what_the_encoding_differs_in_is_shown(parent, child):
    spoil(child, swapped)
    found = asked(child, parent)["tokenizer.encoding"].found
    assert "of 50 differ, such as 'The quick brown fox jump…': [1, " in found
    assert "(parent [1, " in found


def test_another_vocabulary_that_is_declared_is_told_and_passes(parent, child):
    spoil(child, renamed)
    results = asked(child, parent, new_vocabulary=True)
    assert not_passed(results) == {}
    assert "1 lost: the (another vocabulary is declared)" in results["tokenizer.vocabulary"].found
    assert "parent" not in results["tokenizer.encoding"].found


def test_a_slot_with_a_new_use_is_a_remark(parent, child):
    spoil(child, lambda content: content["added_tokens"][6].update(content="[DRUG]"))
    results = asked(child, parent)
    assert not_passed(results) == {"tokenizer.unused": "warn"}
    assert "1 given to new tokens: [DRUG] for [unused1]" in results["tokenizer.unused"].found


def test_a_left_over_truncation_is_a_remark_and_does_not_cut_our_texts(parent, child):
    left = {"max_length": 8, "direction": "Right", "strategy": "LongestFirst", "stride": 0}
    spoil(child, lambda content: content.update(truncation=left))
    results = asked(child, parent)
    assert not_passed(results) == {"tokenizer.parent": "warn"}
    assert results["tokenizer.parent"].found == "another truncation"


def test_other_roles_than_the_parents(parent, child):
    def role(content: Any) -> None:
        content.update(cls_token="[SEP]", sep_token="[CLS]")

    spoil(child, role, "tokenizer_config.json")
    results = asked(child, parent)
    assert results["tokenizer.roles"].status == "fail"
    assert results["tokenizer.roles"].found == (
        "sep_token [CLS] 1 (parent [SEP] 2); cls_token [SEP] 2 (parent [CLS] 1)"
    )
    spoil(child, lambda content: content.pop("pad_token"), "tokenizer_config.json")
    spoil(child, lambda content: content.update(cls_token="[CLS]", sep_token="[SEP]"),
          "tokenizer_config.json")  # fmt: skip
    results = asked(child, parent)
    assert not_passed(results) == {"tokenizer.roles": "warn"}
    assert results["tokenizer.roles"].found == "no pad_token (parent [PAD])"


def test_texts_cut_earlier_than_the_parents_are_a_remark(parent, child, edit_json):
    edit_json(child / "tokenizer_config.json", model_max_length=64)
    result = asked(child, parent)["tokenizer.length"]
    assert (result.status, result.found) == (
        "warn",
        "64, where the parent's is 128 and the model has 128 positions",
    )
    # The parent's own is no measure where the positions end before it.
    edit_json(parent / "tokenizer_config.json", model_max_length=10**30)
    assert asked(child, parent)["tokenizer.length"].status == "pass"


def test_a_parent_without_a_tokenizer_is_no_measure(parent, child):
    (parent / "tokenizer.json").unlink()
    results = asked(child, parent)
    assert not_passed(results) == {"tokenizer.parent": "skip"}
    assert "tokenizer.json does not exist" in results["tokenizer.parent"].found


def test_merges_that_are_none_are_a_sentence(release):
    spoil(release, lambda content: content["model"].update(merges=5))
    results = asked(release)
    assert not_passed(results) == {"tokenizer.files": "fail"}
    assert "tokenizer.json is not a tokenizer: TypeError" in results["tokenizer.files"].found


def lone_mask(content: Any) -> None:
    mask = content["added_tokens"].pop(4)
    content["model"]["vocab"]["[MASK]"] = mask["id"]


OWN_FAULTS = {
    "ids of bos and cls apart": (
        "config.json",
        lambda content: content.update(bos_token_id=0),
        {"tokenizer.pairs": "warn"},
        "bos_token 0, cls_token 1",
    ),
    "another lstrip in the other file": (
        "tokenizer_config.json",
        lambda content: content.update(
            added_tokens_decoder={"4": {"content": "[MASK]", "lstrip": False, "special": True}}
        ),
        {"tokenizer.added": "fail"},
        "[MASK] lstrip false in tokenizer_config.json, true in tokenizer.json",
    ),
    "a mask that is an ordinary token": (
        "tokenizer.json",
        lone_mask,
        {"tokenizer.added": "warn"},
        "not added tokens in tokenizer.json: [MASK]",
    ),
    "no special tokens around a text": (
        "tokenizer.json",
        lambda content: content.update(post_processor=None),
        {"tokenizer.template": "warn"},
        "is [",
    ),
    "a decoder that joins nothing": (
        "tokenizer.json",
        lambda content: content.update(decoder=None),
        {"tokenizer.encoding": "fail"},
        "of 50 come back otherwise: 'The quick",
    ),
    "a letter that is lost": (
        "tokenizer.json",
        lambda content: content["model"]["vocab"].update(
            {"unreachable": content["model"]["vocab"].pop("z")}
        ),
        {"tokenizer.encoding": "fail"},
        "'The quick brown fox jump…' as ",
    ),
    "bytes of other scripts that are lost": (
        "tokenizer.json",
        lambda content: content["model"]["vocab"].update(
            {"unreachable": content["model"]["vocab"].pop("Ð")}
        ),
        {"tokenizer.encoding": "warn"},
        "'Съешь",
    ),
    "a template of tokens that are none": (
        "tokenizer.json",
        lambda content: content["post_processor"].update(special_tokens={}),
        {"tokenizer.encoding": "fail"},
        "cannot be read: ",
    ),
    "a file that the library cannot read": (
        "tokenizer.json",
        lambda content: content.update(pre_tokenizer={"type": "Unheard"}),
        {"tokenizer.encoding": "fail"},
        "cannot be read: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "change", "statuses", "found"), OWN_FAULTS.values(), ids=OWN_FAULTS
)
def test_a_fault_of_its_own_is_found_and_named(release, file, change, statuses, found):
    spoil(release, change, file)
    results = asked(release)
    assert not_passed(results) == statuses
    assert any(found in results[name].found for name in statuses), results


def test_what_is_lost_as_in_the_parent_is_a_remark(parent, child):
    def without_z(content: Any) -> None:
        content["model"]["vocab"]["unreachable"] = content["model"]["vocab"].pop("z")

    spoil(parent, without_z)
    spoil(child, without_z)
    results = asked(child, parent)
    assert not_passed(results) == {"tokenizer.encoding": "warn"}
    assert "come back otherwise, as from the parent's" in results["tokenizer.encoding"].found


def test_an_id_that_only_a_text_reaches_is_found(release):
    mine = read_tokenizer(open_checkpoint(release))
    config = normal_form(json.loads((release / "config.json").read_text()) | {"vocab_size": 200})
    answer = {result.name: result for result in check_encoding(mine, None, config)}
    assert answer["tokenizer.encoding"].status == "fail"
    assert "texts have an id without a row" in answer["tokenizer.encoding"].found


def test_more_rows_than_padding_explains_are_a_remark(release):
    mine = read_tokenizer(open_checkpoint(release))
    config = normal_form(json.loads((release / "config.json").read_text()) | {"vocab_size": 1024})
    result = check_unused(mine, None, config)
    assert (result.status, result.found) == (
        "warn",
        "0 [unusedN] tokens, 761 rows without a token",
    )


def test_without_the_library_the_texts_are_skipped_with_the_reason(release, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    results = asked(release)
    assert not_passed(results) == {"tokenizer.encoding": "skip"}
    assert "needs the extra [eval]" in results["tokenizer.encoding"].found


def test_words_come_back_from_a_tokenizer_that_is_not_of_bytes(release):
    """A WordPiece that lowercases: words, and of other scripts what it has letters for."""
    letters = sorted({c for text in TEXTS for c in text.lower() if c.isascii() and not c.isspace()})
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4}
    for piece in [*letters, *(f"##{letter}" for letter in letters)]:
        vocabulary[piece] = len(vocabulary)

    def word_piece(content: Any) -> None:
        content["model"] = {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 300, "vocab": vocabulary,
        }  # fmt: skip
        bert = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
        content["normalizer"] = {"type": "BertNormalizer", "lowercase": True} | bert
        content["pre_tokenizer"] = {"type": "BertPreTokenizer"}
        content["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}

    spoil(release, word_piece)
    result = asked(release)["tokenizer.encoding"]
    assert result.status == "warn"
    assert result.expected == "the texts come back, all words of them"
    assert "'« Où est-elle allée ? » …' as '[UNK] ou est" in result.found


def test_the_texts_are_many_and_stay_as_they_are():
    assert 30 <= len(TEXTS) == len(set(TEXTS)) <= 60
    assert any("\u0301" in text for text in TEXTS)
    assert any("\u05d0" <= char <= "\u05ea" for text in TEXTS for char in text)
    assert "" in TEXTS


def test_encoding_is_that_of_transformers(released):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(released)
    for one in encode((released / "tokenizer.json").read_bytes()):
        assert list(one.framed) == theirs(one.text)["input_ids"]
        assert one.decoded == theirs.decode(one.ids)


def test_a_vocabulary_of_the_declared_size_is_another_and_passes(parent, child, edit_json):
    spoil(child, renamed)
    spoil(parent, lambda content: content["added_tokens"].pop())
    edit_json(parent / "config.json", vocab_size=287)
    declared = {"vocabulary": 288}
    report = verify(child, against=parent, declared=declared, load=False)
    assert not [r.name for r in report.failures if r.name.startswith("tokenizer.")]
    report = verify(child, against=parent, load=False)
    assert "tokenizer.vocabulary" in {result.name for result in report.failures}
