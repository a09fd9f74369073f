"""Whatever stands on a Hub, `registry sync` writes no nonsense and stops with no traceback."""

from __future__ import annotations

import json
import socketserver
import time
from typing import Any

import pytest
from huggingface_hub import HfApi
from published_family import BASE, card, child, config, publish
from sync_project import Run

from mbrelease.registry.load import load_project

OWL = "lab/owl"
SHA = "0" * 40


@pytest.fixture
def serve(run: Run, family: HfApi, proxy, monkeypatch: pytest.MonkeyPatch):
    """Let the Hub say anything of lab/owl: its description, and its files by path."""
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    # The proxy would print that nobody reads a long file to its end.
    monkeypatch.setattr(socketserver.BaseServer, "handle_error", lambda *_: None)

    def start(info: Any = None, **files: str | bytes | tuple[int, str]) -> None:
        names = {"README": "README.md", "config": "config.json", "adapter": "adapter_config.json",
                 "mergekit": "mergekit_config.yml"}  # fmt: skip
        siblings = [{"rfilename": names[name], "blobId": name} for name in files]
        described = {"id": OWL, "sha": SHA, "private": False, "siblings": siblings}
        described |= info if isinstance(info, dict) else {}
        body = json.dumps(described) if isinstance(info, dict | None) else info
        texts = {f"/{OWL}/resolve/{SHA}/{names[name]}": text for name, text in files.items()}

        def answer(method: str, path: str) -> tuple[int, list[tuple[str, str]], bytes] | None:
            if path.startswith(f"/api/models/{OWL}"):
                return 200, [], body if isinstance(body, bytes) else body.encode()
            found = texts.get(path)
            if isinstance(found, tuple):
                return found[0], [("X-Error-Code", found[1])], b""
            return found if found is None else (
                200, [], found if isinstance(found, bytes) else found.encode("utf-8", "replace")
            )  # fmt: skip

        proxy.answers = answer

    return start


def is_well(run: Run, said: Any) -> None:
    """No traceback, nothing that a terminal would obey, and a registry that is valid."""
    assert said.code in (0, 1), said.err
    assert "Traceback" not in said.err
    shown = said.out + said.err
    assert all(c.isprintable() or c == "\n" for c in shown), ascii(shown)
    assert run("lint").code == 0


