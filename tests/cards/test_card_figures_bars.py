"""The bars of an evaluation, really drawn and read back."""

import math
import re
from dataclasses import replace

import pytest
from picture_reading import SVG, box_of, drawn, hovers, outside, overlapping, texts, words

from mbrelease.cards.pictures.bars import Bars, Group, bars_words, readable
from mbrelease.errors import UserError


def group(label, values, better="higher", intervals=None, decimals=3):
    return Group(
        label=label,
        better=better,
        values=tuple(values),
        texts=tuple("–" if value is None else f"{value:.{decimals}f}" for value in values),
        intervals=tuple(intervals or [None] * len(values)),
    )


def bars(*groups, models=None, own=-1, reference=0):
    n = len(groups[0].values)
    models = models or ("owl-base", *(f"owl-v{i}" for i in range(1, n)))
    return Bars("Evaluation", "on test", models, own % n, reference, groups)


OWLS = bars(
    group("titles recall@1", [0.279, 0.338, 0.44], intervals=[None, None, (0.42, 0.46)]),
    group("titles mrr", [0.412, None, 0.58]),
    group("text loss", [1.081, 0.996, 0.985], "lower"),
)


def draw(given):
    from mbrelease.cards.pictures.draw_bars import draw_bars

    return drawn(lambda: draw_bars(given))


def shapes(svg, gid):
    """The corners of what is drawn under an id, across."""
    (mark,) = (g for g in svg.iter(f"{SVG}g") if g.get("id") == gid)
    numbers = [re.findall(r"-?[\d.]+", path.get("d", "")) for path in mark.iter(f"{SVG}path")]
    return sorted({round(float(x), 2) for path in numbers for x in path[::2]})


def width(svg, gid):
    across = shapes(svg, gid)
    return across[-1] - across[0]


def test_each_metric_has_a_panel_with_names_and_values():
    svg = draw(OWLS)
    said = words(svg)
    assert said.count("owl-base") == said.count("owl-v1") == said.count("owl-v2") == 3
    assert {"titles recall@1 ↑", "titles mrr ↑", "text loss ↓"} <= set(said)
    assert {"0.279", "0.338", "0.440", "0.412", "0.580", "1.081", "0.996", "0.985"} <= set(said)
    assert said.count("–") == 1


def test_bars_begin_at_zero_and_are_as_long_as_their_values():
    svg = draw(OWLS)
    lengths = [width(svg, f"value-0-{i}") for i in range(3)]
    assert lengths[0] / lengths[2] == pytest.approx(0.279 / 0.44, abs=0.005)
    assert lengths[1] / lengths[2] == pytest.approx(0.338 / 0.44, abs=0.005)
    starts = {shapes(svg, f"value-0-{i}")[0] for i in range(3)}
    assert len(starts) == 1
    names = [box_of(t).right for t in texts(svg) if (t.text or "").strip() == "owl-base"]
    assert starts.pop() >= max(names), "none of a bar is cut off"


def test_a_loss_stands_on_a_numbered_scale_of_its_own():
    svg = draw(OWLS)
    assert {"1.00", "1.05", "1.10"} <= set(words(svg))
    note = " ".join(words(svg)[-2:])
    assert "does not begin at zero, lower is better (↓)" in " ".join(words(svg)), note
    assert "0" not in words(draw(bars(group("titles mrr", [0.4, 0.5]))))


def test_this_model_stands_out():
    svg = draw(OWLS)
    bold = {(t.text or "").strip() for t in texts(svg) if "font-weight: 700" in t.get("style", "")}
    assert {"owl-v2", "0.440", "0.580", "0.985"} <= bold
    assert not {"owl-base", "owl-v1", "0.279", "1.081"} & bold


def test_what_was_not_measured_has_no_bar():
    assert set(hovers(draw(OWLS))) == {
        f"value-{g}-{i}" for g in range(3) for i in range(3) if (g, i) != (1, 1)
    }


def test_a_bar_says_its_model_value_and_interval_under_the_pointer():
    told = hovers(draw(OWLS))
    assert told["value-0-2"] == "owl-v2: titles recall@1 0.440 (95% interval 0.42 to 0.46)"
    assert told["value-2-0"] == "owl-base: text loss 1.081"


def test_the_alt_text_is_the_finding_and_follows_the_data():
    assert bars_words(OWLS).plain == (
        "This model against owl-base: titles recall@1 0.440 (against 0.279); "
        "titles mrr 0.580 (against 0.412); text loss 0.985 (against 1.081)."
    )
    other = bars(group("titles recall@1", [0.279, 0.441]))
    assert "0.441 (against 0.279)" in bars_words(other).plain
    svg = draw(OWLS)
    assert svg.find(f"{SVG}desc").text == bars_words(OWLS).plain


