"""A drift kept as evidence and read back."""

import json
import math
from dataclasses import replace

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import measured_tasks, read_records
from mbrelease.evaluation.reported import reported_folder
from mbrelease.parity.drift import Change, Drift, Part
from mbrelease.parity.drift_record import (
    drift_file,
    read_drift_records,
    write_drift_record,
)
from mbrelease.parity.plot_drift import alt_text

CHILD, PARENT = "c" * 64, "a" * 64


def change(relative, *, parent=2.0, identical=False):
    return Change(9, relative**2 * parent, parent * 1.1, parent, parent * 1.03, identical)


def moved(n_layers=4):
    parts = [Part("embeddings", None, change(0.1))]
    for layer in range(n_layers):
        parts.append(Part("attention", layer, change(0.1 + layer / 3)))
        parts.append(Part("mlp", layer, change(0.2 + layer / 7)))
    parts.append(Part("head", None, change(0.3)))
    return Drift(tuple(parts), {"t": change(0.1)}, ("head.extra",), ("BF16", "F32"))


def keep(root, drift, parent="owl-base", **weights):
    child, other = weights.get("child", CHILD), weights.get("parent_weights", PARENT)
    return write_drift_record(root, drift, child, parent, other)


def test_a_drift_comes_back_as_it_was(tmp_path):
    path = keep(tmp_path, moved())
    assert path == tmp_path / "drift" / f"{'c' * 16}.{'a' * 16}.json"
    [record] = read_drift_records(tmp_path, CHILD)
    assert record.drift == replace(moved(), tensors={})
    assert (record.weights_sha256, record.parent) == (CHILD, "owl-base")
    assert (record.parent_weights_sha256, record.file) == (PARENT, path)
    assert alt_text(record.drift, "a", "b") == alt_text(moved(), "a", "b")


def test_its_figures_are_those_that_verify_tells(tmp_path):
    from mbrelease.parity.checks.drift import as_json

    content = json.loads(keep(tmp_path, moved()).read_text())
    told = as_json(moved())
    assert content["median_relative_norm"] == told["median_relative_norm"]
    for entry, part in zip(content["parts"], told["parts"], strict=True):
        assert {key: value for key, value in entry.items() if key != "sums"} == part


def test_it_is_measured_once(tmp_path):
    path = keep(tmp_path, moved())
    before = path.stat().st_mtime_ns, path.read_bytes()
    other = replace(moved(), parts=moved().parts[:-1])  # as another processor might sum
    assert keep(tmp_path, other) == path
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_a_broken_record_is_written_anew(tmp_path):
    path = keep(tmp_path, moved())
    good = path.read_bytes()
    path.write_text("{")
    keep(tmp_path, moved())
    assert path.read_bytes() == good


def test_a_parent_that_is_called_otherwise_now_is_told(tmp_path):
    keep(tmp_path, moved())
    keep(tmp_path, moved(), parent="snow-owl")
    assert [record.parent for record in read_drift_records(tmp_path, CHILD)] == ["snow-owl"]


def test_nothing_is_kept_of_what_cannot_be_told(tmp_path):
    nothing = replace(moved(), parts=())
    infinite = replace(moved(), parts=(Part("mlp", 0, replace(change(1), difference=math.nan)),))
    assert keep(tmp_path, nothing) is None
    assert keep(tmp_path, infinite) is None
    assert not (tmp_path / "drift").exists()


def test_other_weights_have_other_records(tmp_path):
    keep(tmp_path, moved())
    keep(tmp_path, moved(2), parent="snow-owl", parent_weights="b" * 64)
    keep(tmp_path, moved(3), child="c" * 16 + "d" * 48, parent_weights="e" * 64)
    found = read_drift_records(tmp_path, CHILD)
    assert [record.parent for record in found] == ["owl-base", "snow-owl"]
    assert read_drift_records(tmp_path, "f" * 64) == []
    assert read_drift_records(tmp_path / "nowhere", CHILD) == []


def set_to(path, value):
    """A change of the record: the value at a path of keys."""

    def edit(content):
        *way, last = path
        for step in way:
            content = content[step]
        content[last] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        set_to(["parts", 2, "relative_norm"], 0.5),
        set_to(["parts", 2, "cosine"], 0.5),
        set_to(["parts", 2, "sums", "difference"], 7.0),
        set_to(["parts", 2, "sums", "difference"], math.nan),
        set_to(["parts", 2, "sums", "difference"], "much"),
        set_to(["parts", 2, "part"], "beak"),
        set_to(["median_relative_norm"], 0.5),
        set_to(["format"], 2),
        set_to(["parts"], None),
        set_to(["dtypes"], ["F32"]),
        lambda content: content.pop("not_compared"),
    ],
)
def test_a_figure_that_was_changed_is_noticed(tmp_path, edit):
    path = keep(tmp_path, moved())
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="malformed drift") as caught:
        read_drift_records(tmp_path, CHILD)
    assert str(path) in str(caught.value) and "release measures it again" in str(caught.value)


def test_readers_of_results_do_not_see_it(tmp_path):
    keep(tmp_path, moved())
    assert measured_tasks(tmp_path, CHILD) == []
    assert read_records(tmp_path, CHILD, "drift") == []
    assert reported_folder(tmp_path, "x").parent != drift_file(tmp_path, CHILD, PARENT).parent