def shortly(value: object) -> str:
    """The name of a case; the text itself may be megabytes."""
    return ascii(value)[:40]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("readme", "told"),
    [
        (card(BOMB), "README.md: front matter: not valid YAML: aliases repeat more than"),
        (card("license: [mit"), "README.md: front matter: not valid YAML"),
        (card("license: mit\nlicense: x"), ""),
        (card("- a\n- b"), "README.md: the metadata are no mapping"),
        ("---\nlicense: mit\n" + "x" * 3_000_000, "README.md: no end of the metadata"),
        ("# no metadata\n" * 300_000, ""),
        (card("license: mit", "x" * 5_000_000), ""),
        (b"---\nlicense: mit\xff\n---\n", "license 'mit\ufffd' is none that the Hub knows"),
        (card("license: {a: b}\nlanguage: {a: b}\ntags: {a: b}"), "license a mapping is none"),
        (card("base_model: ../../etc/passwd"), "base_model '../../etc/passwd' is a path"),
        (card("base_model: [7, null, {a: b}, a/b/c]"), "base_model 7 is no text"),
        (card("base_model: a/..b"), "base_model 'a/..b' holds '--' or '..'"),
        (card('new_version: "x\\e[2J"'), "new_version 'x\\x1b[2J' is no id"),
        (card(f"base_model: {OWL}\nnew_version: {OWL}"), ""),
        (card("base_model_relation: [merge]"), "base_model_relation a list is none"),
        (card(f"base_model: [{', '.join(f'a/m{n}' for n in range(90))}]"), "90 base models"),
        (card("license: other\nlicense_name: 'a: b # {c'"), ""),
        (card("language: ['no', 'e\\n', xx-yy, 3]"), ""),
        (b"\x00\x01\x02", ""),
        ("", ""),
    ],
    ids=shortly,
)
def test_a_card_may_hold_anything(serve, run: Run, readme: str | bytes, told: str) -> None:
    serve(README=readme, config=config())
    start = time.process_time()
    said = run("sync", OWL, "--write")
    assert time.process_time() - start < 3
    is_well(run, said)
    assert told in said.err
    owl = load_project().registry.variants["owl"]
    assert owl.repo == OWL
    assert owl.license in (None, "mit", "other", "apache-2.0")
    assert run("sync", OWL).out == ""


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        "nothing",
        json.dumps({"architectures": ["\ud800", 3, None], "num_hidden_layers": "22"}),
        json.dumps({"num_hidden_layers": 10**30, "hidden_size": -3, "vocab_size": True}),
        '{"num_hidden_layers": 1e999, "hidden_size": NaN, "vocab_size": ' + "9" * 5000 + "}",
        config(num_hidden_layers=10**9),
        config(layer_types=["x"] * 22, architectures="ModernBertForMaskedLM"),
        config(norm_eps=float("inf"), global_rope_theta=float("nan")),
        config(hidden_activation="\x1b[31m"),
        "x" * 3_000_000,
    ],
    ids=shortly,
)
def test_a_config_may_hold_anything(serve, run: Run, text: str) -> None:
    serve(README=child(BASE), config=text, adapter=text, mergekit=text)
    is_well(run, run("sync", OWL, "--write"))
    design = load_project().registry.variants["owl"].architecture
    sizes = design.model_dump(exclude_none=True) if design else {}
    assert all(not isinstance(size, int) or 0 <= size < 10**12 for size in sizes.values())
    assert run("sync", OWL).out == ""


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("[1]", "the Hub's answer does not describe a model"),
        ("nothing", "the Hub's answer is no JSON"),
        ("[" * 200_000, "the Hub's answer is no JSON"),
        ({"id": "../../x"}, "the Hub's answer does not describe a model"),
        ({"sha": "main/../../x"}, "the Hub's answer does not describe a model"),
        ({"sha": None}, "the Hub's answer does not describe a model"),
        ({"x": "y" * 21_000_000}, "is longer than 20,000,000 bytes"),
        ({"siblings": "x", "tags": 3, "cardData": [], "safetensors": "x"}, ""),
        ({"siblings": [3, {"rfilename": 4}], "tags": [None, {}, "\ud800"]}, ""),
        ({"cardData": {"license": "\ud800", "base_model": [[[]]]}, "gated": "auto"}, ""),
        ({"safetensors": {"total": 10**400}}, ""),
        ({"safetensors": {"total": True}}, ""),
        ({"tags": ["base_model:adapter:x/y", "arxiv:../../x", "arxiv:2412.13663"]}, ""),
    ],
    ids=shortly,
)
def test_a_hub_may_answer_anything(serve, run: Run, info: Any, told: str) -> None:
    serve(info)
    said = run("sync", OWL, "--write")
    is_well(run, said)
    assert told in said.err
    assert ("owl" in load_project().registry.variants) == (not told)
    assert run("sync", OWL).out == ""


def test_of_a_gated_model_what_its_page_tells_is_read(serve, run: Run) -> None:
    page = {"license": "mit", "base_model": BASE, "base_model_relation": "quantized"}
    gated = (403, "GatedRepo")
    serve({"gated": "manual", "cardData": page}, README=gated, config=gated)
    said = run("sync", OWL, "--write")
    assert said.code == 0
    assert "README.md: gated: shown only to accounts that were granted access" in said.err
    owl = load_project().registry.variants["owl"]
    assert owl.license == "mit"
    assert [(p.variant, p.relation) for p in owl.parents] == [("base", "quantization")]


def test_a_hub_that_sends_in_circles_is_left(serve, proxy, run: Run) -> None:
    place = f"/api/models/{OWL}?blobs=true"
    proxy.answers = lambda method, path: (307, [("Location", place)], b"")
    said = run("sync", OWL)
    assert said.code == 1 and "Traceback" not in said.err and "redirect" in said.err


def test_a_list_leads_to_no_other_server(serve, proxy, run: Run) -> None:
    link = '<http://127.0.0.1:9/api/models?x=1>; rel="next"'
    proxy.headers = lambda method, path: {"Link": link} if "filter=" in path else {}
    assert run("sync", BASE, "--descendants").code == 0


def test_descendants_of_a_hub_without_a_filter(serve, proxy, run: Run) -> None:
    proxy.answers = lambda method, path: (404, [], b"") if "filter=" in path else None
    said = run("sync", BASE, "--descendants")
    assert said.code == 0
    assert f"what descends from {BASE}: it does not exist, or is private" in said.err


def test_a_model_that_would_break_the_registry_is_left_out_alone(family: HfApi, run: Run) -> None:
    readme = child(BASE, "tags: [model-soup]")
    publish(family, "lab/soup", README=readme, config=config(num_hidden_layers=4))
    publish(family, "lab/fine", README=child(BASE, "tags: [dapt]"), config=config())
    said = run("sync", "lab/soup", "lab/fine", "--write")
    assert run("lint").code == 0
    assert "fine" in load_project().registry.variants
    assert said.code == 0