def test_without_a_reference_the_best_is_named():
    given = bars(
        group("a", [0.5, 0.6]), group("b", [0.7, 0.6]), group("c", [1.0, 2.0], "lower"),
        reference=None,
    )  # fmt: skip
    assert bars_words(given).plain == (
        "This model: a 0.600, the best; b 0.600, behind owl-base with 0.700; "
        "c 2.000, behind owl-base with 1.000."
    )
    alone = bars(group("a", [0.5]), reference=None)
    assert bars_words(alone).plain == "This model: a 0.500."


def test_of_many_models_and_metrics_the_first_are_drawn_and_the_others_counted():
    given = bars(*(group(f"metric {j}", [i + j for i in range(9)]) for j in range(15)))
    part = readable(given)
    assert part.models == ("owl-base", *(f"owl-v{i}" for i in range(1, 5)), "owl-v8")
    assert len(part.groups) == 12
    said = " ".join(words(draw(given)))
    assert "3 more models not drawn." in said and "3 more metrics not drawn." in said


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused(wrong):
    with pytest.raises(UserError, match=r"titles mrr is (nan|-?inf), which no picture can show"):
        bars(group("titles mrr", [0.4, wrong]))
    with pytest.raises(UserError, match="titles mrr"):
        bars(group("titles mrr", [0.4, 0.5], intervals=[None, (0.4, wrong)]))


LONG = "a-name-of-very-many-words-" * 400
SOME = {
    "three metrics": OWLS,
    "one model": bars(group("mrr", [0.5], intervals=[(0.4, 0.6)]), reference=None),
    "six models": bars(*(group(f"task {j} mrr", [0.1 * i for i in range(6)]) for j in range(12))),
    "four losses": bars(*(group(f"loss {j}", [1.0, 2.0, 1.5], "lower") for j in range(12))),
    "nothing measured of others": bars(group("mrr", [None, None, 0.5])),
    "identical": bars(group("mrr", [0.5, 0.5, 0.5]), group("loss", [2.0, 2.0, 2.0], "lower")),
    "zero": bars(group("mrr", [0.0, 0.0]), group("loss", [0.0, 0.0], "lower")),
    "negative": bars(group("r", [-0.4, 0.3], intervals=[(-0.6, -0.2), (0.1, 0.5)])),
    "all negative": bars(group("r", [-0.4, -0.3])),
    "very large": bars(group("tokens a second", [1e12, 2.5e12], decimals=0)),
    "very small": bars(group("loss", [1e-9, 2e-9], "lower")),
    "long names": bars(group(LONG, [0.1, 0.2]), models=(LONG, LONG[::-1])),
    "many with long names": bars(
        *(group(f"{j} {LONG}", [0.1, 0.2, 0.3, 0.4]) for j in range(10)),
        models=tuple(f"{i}{LONG}{i}" for i in range(4)),
    ),
    "names alike but in the middle": bars(
        *(group(f"metric {j}", [0.1 * i for i in range(4)]) for j in range(10)),
        models=tuple(f"a-model-of-the-house-{i}-trained-on-text" for i in range(4)),
    ),
    "right to left": bars(group("אחזור mrr", [0.1, 0.2]), models=("מודל 2", "نموذج")),
    "letters that the font lacks": bars(group("検索", [0.1, 0.2]), models=("模型", "😀")),
    "signs": bars(group("a<b & $x_1$", [0.1, 0.2]), models=("<script>", "a\x00b\u202e{{c}}")),
}


@pytest.mark.parametrize("case", SOME)
def test_an_extreme_is_drawn_whole(case):
    svg = draw(SOME[case])
    assert overlapping(svg) == []
    assert outside(svg) == []


def test_names_that_would_be_shortened_to_the_same_have_more_room():
    svg = draw(SOME["names alike but in the middle"])
    names = [word for word in words(svg) if word.startswith("a-model")]
    assert len(set(names)) == 4


def test_columns_of_values_line_up():
    svg = draw(SOME["six models"])
    rights = {round(box_of(t).right, 1) for t in texts(svg) if (t.text or "").strip() == "0.500"}
    assert len(rights) == 2, "one edge a column"


def test_the_same_bars_give_the_same_bytes(tmp_path):
    from mbrelease.cards.pictures.draw_bars import draw_bars
    from mbrelease.pictures.write import write_pictures

    first = write_pictures(lambda: {"bars": draw_bars(OWLS)}, tmp_path / "one")
    again = write_pictures(lambda: {"bars": draw_bars(replace(OWLS))}, tmp_path / "two")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
