"""Tables of reported figures where something is amiss, and what is computed in them."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from mbrelease.cards.exact import exact, exact_text, signed_text
from mbrelease.cards.fields import read_field
from mbrelease.cards.published import read_published
from mbrelease.cards.told import Derived, Field, extract, visible
from mbrelease.errors import UserError
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.registry.load import load_project

REGISTRY = """\
version: 1
family: Owls
peers:
  jay: {title: Jay, parameters: 110_000_000, context: 512, note: It reads 512 tokens.}
document_sets:
  short: {title: Short, documents: 10, tokens: 4_000, source: {name: Owl paper, place: Table 9}}
variants:
  owl:
    architecture: {parameters: 149_000_000, context: 8_192}
    card: {title: Owl, tables: [birds]}
tables:
  birds:
    title: Birds
    models: [jay, owl]
"""
COLUMNS = """\
    columns:
      - {label: A, metric: "nests[a]/f1"}
      - {label: B, metric: "nests[b]/f1"}
      - {label: All, metric: nests/f1, check: {mean: ["nests[*]/f1"]}}
"""
PAPER = ReportSource("https://example.org/owl.pdf", "Owl paper", "Table 1")
BLOG = ReportSource("https://example.org/blog", "Owl blog", None)


def report(subset, value, metric="f1", task="nests", source=PAPER, split="test", **fields):
    return ReportedResult(task, split, metric, value, source, subset=subset, **fields)


FIGURES = {"jay": [10.0, 20.1, 15.1], "owl": [11.0, 20.0, 15.5]}


@pytest.fixture
def birds(tmp_path):
    """Makes the table of a registry with figures of its own, or with the usual ones."""

    def make(rest=COLUMNS, registry=REGISTRY, **reports):
        (tmp_path / "registry.yaml").write_text(registry + rest)
        for model, values in FIGURES.items():
            usual = [report(s, v) for s, v in zip(("a", "b", "default"), values, strict=True)]
            write_reported(tmp_path / "evidence", model, [*usual, *reports.pop(model, [])])
        for model, others in reports.items():
            write_reported(tmp_path / "evidence", model, others)
        return tmp_path

    return make


def read(root):
    [table] = read_published(load_project(root / "registry.yaml"), "owl")
    return table


def rows(root):
    """The cells below the header, as they stand in the Markdown."""
    lines = visible(read(root).bands[0].table.markdown).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def alter(root, model, edit):
    path = root / "evidence" / "reported" / model / "nests.json"
    content = json.loads(path.read_text())
    edit(content["scores"]["test"])
    path.write_text(json.dumps(content))


def test_the_figures_stand_there_with_the_best_in_bold(birds):
    assert rows(birds()) == [
        ["Jay", "10.0", "**20.1**", "15.1"],
        ["Owl", "**11.0**", "20.0", "**15.5**"],
    ]
    table = read(birds())
    assert [visible(one) for one in table.sources] == [
        "[Owl paper](https://example.org/owl.pdf), Table 1"
    ]
    assert [visible(note) for note in table.notes] == ["Jay: It reads 512 tokens."]


def test_every_number_leads_to_its_record(birds):
    root = birds()
    text, spans = extract(read(root).bands[0].table.markdown)
    found = {text[span.start : span.end]: span.origin for span in spans}
    assert found["20.1"] == Field("evidence/reported/jay/nests.json", "scores.test[1].f1", 20.1)
    for shown, origin in found.items():
        content = json.loads((root / origin.file).read_text())
        assert read_field(content, origin.field) == float(shown)


def test_an_altered_record_shows_and_no_longer_adds_up(birds):
    root = birds()
    alter(root, "owl", lambda entries: entries[0].update(f1=9.0, main_score=9.0))
    assert rows(root) == [
        ["Jay", "**10.0**", "**20.1**", "15.1"],
        ["Owl", "9.0", "20.0", "**15.5**‡"],
    ]
    note = visible(read(root).notes[-1])
    assert note == (
        "‡ Recomputed from its parts it is the figure in brackets; rounding cannot account "
        "for the difference. *All*: Owl 15.5 (14.500)."
    )


@pytest.mark.parametrize(
    ("published", "mark"),
    [(15.5, ""), (15.4, "†"), (15.6, "†"), (15.7, "‡"), (15.3, "‡")],
)
def test_rounding_accounts_for_half_a_unit_of_the_parts_and_of_the_figure(birds, published, mark):
    root = birds()
    alter(root, "owl", lambda entries: entries[2].update(f1=published, main_score=published))
    assert rows(root)[1][3] == f"**{published}**{mark}"


def test_a_missing_record_is_a_dash_and_without_it_nothing_is_checked(birds):
    root = birds()
    alter(root, "owl", lambda entries: entries.pop(1))
    assert rows(root) == [["Jay", "10.0", "20.1", "15.1"], ["Owl", "**11.0**", "–", "**15.5**"]]


def test_a_column_without_any_record_is_refused(birds):
    root = birds(COLUMNS.replace("nests[b]", "nests[c]"))
    with pytest.raises(UserError, match=r"column 'B' of table 'birds' is empty.*nests\[c\]/f1"):
        read(root)
    root = birds('    columns: [{label: Mean, mean: ["nests[a]/f1", "eggs/f1"]}]\n')
    with pytest.raises(UserError, match=r"nobody reported all of nests\[a\]/f1, eggs/f1 of any"):
        read(root)


def test_nan_is_refused_by_name(birds):
    root = birds()
    alter(root, "owl", lambda entries: entries[1].update(f1=float("nan"), main_score=float("nan")))
    with pytest.raises(UserError, match=r"reported/owl/nests\.json.*f1 of b is nan, not a finite"):
        read(root)


def test_two_records_that_contradict_each_other_are_both_named(birds):
    root = birds(owl=[report("a", 12.0, source=BLOG)])
    with pytest.raises(UserError) as error:
        read(root)
    assert error.value.message == (
        "nests[a]/f1 of owl was reported twice: "
        "11 (evidence/reported/owl/nests.json, split test, Owl paper, Table 1) and "
        "12 (evidence/reported/owl/nests.json, split test, Owl blog)"
    )


def test_of_two_that_agree_the_source_of_most_figures_is_named(birds):
    root = birds(owl=[report("a", 11.0, source=BLOG)])
    assert [visible(one) for one in read(root).sources] == [
        "[Owl paper](https://example.org/owl.pdf), Table 1"
    ]


def test_two_splits_contradict_each_other_until_the_table_names_one(birds):
    reports = {"owl": [report("a", 12.0, split="dev")]}
    with pytest.raises(UserError, match="split test.*split dev"):
        read(birds(**reports))
    assert rows(birds(COLUMNS + "    split: test\n", **reports))[1][1] == "**11.0**"


def test_values_of_single_steps_are_no_values_of_the_model(birds):
    step = report("a", 99.0, details={"step": 400})
    assert rows(birds(owl=[step]))[1][1] == "**11.0**"


def test_one_value_a_seed_is_shown_as_their_mean(birds):
    seeds = [report("default", value, task="eggs", seed=i) for i, value in enumerate((1.0, 1.1))]
    root = birds("    columns: [{label: Eggs, metric: eggs/f1}]\n", owl=seeds)
    assert rows(root) == [["Jay", "–"], ["Owl", "1.1"]]  # 1.05, and a half goes up
    _, [*_, span] = extract(read(root).bands[0].table.markdown)
    assert isinstance(span.origin, Derived)
    assert (span.origin.how, span.origin.value, len(span.origin.of)) == ("mean", 1.05, 2)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (80.05, 1, "80.1"), (0.285, 2, "0.29"), (2.675, 2, "2.68"), (-0.25, 1, "−0.3"),
        (-0.04, 1, "0.0"), (1455.5, 1, "1,455.5"), (1604.0, 0, "1,604"), (0.5, 0, "1"),
        (1e-05, 5, "0.00001"), (999.95, 1, "1,000.0"),
    ],
)  # fmt: skip
def test_half_a_unit_is_rounded_up_whatever_a_float_says(value, decimals, text):
    assert exact_text(exact(value), decimals) == text


def test_changes_are_signed():
    signed = [signed_text(Fraction(n, 10), 0) for n in (580, -3, 3, -6)]
    assert signed == ["+58", "0", "0", "−1"]


METRICS = """\
    layout: metrics
    columns: [{label: A, metric: "nests[a]/f1"}, {label: Loss, metric: song/loss}]
    change: {of: owl, against: jay, unit: UNIT}
