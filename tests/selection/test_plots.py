"""The pictures of a decision, really drawn and read back."""

import math
import re
import struct
import sys
from xml.etree import ElementTree

import pytest

from mbrelease.errors import MissingExtra, UserError
from mbrelease.pictures.colours import COLOURS, INK, MUTED, PAPER, RULE
from mbrelease.pictures.labels import Box, Room
from mbrelease.registry.schema import Guardrail, Policy
from mbrelease.selection.decision import Candidate, Decision, GuardrailResult, Measurement
from mbrelease.selection.plots import alt_text, front_alt_text, write_plots
from mbrelease.selection.plots.pareto import pareto_front, staircase
from mbrelease.selection.plots.write import draw

FIND, LOSS = "title-abstract/recall@1", "heldout-mlm/loss"
SVG = "{http://www.w3.org/2000/svg}"


def measurement(metric, value, half=None):
    ci95 = None if half is None else (value - half, value + half)
    n = None if half is None else 492
    return Measurement(
        metric=metric, value=value, ci95=ci95, n_examples=n, evidence="e.json", key=None
    )


def candidate(name, values, half=None, state="passes", **facts):
    """``values`` by metric; ``half`` of an interval, none of a reported point."""
    guardrails = []
    if state != "passes":
        guardrails = [
            GuardrailResult(
                metric=LOSS, change=-0.1, ci95=None, standard_error=None, wins=None, ties=None,
                losses=None, minimal_detectable_effect=None, margin=0.02, value=1.0, reference=0.9,
                lower=None, upper=None, p=None,
                state="fail" if state == "stopped" else "inconclusive",
            )
        ]  # fmt: skip
    return Candidate(
        name=name,
        kind=facts.pop("kind", "checkpoint"),
        path=f"runs/{name}",
        weights_sha256="0" * 64,
        measurements=[measurement(metric, value, half) for metric, value in values.items()],
        guardrails=guardrails,
        eligible=state == "passes",
        **facts,
    )


def decided(candidates, *, chosen=None, reference=None, guardrails=((LOSS, 0.02),), **facts):
    """A decision among ``candidates``; the reference is measured on what they are."""
    metrics = [m.metric for m in candidates[0].measurements]
    values = reference or {FIND: 0.279, LOSS: 1.081}
    return Decision(
        variant=facts.pop("variant", "owl-science"),
        split="dev",
        basis="examples" if candidates[0].measurements[0].ci95 else "points",
        policy_name="science",
        policy=Policy(
            primary=metrics[0],
            guardrails=[Guardrail(metric=m, margin=d) for m, d in guardrails],
            reference=facts.get("base", "owl-base"),
        ),
        policy_sha256="0" * 64,
        reference=candidate(
            facts.pop("base", "owl-base"),
            {metric: values[metric] for metric in metrics},
            candidates[0].measurements[0].ci95 and 0.02,
            kind="reference",
        ),
        candidates=candidates,
        chosen=chosen,
        reasons=[],
        **facts,
    )


