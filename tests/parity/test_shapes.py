"""Appendix B of the paper: tensor cores, tiles and waves."""

from __future__ import annotations

import json

import pytest

from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.checks.shapes import (
    SM_TABLES,
    Matrix,
    check_shapes,
    check_tensor_cores,
    check_tiles,
    check_waves,
    last_waves,
    table_of,
)
from mbrelease.parity.family import member_named

SIZES = {"base": member_named("base").config(), "large": member_named("large").config()}


def tiny(**fields):
    sizes = {"hidden_size": 128, "intermediate_size": 192, "num_attention_heads": 4}
    return normal_form(sizes | fields)


@pytest.mark.parametrize("table", ["product", "die"])
@pytest.mark.parametrize("size", ["base", "large"])
def test_base_and_large_come_out_as_the_paper_says(size, table):
    # "Attention heads as multiples of 64", "weight matrix dimensions should be divisible by 64",
    # "weight matrix is divisible into 128 × 256 blocks".
    assert {check.status for check in check_shapes(SIZES[size], table)} == {"pass"}
    config = SIZES[size]
    assert config.hidden_size / config.num_attention_heads == 64
    assert config.vocab_size % 64 == 0


def test_no_published_size_fills_the_last_wave_everywhere():
    # "Given that we wanted to target ... multiple GPUs, wave quantization is an impossible ask."
    for size in SIZES.values():
        assert max(last_waves(size).values()) < 1


def test_large_would_wrongly_fail_if_each_dimension_were_asked():
    inner = Matrix("mlp.Wi", 5248, 1024)
    assert inner.tiles
    assert inner.rows % 256
    assert inner.rows == 41 * 128
    assert Matrix("mlp.Wo", 1024, 2624).tiles
    assert not Matrix("attn.Wo", 384, 384).tiles


def test_the_last_wave_by_hand():
    # 5,248 × 1,024: 41 · 4 = 164 blocks of 128 × 256, or ⌈20.5⌉ · 8 = 168 of 256 × 128.
    inner = Matrix("mlp.Wi", 5248, 1024)
    assert inner.blocks() == (164, 168)
    # Two waves on 132 SMs: 32 and 36 are left.
    assert inner.last_wave(132) == pytest.approx((32 / 132 + 36 / 132) / 2)
    # None is left over of 164 on 82 SMs, which counts as a full wave; 4 of 168.
    assert inner.last_wave(82) == pytest.approx((1.0 + 4 / 82) / 2)
    # One block on a whole GPU.
    assert Matrix("attn.Wo", 64, 64).last_wave(108) == pytest.approx(1 / 108)


def test_the_tables_differ_where_dies_have_more_than_is_sold():
    product, die = SM_TABLES["product"], SM_TABLES["die"]
    assert dict(product) == {
        "T4": 40, "A10": 72, "L4": 58, "RTX 3090": 82, "RTX 4090": 128, "A100": 108, "H100": 132,
    }  # fmt: skip
    assert {gpu: n for gpu, n in die.items() if n != product[gpu]} == {"L4": 60, "H100": 144}
    base = SIZES["base"]
    as_sold, whole = last_waves(base, "product"), last_waves(base, "die")
    assert {gpu for gpu in as_sold if as_sold[gpu] != whole[gpu]} == {"L4", "H100"}
    # Base's four weights fit into one wave of an H100: 54, 18 and 54 blocks either way, and for
    # 768 × 1,152 it is 6 · ⌈4.5⌉ = 30 or 3 · 9 = 27.
    blocks = (54 + 18 + 54 + 28.5) / 4
    assert as_sold["H100"] == pytest.approx(blocks / 132)
    assert whole["H100"] == pytest.approx(blocks / 144)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"num_attention_heads": 24}, "heads of 32"),
        ({"hidden_size": 800, "num_attention_heads": 10}, "heads of 80, hidden_size 800"),
        ({"intermediate_size": 1150}, "intermediate_size 1150"),
        ({"vocab_size": 50_280}, "vocab_size 50280"),
    ],
)
def test_dimensions_that_do_not_suit_tensor_cores_are_named(fields, found):
    result = check_tensor_cores(normal_form(fields))
    assert (result.status, result.found) == ("warn", found)
    assert "nothing to mend in trained weights" in result.mend


def test_weights_that_are_not_whole_blocks_are_named():
    result = check_tiles(normal_form({"intermediate_size": 1216}))
    assert (result.status, result.found) == ("warn", "mlp.Wo 768 × 1216")


def test_a_small_model_is_allowed_and_told():
    results = check_shapes(tiny())
    assert {result.status for result in results} == {"warn"}
    assert all(result.mend and result.expected for result in results)
    assert "base's (0.44) or large's (0.46)" in check_waves(tiny()).expected


def test_json_carries_the_table_of_each_matrix():
    details = json.loads(json.dumps(check_waves(SIZES["large"], "die").as_json()))["details"]
    assert details == json.loads(json.dumps(table_of(SIZES["large"], "die")))
    assert details["sm_table"] == "die"
    assert details["sms"]["L4"] == 60
    rows = {row["matrix"]: row for row in details["matrices"]}
    assert list(rows) == ["attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"]
    inner = rows["mlp.Wi"]
    assert (inner["rows"], inner["columns"], inner["blocks"]) == (5248, 1024, [164, 168])
    assert inner["whole_blocks"]
    assert inner["divisible_by_64"]
    assert set(inner["last_wave"]) == set(SM_TABLES["die"])
