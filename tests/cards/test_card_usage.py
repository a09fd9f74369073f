"""Every block of a card's usage runs against a model, offline, and does what the text says."""

import contextlib
import copy
import io
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from card_projects import REGISTRY, Build
from card_reading import body, python_blocks

from mbrelease.cards.card import render_card, render_folder_card
from mbrelease.cards.render import render, shipped_templates
from mbrelease.cards.snippets.blocks import read_blocks
from mbrelease.cards.snippets.needs import needs_of
from mbrelease.cards.snippets.outputs import with_outputs
from mbrelease.cards.snippets.run import run_card_blocks
from mbrelease.cards.snippets.shell import check_shell

FILL, PIPELINE, EMBED, SENTENCES, LONG, PACKED = range(6)


def run_block(code: str, **names: Any) -> tuple[str, dict[str, Any]]:
    """What a block prints and the names it leaves; in this process, which is quick."""
    out = io.StringIO()
    found = {"__name__": "card", **names}
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<card>", "exec"), found)
    return out.getvalue(), found


def variant_card(build: Build, pooling: str) -> str:
    registry: dict[str, Any] = copy.deepcopy(REGISTRY)
    registry["suites"]["science"][1]["pooling"] = pooling
    return render_card(build(registry).project, "science")


@pytest.fixture(params=["mean", "cls"])
def pooling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def blocks(
    build: Build, released: Path, tmp_path: Path, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The blocks of a variant's card, in a folder where they find the model."""
    # The repo id is a relative path as well: a folder of that name stands in for the Hub's.
    root = tmp_path / "cwd"
    (root / "org").mkdir(parents=True)
    (root / "org" / "science").symlink_to(released)
    monkeypatch.chdir(root)
    return python_blocks(body(variant_card(build, pooling)))


def test_blocks_of_a_variant_run(blocks: list[str]) -> None:
    assert len(blocks) == 6
    fill, pipe, embed, sentences, long = (run_block(code)[0] for code in blocks[:PACKED])
    assert len(eval(fill)) == 3
    assert len(pipe.splitlines()) == 3
    assert [row.split()[i] for i, row in enumerate(embed.splitlines())] == 3 * ["1.00"]
    # The same embeddings by another way.
    assert sentences == embed
    assert long == "128 tokens, a vector of width 64 for each\n"


def test_blocks_of_a_folder_card_run(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(released)
    card = body(render_folder_card(released))
    assert '`"."`' in card
    assert all(run_block(code)[0] for code in python_blocks(card)[:PACKED])


def test_padding_has_no_part_in_the_embedding(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of a short text is the same alone and beside a long one."""
    import torch

    monkeypatch.chdir(released)
    block = python_blocks(body(render_folder_card(released)))[EMBED]
    start, end = block.index("texts = "), block.index("batch = ")

    def embed(texts: list[str]) -> torch.Tensor:
        _, names = run_block(block[:start] + f"texts = {texts!r}\n" + block[end:])
        embeddings: torch.Tensor = names["embeddings"]
        return embeddings

    alone = embed(["short text"])
    beside = embed(["short text", "a much longer text, " * 4])
    torch.testing.assert_close(alone[0], beside[0], atol=1e-5, rtol=1e-5)


def test_texts_in_one_row_are_embedded_as_padded_ones(blocks: list[str]) -> None:
    """The block for a GPU, with an attention on the CPU that reads the same arguments."""
    import torch
    from transformers import AttentionInterface

    def attend(
        module: Any, query: Any, key: Any, value: Any, mask: Any, *,
        scaling: float, sliding_window: int | None,
        cu_seq_lens_q: Any, cu_seq_lens_k: Any, max_length_q: int, max_length_k: int, **_: Any,
    ) -> tuple[Any, None]:  # fmt: skip
        assert mask is None and cu_seq_lens_q.dtype == torch.int32
        assert max_length_q == max_length_k == int(cu_seq_lens_k.diff().max())
        parts = []
        for start, end in cu_seq_lens_q.unfold(0, 2, 1).tolist():
            place = torch.arange(end - start)
            reach = sliding_window - 1 if sliding_window else end
            near = (place[:, None] - place).abs() <= reach
            q, k, v = (x[:, :, start:end] for x in (query, key, value))
            parts.append(
                torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, attn_mask=near, scale=scaling
                )
            )
        return torch.cat(parts, dim=2).transpose(1, 2), None

    AttentionInterface.register("by_hand", attend)
    code = blocks[PACKED]
    needs = needs_of(code)
    assert needs.gpu and needs.flash_attention
    for there, here in (("cuda", "cpu"), ("flash_attention_2", "by_hand"), ("bfloat16", "float32")):
        assert there in code
        code = code.replace(there, here)
    _, packed = run_block(code)
    _, padded = run_block(blocks[EMBED])
    torch.testing.assert_close(packed["embeddings"], padded["embeddings"], atol=1e-5, rtol=1e-5)


@dataclass(frozen=True)
class Shown:
    """The names that the section uses, of a model with modules of sentence-transformers."""

    model: SimpleNamespace
    usage: SimpleNamespace
    evaluation: None = None


def test_a_model_with_modules_is_loaded_as_they_say(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    modules = [Transformer(str(release)), Pooling(64, pooling_mode="cls")]
    SentenceTransformer(modules=modules).save_pretrained(str(tmp_path / "modules"))
    (tmp_path / "card.md.j2").write_text('{% include "sections/usage.md.j2" %}')
    usage = SimpleNamespace(pooling="cls", max_length=64, context=None, modules=True)
    shown = Shown(SimpleNamespace(model_id="."), usage)
    blocks = python_blocks(render(shown, [tmp_path, shipped_templates()]))
    assert "Pooling" not in blocks[SENTENCES]
    monkeypatch.chdir(tmp_path / "modules")
    assert run_block(blocks[SENTENCES])[0] == run_block(blocks[EMBED])[0]


def test_commands_of_the_card_are_right(build: Build) -> None:
    card = variant_card(build, "mean")
    assert "'transformers>=4.48'" in card
    assert check_shell(card) == []


@pytest.mark.parametrize("repo", ["org/science", None])
def test_a_block_runs_by_itself_and_its_output_is_shown(
    released: Path, tmp_path: Path, repo: str | None
) -> None:
    """In a fresh process, by the repo id and from the folder."""
    card = render_folder_card(released, repo)
    fill = next(block for block in read_blocks(card) if block.is_python)
    text = f"```python\n{fill.code}```\n"
    outcomes = run_card_blocks(text, released, repo, evidence=tmp_path / "evidence")
    outcome = outcomes.of(fill.code)
    assert outcome is not None and outcome.output is not None
    assert len(eval(outcome.output)) == 3
    assert "It prints:\n\n```text\n" in with_outputs(card, outcomes)


@pytest.mark.slow
def test_all_blocks_of_a_card_run_by_themselves(
    build: Build, released: Path, tmp_path: Path
) -> None:
    card = variant_card(build, "mean")
    outcomes = run_card_blocks(card, released, "org/science", evidence=tmp_path / "evidence")
    ran = [outcomes.of(block.code) for block in read_blocks(card) if block.is_python]
    assert len(ran) == 6
    printed = [outcome.output for outcome in ran if outcome is not None]
    assert all(printed[:PACKED])
    shown = with_outputs(card, outcomes)
    assert shown.count("It prints:") == 5 + (printed[PACKED] is not None)
