"""Every Python block of a card runs against a model, offline."""

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import pytest
from card_projects import REGISTRY, Build
from card_reading import body, python_blocks

from mbrelease.cards.card import render_card, render_folder_card


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ModernBERT of two layers with a tokenizer, as a release has it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: i for i, token in enumerate([*special, *map(chr, range(32, 127))])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )
    torch.manual_seed(0)
    model = ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=256, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=128, local_attention=32,
            pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
        )
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("release")
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def run_blocks(card: str) -> list[str]:
    """Run each Python block by itself and return what it printed."""
    printed = []
    for block in python_blocks(body(card)):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, "<card>", "exec"), {"__name__": "card"})
        printed.append(out.getvalue())
    return printed


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_blocks_of_a_variant_run(
    build: Build, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    registry: dict[str, Any] = copy.deepcopy(REGISTRY)
    registry["suites"]["science"][1]["pooling"] = pooling
    card = render_card(build(registry).project, "science")
    # The repo id is a relative path as well: a folder of that name stands in for the Hub's.
    root = tiny_model.parent / f"cwd-{pooling}"
    (root / "org").mkdir(parents=True)
    (root / "org" / "science").symlink_to(tiny_model)
    monkeypatch.chdir(root)
    fill, pipe, embed = run_blocks(card)
    assert len(eval(fill)) == 3
    assert len(pipe.splitlines()) == 3
    assert embed.count("1.0000") >= 3  # each text is like itself


def test_blocks_of_a_folder_card_run(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model)
    assert all(run_blocks(render_folder_card(tiny_model)))


def test_padding_has_no_part_in_the_embedding(
    build: Build, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of a short text is the same alone and beside a long one."""
    import torch

    monkeypatch.chdir(tiny_model)
    block = python_blocks(body(render_folder_card(tiny_model)))[2]
    start, end = block.index("texts = "), block.index("batch = ")

    def embed(texts: list[str]) -> torch.Tensor:
        names: dict[str, Any] = {"__name__": "card"}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(block[:start] + f"texts = {texts!r}\n" + block[end:], names)
        embeddings: torch.Tensor = names["embeddings"]
        return embeddings

    alone = embed(["short text"])
    beside = embed(["short text", "a much longer text, " * 4])
    torch.testing.assert_close(alone[0], beside[0], atol=1e-5, rtol=1e-5)
