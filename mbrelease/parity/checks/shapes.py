"""Do the matrices suit tensor cores? The rules of appendix B of the paper, from the config alone.

Warner et al. 2024 (arXiv:2412.13663), after Anthony et al. 2024, for float16 and bfloat16:

* tensor cores: heads of a multiple of 64, every dimension of a weight divisible by 64, the
  vocabulary a multiple of 64 as well;
* tile quantization: a weight divides into blocks of 128 × 256. The authors' code asks this of the
  whole matrix, ``x * y % 32768 == 0``; asked of each dimension it would wrongly fail
  ModernBERT-large, whose 5,248 is 41 × 128;
* wave quantization: the blocks of the last wave beside the streaming multiprocessors (SMs) of a
  GPU, (blocks mod SMs) / SMs, where no remainder counts 1. Blocks are counted as a GPU starts
  them, ⌈x/128⌉ · ⌈y/256⌉, and the two orientations are averaged.

The paper names no bound for waves ("an impossible ask" over many GPUs), so base and large are the
measure. The embedding is looked up and not multiplied, and its decoder is asked only for 64.
A small model breaks these rules and works: nothing here fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.parity.family import member_named
from mbrelease.parity.report import CheckResult, passed, warned

SmTable = Literal["product", "die"]

# The basket of the paper. As sold; the authors' table has the full dies of L4 and H100.
PRODUCT = {
    "T4": 40, "A10": 72, "L4": 58, "RTX 3090": 82, "RTX 4090": 128, "A100": 108, "H100": 132,
}  # fmt: skip
SM_TABLES: dict[SmTable, Mapping[str, int]] = {
    "product": PRODUCT,
    "die": PRODUCT | {"L4": 60, "H100": 144},
}
CORE = 64
BLOCK = (128, 256)
NEXT_TIME = "nothing to mend in trained weights; for the next model take "


@dataclass(frozen=True)
class Matrix:
    """A weight of every layer, ``rows`` × ``columns``."""

    name: str
    rows: int
    columns: int

    @property
    def suits_cores(self) -> bool:
        """Whether both dimensions divide by 64."""
        return self.rows % CORE == 0 and self.columns % CORE == 0

    @property
    def tiles(self) -> bool:
        """Whether the whole matrix divides into blocks of 128 × 256, as the authors ask it."""
        return self.rows * self.columns % (BLOCK[0] * BLOCK[1]) == 0

    def blocks(self) -> tuple[int, int]:
        """The blocks that a GPU starts, in either orientation."""
        (short, long), (x, y) = BLOCK, (self.rows, self.columns)
        return -(-x // short) * -(-y // long), -(-x // long) * -(-y // short)

    def last_wave(self, sms: int) -> float:
        """How full the last wave is on a GPU of ``sms`` SMs, from above 0 to 1."""
        shares = [(blocks % sms or sms) / sms for blocks in self.blocks()]
        return sum(shares) / len(shares)


def matrices(config: ModernBertConfig) -> list[Matrix]:
    """The four weights of a layer; (outputs, inputs), as they are stored."""
    hidden, inner = config.hidden_size, config.intermediate_size
    return [
        Matrix("attn.Wqkv", 3 * hidden, hidden),
        Matrix("attn.Wo", hidden, hidden),
        Matrix("mlp.Wi", 2 * inner, hidden),
        Matrix("mlp.Wo", hidden, inner),
    ]


def last_waves(config: ModernBertConfig, table: SmTable = "product") -> dict[str, float]:
    """For each GPU of the basket how full the last wave is, averaged over a layer's weights."""
    weights = matrices(config)
    return {
        gpu: sum(matrix.last_wave(sms) for matrix in weights) / len(weights)
        for gpu, sms in SM_TABLES[table].items()
    }


def check_shapes(config: ModernBertConfig, table: SmTable = "product") -> list[CheckResult]:
    """Appendix B's three questions; they warn at most.

    Args:
        config: the architecture.
        table: SMs of the GPUs as sold (``product``), or as the authors have them (``die``).
    """
    return [check_tensor_cores(config), check_tiles(config), check_waves(config, table)]


def check_tensor_cores(config: ModernBertConfig) -> CheckResult:
    """Heads, every dimension of the layers' weights, and the vocabulary are multiples of 64."""
    name, expected = "shapes.tensor_cores", "heads and dimensions that are multiples of 64"
    head = config.hidden_size / config.num_attention_heads
    sizes = {
        "heads of": head,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.vocab_size,
    }
    odd = [f"{what} {size:g}" for what, size in sizes.items() if size % CORE]
    if not odd:
        return passed(name, f"heads of {head:g}, hidden {config.hidden_size}", expected)
    mend = f"{NEXT_TIME}multiples of 64"
    return warned(name, expected=expected, found=", ".join(odd), mend=mend)


def check_tiles(config: ModernBertConfig) -> CheckResult:
    """Every weight of a layer divides into blocks of 128 × 256, as a whole."""
    name, expected = "shapes.tiles", "weights of whole blocks of 128 × 256"
    weights = matrices(config)
    uneven = [one for one in weights if not one.tiles]
    if not uneven:
        size = BLOCK[0] * BLOCK[1]
        counts = ", ".join(f"{one.name} {one.rows * one.columns // size}" for one in weights)
        return passed(name, f"blocks: {counts}", expected)
    return warned(
        name,
        expected=expected,
        found=", ".join(f"{one.name} {one.rows} × {one.columns}" for one in uneven),
        mend=f"{NEXT_TIME}sizes whose products divide by 32,768",
    )


def check_waves(config: ModernBertConfig, table: SmTable = "product") -> CheckResult:
    """The last wave is as full as the published models', averaged over weights and GPUs."""
    waves = last_waves(config, table)
    found = _mean(waves)
    base, large = (_mean(last_waves(_published(size), table)) for size in ("base", "large"))
    expected = f"last waves as full as base's ({base:.2f}) or large's ({large:.2f})"
    said = f"{found:.2f} of the SMs on average; {_range(waves)}"
    if found >= min(base, large):
        result = passed("shapes.waves", said, expected)
    else:
        mend = f"{NEXT_TIME}wider layers, or leave it so for a small one"
        result = warned("shapes.waves", expected=expected, found=said, mend=mend)
    return replace(result, details=table_of(config, table))


def table_of(config: ModernBertConfig, table: SmTable = "product") -> dict[str, Any]:
    """Every weight of a layer with its blocks and its last wave on every GPU, as JSON values."""
    rows = [
        {
            "matrix": matrix.name,
            "rows": matrix.rows,
            "columns": matrix.columns,
            "divisible_by_64": matrix.suits_cores,
            "whole_blocks": matrix.tiles,
            "blocks": list(matrix.blocks()),
            "last_wave": {
                gpu: round(matrix.last_wave(n), 4) for gpu, n in SM_TABLES[table].items()
            },
        }
        for matrix in matrices(config)
    ]
    return {"sm_table": table, "sms": dict(SM_TABLES[table]), "matrices": rows}


def _published(size: str) -> ModernBertConfig:
    member = member_named(size)
    assert member is not None
    return member.config()


def _mean(waves: Mapping[str, float]) -> float:
    return sum(waves.values()) / len(waves)


def _range(waves: Mapping[str, float]) -> str:
    low, high = min(waves, key=waves.__getitem__), max(waves, key=waves.__getitem__)
    return f"least {low} {waves[low]:.2f}, most {high} {waves[high]:.2f}"
