"""The picture of a drift, really drawn and read back."""

from __future__ import annotations

import itertools
import struct
import sys
from xml.etree import ElementTree

import pytest

from mbrelease.errors import MissingExtra, UserError
from mbrelease.parity.drift import Change, Drift, Part
from mbrelease.parity.plot_drift import alt_text, write_drift

SVG = "{http://www.w3.org/2000/svg}"


def moved(relative):
    """A change of that relative norm at a right angle, or none."""
    if relative == 0:
        return Change(9, 0.0, 1.0, 1.0, 1.0, identical=True)
    return Change(9, relative**2, 1 + relative**2, 1.0, 1.0, identical=False)


def model(n_layers, head=True, **unlike):
    """Each part moved a little further than the one before, but those given otherwise."""

    def part(kind, layer, relative):
        return Part(kind, layer, moved(unlike.get(f"{kind}{layer}", relative)))

    parts = [part("embeddings", None, 0.1)]
    for layer in range(n_layers):
        for kind, times in (("attention", 1.2), ("mlp", 1.0), ("norms", 0.1)):
            parts.append(part(kind, layer, times * 0.1 * (1 + layer / n_layers)))
    parts.append(part("norms", None, 0.01))
    return Drift((*parts, *([part("head", None, 0.2)] if head else [])), {}, (), ("F32", "F32"))


def drawn(drift, folder):
    svg, png = write_drift(drift, "owl-v2", "owl-base", folder)
    return ElementTree.fromstring(svg.read_bytes()), png.read_bytes()


def words(svg):
    return [element.text.strip() for element in svg.iter(f"{SVG}text")]


def ids(svg, beginning):
    found = [element.get("id", "") for element in svg.iter(f"{SVG}g")]
    return {int(name.removeprefix(beginning)) for name in found if name.startswith(beginning)}


@pytest.mark.parametrize("n_layers", [1, 2, 6, 22, 28, 60])
def test_each_part_has_a_mark_in_both_panels_and_its_figures_at_hand(tmp_path, n_layers):
    drift = model(n_layers)
    svg, png = drawn(drift, tmp_path)
    everyone = set(range(3 * n_layers + 3))
    assert ids(svg, "norm-") == ids(svg, "cosine-") == everyone
    assert ids(svg, "ring-") == set()
    hovers = [element.text for element in svg.iter(f"{SVG}title")]
    assert "embeddings: relative norm 0.1, cosine 0.995" in hovers
    assert {"emb.", "0", "norms", "head", "layer"} <= set(words(svg))
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">I", png[16:20]) == (1600,)


def test_the_numbers_of_layers_do_not_run_into_each_other(tmp_path):
    from mbrelease.parity.drift_columns import columns_of
    from mbrelease.pictures.sheet import SMALL, text_width

    for n_layers in (6, 22, 28, 60, 300):
        ticks = sorted(columns_of(model(n_layers), 540).ticks().items(), key=lambda pair: pair[1])
        ends = [(x - text_width(name, SMALL) / 2, x + text_width(name, SMALL) / 2)
                for name, x in ticks]  # fmt: skip
        assert all(one[1] + 4 < other[0] for one, other in itertools.pairwise(ends))


def test_what_exploded_and_what_stood_still_is_marked_and_named(tmp_path):
    unlike = {"mlp7": 3.0, "attention14": 0, "mlp14": 0, "norms14": 0, "attention3": 0}
    drift = model(22, **unlike)
    svg, _ = drawn(drift, tmp_path)
    [far] = ids(svg, "ring-")
    assert drift.parts[far].words == "the MLP of layer 7"
    said = words(svg)
    assert {"MLP of layer 7: 3", "layer 14", "attention of layer 3", "did not move"} <= set(said)
    assert "exploded: above 0.793" in said
    note = " ".join(said[-2:])
    assert note.endswith(
        "Exploded: the MLP of layer 7 (3); did not move: layer 14, the attention of layer 3."
    )
    hovers = [element.text for element in svg.iter(f"{SVG}title")]
    assert hovers.count("attention of layer 3: did not move") == 2


def test_without_a_remark_the_part_that_moved_farthest_is_named(tmp_path):
    said = words(drawn(model(6), tmp_path)[0])
    assert "attention of layer 5: 0.22" in said
    assert "did not move" not in said
    assert not [line for line in said if line.startswith("exploded")]


def test_the_alt_text_tells_the_finding(tmp_path):
    drift = model(22, mlp7=3.0, embeddingsNone=0)
    told = alt_text(drift, "owl-v2", "owl-base")
    assert told == (
        "How far each part of owl-v2 moved from owl-base: median relative norm 0.164, from 0.1 "
        "(the MLP of layer 0) to 3 (the MLP of layer 7); cosine down to 0.3162; "
        "exploded: the MLP of layer 7 (3); did not move: the embeddings."
    )
    assert drawn(drift, tmp_path)[0].find(f"{SVG}desc").text == told


@pytest.mark.parametrize(
    "unlike",
    [
        {f"{kind}{layer}": 0 for kind in ("attention", "mlp", "norms") for layer in range(3)},
        {f"{kind}{layer}": 1e-9 for kind in ("attention", "mlp", "norms") for layer in range(3)},
        {"mlp1": 1e9},
    ],
)
def test_extremes_are_drawn(tmp_path, unlike):
    svg, _ = drawn(model(3, head=False, **unlike), tmp_path)
    assert ids(svg, "norm-") == set(range(11))
    assert "head" not in words(svg)


def test_parts_that_began_as_zeros_have_no_mark(tmp_path):
    from dataclasses import replace

    drift = model(3)
    zeros = Part("head", None, Change(9, 1.0, 1.0, 0.0, 0.0, identical=False))
    svg, _ = drawn(replace(drift, parts=(*drift.parts[:-1], zeros)), tmp_path)
    assert ids(svg, "norm-") == ids(svg, "cosine-") == set(range(11))


def test_the_same_drift_gives_the_same_bytes(tmp_path):
    first = [path.read_bytes() for path in write_drift(model(6), "a", "b", tmp_path / "one")]
    again = [path.read_bytes() for path in write_drift(model(6), "a", "b", tmp_path / "two")]
    assert first == again


def test_long_and_strange_names_are_shortened_and_escaped(tmp_path):
    svg_path, _ = write_drift(model(3), "a<&>" * 60, "b", tmp_path)
    svg = ElementTree.fromstring(svg_path.read_bytes())
    assert any("…" in line and line.startswith("a<&>") for line in words(svg))


def test_without_matplotlib_it_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="plot"):
        write_drift(model(3), "a", "b", tmp_path)


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError):
        write_drift(model(3), "a", "b", tmp_path / "file")