"""


@pytest.mark.parametrize(
    ("unit", "changes"), [("relative", ["+10%", "−25%"]), ("points", ["+1.0", "−0.5"])]
)
def test_changes_with_metrics_on_the_left_and_a_loss_that_is_better_when_lower(
    birds, unit, changes
):
    losses = {"jay": 2.0, "owl": 1.5}
    reports = {m: [report("default", v, "loss", "song")] for m, v in losses.items()}
    root = birds(METRICS.replace("UNIT", unit), **reports)
    assert rows(root) == [
        ["A", "10.0", "**11.0**", changes[0]],
        ["Loss\u00a0↓", "2.0", "**1.5**", changes[1]],
    ]


SPEED = """\
    facts: [parameters, context]
    stated: {jay: {context: 500}}
    columns:
      - label: Speed
        metric: speed/thousand_tokens_per_second
        check: {thousand_tokens: short, seconds: speed/seconds}
      - {label: Time, metric: speed/seconds, sd: speed/seconds_sd}
    bold: within-2-sd
"""


def speed(thousands, seconds, sd):
    values = {
        "thousand_tokens_per_second": (thousands, True),
        "seconds": (seconds, False),
        "seconds_sd": (sd, None),
    }
    return [
        report("default", value, metric, "speed", higher_is_better=higher)
        for metric, (value, higher) in values.items()
    ]


def test_speed_is_held_against_tokens_over_seconds(birds):
    root = birds(SPEED, jay=speed(2.1, 2.0, 0.05), owl=speed(2.5, 2.1, 0.1))
    assert rows(root) == [
        ["Jay", "110M", "500", "2.1†", "**2.0**\u00a0±\u00a00.05"],
        ["Owl", "149M", "8,192", "**2.5**‡", "**2.1**\u00a0±\u00a00.10"],
    ]
    text, spans = extract(read(root).notes[-1])
    [computed] = [span.origin for span in spans if text[span.start : span.end] == "1.905"]
    assert computed.of[0] == Field("registry.yaml", "document_sets.short.tokens", 4000)


def test_text_of_a_registry_cannot_break_a_table(birds):
    hostile = REGISTRY.replace("title: Jay", 'title: "a | b <b> {{ c }} [x](y) **"')
    hostile = hostile.replace("title: Birds", 'title: "# | <script>"')
    line = read(birds(registry=hostile)).bands[0].table.markdown.splitlines()[2]
    assert visible(line).startswith(r"| a \| b &lt;b> \{\{ c }} \[x\](y) \*\*")


def test_what_is_reported_to_be_no_better_than_a_parent_is_a_limitation(birds):
    family = REGISTRY.replace(
        "    architecture:",
        "    parents: [{variant: owlet, relation: fine-tuning}]\n    architecture:",
    ).replace("models: [jay, owl]", "models: [jay, owlet, owl]")
    family = family.replace("variants:\n", "variants:\n  owlet: {card: {title: Owlet}}\n")
    owlet = [report("a", 11.0), report("b", 19.9)]
    table = read(birds(registry=family, owlet=owlet))
    [limitation] = table.limitations
    said = "It is reported to be no better than Owlet in *Birds*: A 11.0 against 11.0."
    assert visible(limitation.sentence) == said
    assert limitation.evidence == ("evidence/reported/owl/nests.json",)
    assert table.tasks == {"nests"}