def run(n, last=80_000, half=0.02, **facts):
    """n checkpoints whose loss falls on while their retrieval turns."""
    found = []
    for i in range(1, n + 1):
        x = i / n
        wiggle = 0.008 * math.sin(7.3 * i)
        values = {
            FIND: 0.30 + 0.5 * x - 0.40 * x * x + wiggle,
            LOSS: 1.075 - 0.12 * x + 0.3 * wiggle,
        }
        found.append(candidate(f"checkpoint-{last * i // n}", values, half, step=last * i // n))
    return found


def average(recipe, find, loss, half=0.02, **facts):
    name = facts.pop("name", f"average-{recipe}")
    values = {FIND: find, LOSS: loss}
    return candidate(name, values, half, kind="average", recipe=recipe, **facts)


def stopped(one, state="stopped"):
    other = candidate("other", {}, state=state)
    return one.model_copy(update={"eligible": False, "guardrails": other.guardrails})


def science():
    """13 checkpoints and 3 averages: of each kind of mark at least one."""
    checkpoints = run(13, 1300)
    checkpoints[0] = stopped(checkpoints[0])
    checkpoints[3] = stopped(checkpoints[3], "unsettled")
    averages = [average("best:3+last", 0.46, 0.975), average("last:5", 0.45, 0.962)]
    return decided(
        [*checkpoints, *averages], chosen="checkpoint-800", decay_start=900, variant="owl-science"
    )


def pictures(decision):
    """The SVGs by the end of their names, parsed."""
    from mbrelease.pictures import render

    with render.plain_style():
        drawn = draw(decision)
        return {
            stem.removeprefix(f"{decision.variant}."): ElementTree.fromstring(
                render.svg_bytes(picture)
            )
            for stem, picture in drawn.items()
        }


def words(svg):
    return [element.text.strip() for element in svg.iter(f"{SVG}text")]


def marks(svg):
    """The ids of candidates and of the reference, with the shape each is drawn with."""
    found = {}
    for element in svg.iter(f"{SVG}g"):
        if re.fullmatch(r"candidate-\d+|reference", element.get("id", "")):
            (shape,) = element.iter(f"{SVG}use")
            found[element.get("id")] = shape.get("{http://www.w3.org/1999/xlink}href")
    return found


def box_of(text):
    """Where a text stands: (left, top, right, bottom), as wide as in the font it is measured in."""
    from mbrelease.pictures.sheet import text_width

    style, x, y = text.get("style"), float(text.get("x")), float(text.get("y"))
    size = float(re.search(r"font-size: ([\d.]+)px", style)[1])
    width = text_width(text.text.strip(), size, bold="font-weight: 700" in style)
    shift = {"start": 0, "middle": 0.5, "end": 1}[re.search(r"text-anchor: (\w+)", style)[1]]
    if "rotate(-90" in text.get("transform", ""):
        return x - size / 2, y, x + size / 2, y + width
    return x - shift * width, y - 0.8 * size, x + (1 - shift) * width, y + 0.2 * size


def overlapping(svg):
    texts = list(svg.iter(f"{SVG}text"))
    return [
        (one.text.strip(), other.text.strip())
        for i, one in enumerate(texts)
        for other in texts[i + 1 :]
        if overlap(box_of(one), box_of(other)) > 0
    ]


def overlap(one, other):
    return Box(*one).overlap(Box(*other))


@pytest.fixture(scope="module")
def drawn():
    return pictures(science())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_plots(science(), tmp_path_factory.mktemp("plots") / "new")


def test_each_metric_and_the_front_are_written_as_svg_and_png(written):
    stems = ["title-abstract.recall_at_1", "heldout-mlm.loss", "front"]
    assert [path.name for path in written] == [
        f"owl-science.{stem}.{suffix}" for stem in stems for suffix in ("svg", "png")
    ]
    assert sorted(written) == sorted(written[0].parent.iterdir())


def test_the_curve_says_in_words_what_it_shows(drawn):
    assert {
        "Loss of heldout-mlm",
        "on dev, lower is better",
        "training step",
        "learning rate decays",
        "averages",
        "best:3+last",
        "last:5",
        "owl-base: 1.0810",
        "guardrail: 0.02 worse than owl-base",
        "selected: step 800 (1.0035)",
        "selected: step 800",
        "passes every guardrail",
        "stopped by a guardrail",
        "a guardrail is not settled",
        "95% interval",
    } <= set(words(drawn["heldout-mlm.loss"]))


def test_the_front_says_in_words_what_it_shows(drawn):
    assert {
        "on dev; better is up and to the left",
        "loss of heldout-mlm (lower is better)",
        "recall@1 of title-abstract (higher is better)",
        "selected: step 800",
        "owl-base",
        "guardrail: 0.02 worse than owl-base",
        "no candidate is beyond this line",
        "last:5",
    } <= set(words(drawn["front"]))


def test_every_candidate_has_a_mark_and_the_shape_tells_its_state(drawn):
    for name, svg in drawn.items():
        shapes = marks(svg)
        candidates = {f"candidate-{i}" for i in range(15)}
        assert shapes.keys() - {"reference"} == candidates, name
        passes, selected = shapes["candidate-1"], shapes["candidate-7"]
        assert shapes["candidate-2"] == shapes["candidate-13"] == passes
        assert len({passes, selected, shapes["candidate-0"], shapes["candidate-3"]}) == 4
    assert "reference" in marks(drawn["front"])


def test_a_mark_says_its_name_values_and_state_under_the_pointer(drawn):
    titles = [title.text for title in drawn["heldout-mlm.loss"].iter(f"{SVG}title")]
    assert (
        "checkpoint-800; loss of heldout-mlm 1.0035 (95% interval 0.9835 to 1.0235); "
        "passes every guardrail; selected" in titles
    )
    assert any(title.endswith("; stopped by a guardrail") for title in titles)


@pytest.mark.parametrize("stem", ["heldout-mlm.loss", "title-abstract.recall_at_1", "front"])
def test_no_text_stands_on_another_or_outside(drawn, stem):
    svg = drawn[f"{stem}"]
    assert overlapping(svg) == []
    width, height = float(svg.get("width")), float(svg.get("height"))
    for text in svg.iter(f"{SVG}text"):
        left, top, right, bottom = box_of(text)
        assert left >= 0 and top >= 0 and right <= width and bottom <= height, text.text


def test_an_svg_has_title_and_description_no_background_and_both_schemes(drawn):
    for svg in drawn.values():
        assert svg.get("role") == "img"
        assert svg.find(f"{SVG}title").text and svg.find(f"{SVG}desc").text.endswith(".")
        sheet = svg.find(f"{SVG}style").text
        assert "@media (prefers-color-scheme:dark)" in sheet
        text = ElementTree.tostring(svg, encoding="unicode").split("</ns0:style>", 1)[1]
        used = set(re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", text))
        assert len(used) > 6
        for declaration in used:
            assert f'[style*="{declaration}"]' in sheet, "a colour that stays as it is in the dark"
        (figure,) = (g for g in svg.iter(f"{SVG}g") if g.get("id") == "patch_1")
        assert "fill: none" in figure[0].get("style")


def test_the_description_of_a_picture_is_its_alternative_text(drawn):
    decision = science()
    loss = drawn["heldout-mlm.loss"].find(f"{SVG}desc").text
    assert loss == alt_text(decision, LOSS)
    assert drawn["front"].find(f"{SVG}desc").text == front_alt_text(decision, LOSS)


def test_a_png_is_opaque_and_sharp(written):
    import matplotlib.image

    for path in written:
        if path.suffix == ".png":
            assert struct.unpack(">I", path.read_bytes()[16:20])[0] == 1600
            pixels = matplotlib.image.imread(path)
            assert (pixels[..., 3] == 1).all()
            assert tuple(pixels[0, 0]) == (1, 1, 1, 1)


def test_the_same_decision_gives_the_same_bytes(written, tmp_path):
    import matplotlib as mpl

    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "path"}):
        again = [path.read_bytes() for path in write_plots(science(), tmp_path)]
        assert mpl.rcParams["lines.linewidth"] == 9
    assert again == [path.read_bytes() for path in written]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_the_page(scheme):
    """Contrast as WCAG 2.2 counts it: 4.5 for text, 3 for what a picture says."""
    paper = luminance(getattr(PAPER, scheme))
    for colour in COLOURS:
        if colour in (PAPER, RULE):
            continue
        light, dark = sorted([luminance(getattr(colour, scheme)), paper], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= (4.5 if colour in (INK, MUTED) else 3), colour


def points(n, **facts):
    return run(n, half=None, **facts)


SOME = {
    "three reported points": decided(points(3), chosen="checkpoint-53333"),
    "forty checkpoints": decided(run(40), chosen="checkpoint-50000", decay_start=78_000),
    "thirty averages": decided(
        [*run(5), *(average(f"best:{k}+last", 0.4 + 0.001 * k, 0.97) for k in range(1, 31))],
        chosen="average-best:30+last",
    ),
    "averages alone": decided([average("last:2", 0.4, 0.97), average("last:3", 0.41, 0.98)]),
    "one candidate": decided(run(1), chosen="checkpoint-80000"),
    "one point": decided(points(1)),
    "nothing varies": decided(
        [candidate(f"checkpoint-{i}", {FIND: 0.279, LOSS: 1.081}, 0.0, step=i) for i in (1, 2, 3)]
    ),
    "all zero": decided(
        [candidate(f"checkpoint-{i}", {FIND: 0.0, LOSS: 0.0}, step=i) for i in (1, 2)],
        reference={FIND: 0.0, LOSS: 0.0},
    ),
    "long names": decided(
        [
            candidate(f"a-run-of-many-words-and-{i}/checkpoint-{i}", {FIND: 0.3, LOSS: 1.0}, 0.1)
            for i in range(9)
        ],
        chosen="a-run-of-many-words-and-3/checkpoint-3",
        base="the-base-model-of-a-large-organisation-of-2024-with-a-long-name",
    ),
    "a step twice": decided(
        [candidate(f"{run}/checkpoint-5", {FIND: 0.3, LOSS: 1.0}, step=5) for run in "ab"],
        chosen="b/checkpoint-5",
    ),
    "no margin": decided(run(4), guardrails=((LOSS, 0.0), (FIND, 0.5))),
    "names with signs": decided(
        [average("a<b&c>", 0.4, 0.9, name="$x_1$ & <y>"), average("last:3", 0.41, 0.98)],
        chosen="$x_1$ & <y>",
    ),
    "a decay after the end": decided(run(3), decay_start=80_000),
    "a decay from before the start": decided(run(3), decay_start=0),
}


@pytest.mark.parametrize("case", SOME)
def test_an_edge_case_is_drawn_whole(case):
    decision = SOME[case]
    for name, svg in pictures(decision).items():
        assert marks(svg).keys() - {"reference"} == {
            f"candidate-{i}" for i in range(len(decision.candidates))
        }
        width, height = float(svg.get("width")), float(svg.get("height"))
        for text in svg.iter(f"{SVG}text"):
            left, top, right, bottom = box_of(text)
            inside = left >= 0 and top >= 0 and right <= width and bottom <= height
            assert inside, f"{name}: {text.text}"
        if case != "nothing varies":  # there all names of the front belong to one point
            assert overlapping(svg) == [], name


def test_reported_points_have_no_band(drawn):
    svg = pictures(decided(points(3)))["heldout-mlm.loss"]
    ids = {element.get("id") for element in svg.iter()}
    assert "curve" in ids and "band" not in ids
    assert "95% interval" not in words(svg)
    assert "band" in {element.get("id") for element in drawn["heldout-mlm.loss"].iter()}


def test_without_a_guardrail_there_is_one_metric_and_no_front():
    checkpoints = [one.model_copy(update={"measurements": one.measurements[:1]}) for one in run(4)]
    svgs = pictures(decided(checkpoints, chosen=checkpoints[2].name, guardrails=()))
    assert list(svgs) == ["title-abstract.recall_at_1"]
    assert "candidate" in words(svgs["title-abstract.recall_at_1"])


def test_a_guardrail_far_off_is_said_and_does_not_flatten_the_curve():
    svg = pictures(decided(run(4), guardrails=((LOSS, 9.0),)))["heldout-mlm.loss"]
    said = " ".join(words(svg))
    assert "guardrail: 9 worse than owl-base (above this picture)" in said
    assert "1.05" in said


def test_where_nothing_is_selected_the_reference_stays():
    decision = decided(run(4))
    svg = pictures(decision)["heldout-mlm.loss"]
    assert "owl-base: 1.0810, stays" in words(svg)
    assert not any(text.startswith("selected") for text in words(svg))
    assert "owl-base, the reference, which stays" in alt_text(decision, LOSS)


def test_the_selected_need_not_have_the_best_value_and_the_picture_says_why():
    equals = [one.model_copy(update={"tied": 3 <= i <= 7}) for i, one in enumerate(run(9, 900))]
    decision = decided(equals, chosen="checkpoint-400")
    why = "5 candidates are the best as far as can be told; of these the policy takes the earliest."
    svgs = pictures(decision)
    assert why in " ".join(words(svgs["title-abstract.recall_at_1"]))
    assert why in " ".join(words(svgs["front"]))
    assert "the earliest" not in " ".join(words(svgs["heldout-mlm.loss"]))
    assert alt_text(decision, FIND).endswith(f"; {why}")


def test_names_of_the_front_without_room_stand_below_it():
    crowd = [average(f"last:{i}", 0.40 + 1e-4 * i, 0.95 + 1e-4 * i) for i in range(2, 22)]
    svg = pictures(decided(crowd, reference={FIND: 0.1, LOSS: 2.0}))["front"]
    said = words(svg)
    assert sum(text in {one.recipe for one in crowd} for text in said) < 10
    assert f"corners of the line: {', '.join(c.recipe for c in crowd[:-1])} and" in " ".join(said)


def test_a_candidate_that_is_best_on_both_is_named_without_a_line():
    said = words(pictures(decided(run(1), chosen="checkpoint-80000"))["front"])
    assert "On both step 80,000 is the best candidate." in said
    assert "no candidate is beyond this line" not in said


def test_a_guardrail_is_named_in_brief_where_the_reference_has_a_long_name():
    decision = decided(run(4), base="the-base-model-of-a-large-organisation-of-2024", chosen=None)
    averages = [average(f"last:{k}", 0.4, 0.97) for k in range(2, 12)]
    decision = decision.model_copy(update={"candidates": [*decision.candidates, *averages]})
    assert "guardrail: 0.02 worse" in words(pictures(decision)["heldout-mlm.loss"])


def test_alternative_text_is_one_sentence_with_the_finding():
    published = [
        candidate("checkpoint-20000", {FIND: 0.338, LOSS: 0.996}, step=20_000),
        candidate("checkpoint-50000", {FIND: 0.440, LOSS: 0.985}, step=50_000),
        candidate("checkpoint-80000", {FIND: 0.390, LOSS: 0.980}, step=80_000),
    ]
    decision = decided(published, chosen="checkpoint-50000")
    assert alt_text(decision, FIND) == (
        "Recall@1 of title-abstract on dev over training (higher is better): 0.279 for owl-base, "
        "the reference; 0.440 for the selected step 50,000, and none has a better value; "
        "0.390 at the end of training, step 80,000."
    )
    assert alt_text(decision, LOSS) == (
        "Loss of heldout-mlm on dev over training (lower is better): 1.0810 for owl-base, the "
        "reference; 0.9850 for the selected step 50,000, and 1 of 3 candidates has a better "
        "value; 0.9800 at the end of training, step 80,000."
    )
    assert front_alt_text(decision, LOSS) == (
        "Recall@1 of title-abstract (higher is better) against loss of heldout-mlm (lower is "
        "better) on dev: no candidate is better on both than step 80,000 and step 50,000; "
        "step 50,000 is selected."
    )


def test_the_front_holds_what_none_dominates_and_equals_of_it():
    found = [
        average(name, find, loss)
        for name, find, loss in (
            ("a", 0.40, 0.95), ("b", 0.45, 0.97), ("same-as-b", 0.45, 0.97),
            ("worse-loss", 0.45, 0.98), ("c", 0.50, 1.0), ("worse-find", 0.44, 0.97),
        )
    ]  # fmt: skip
    front = pareto_front(found, LOSS, FIND)
    assert [one.recipe for one in front] == ["a", "b", "same-as-b", "c"]


def test_the_stair_between_two_of_the_front_promises_the_worse_of_each():
    lower_higher = staircase([(0.95, 0.40), (1.0, 0.50)], LOSS, FIND)
    assert lower_higher == [(0.95, 0.40), (1.0, 0.40), (1.0, 0.50)]
    both_higher = staircase([(0.4, 0.9), (0.5, 0.8)], FIND, "find/mrr")
    assert both_higher == [(0.4, 0.9), (0.4, 0.8), (0.5, 0.8)]


def test_a_label_takes_the_free_place_and_gives_up_where_there_is_none():
    room = Room(Box(0, 0, 100, 100))
    room.draw([(0, 25), (100, 25)])
    crossed, free, outside = Box(10, 20, 40, 30), Box(10, 60, 40, 70), Box(90, 60, 120, 70)
    assert room.place([crossed, outside], worst=0) is None
    assert room.place([crossed, outside, free], worst=0) == free
    assert room.place([free], worst=0) is None, "it is taken"


def test_a_name_belongs_to_its_own_mark_and_no_other():
    room = Room(Box(0, 0, 100, 100))
    for x in (20, 50):
        room.mark((x, 50), 4)
    beside_the_other, beside_its_own = Box(30, 44, 44, 56), Box(4, 44, 12, 56)
    assert room.place([beside_the_other, beside_its_own], of=(20, 50)) == beside_its_own


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"drawing pictures needs the extra \[plot\]"):
        write_plots(science(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_plots(science(), tmp_path / "file")
