"""What each format says: text, Mermaid, DOT, SVG and the page, also of hostile names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from families import SMALL, large, project, push

from mbrelease.errors import UserError
from mbrelease.graph.dot import dot_text
from mbrelease.graph.family import KINDS, Edge, Figure, Graph, Node, read_graph
from mbrelease.graph.looks import LOOKS, STATE_DASHES, style_sheet
from mbrelease.graph.mermaid import mermaid_page, mermaid_text, too_large
from mbrelease.graph.page import html_page
from mbrelease.graph.scope import Scope
from mbrelease.graph.svg import svg_document
from mbrelease.graph.text import graph_text
from mbrelease.registry.load import load_project
from mbrelease.registry.schema import HUB_RELATION

SVG = "{http://www.w3.org/2000/svg}"
BAD = '</text><script>alert("1")</script> & \\" `x` _y_ %% #35; ]] --> [[ 中'
WORDS = ("end", "default", "style", "subgraph", "__init__", "1.x", "x-", BAD, "node", "o")
HOSTILE = Graph(
    family=BAD,
    nodes=tuple(
        Node(
            name,
            repo=name,
            aliases=(BAD, "end"),
            figures=(Figure(f"{BAD}/recall@1", "−0.5", "measured", BAD, comparable=False),),
            facts=((BAD, BAD),),
        )
        for name in WORDS
    ),
    edges=tuple(Edge("end", name, kind) for name in WORDS[1:] for kind in KINDS),
    total=len(WORDS),
)


THREE = pytest.mark.parametrize(
    "graph",
    [HOSTILE, read_graph(project(SMALL)), read_graph(project(large(100)))],
    ids=["bad", "small", "100"],
)


@pytest.fixture
def small() -> Graph:
    return read_graph(project(SMALL))


def test_every_relation_and_state_has_a_look_of_its_own():
    assert set(LOOKS) == {*HUB_RELATION, "supersedes"} == set(KINDS)
    looks = [(look.colour, look.dashes) for look in LOOKS.values()]
    assert len(set(looks)) == len(looks)
    assert len(set(STATE_DASHES.values())) == 3


def test_text_is_a_tree_in_eighty_columns():
    made = project(SMALL)
    text = graph_text(read_graph(made), made.registry)
    assert (
        text
        == """\
Lineage of Owls
12 variants: 3 released, 2 planned, 7 in unknown state

● owl-base  owls/owl-base
├── ● owl-large  weight initialization
│   └── · merge  merging, also of mean, owl-base
│       ├── · small
│       │       distillation; weight initialization of owl-base; state unknown,
│       │       superseded
│       └── · int8  quantization; supersedes small
├── ● science-v1
│       continued pretraining; owls/science-v1; released, superseded; alias
│       production
├── ○ science-v2
│   │   continued pretraining; supersedes science-v1; owls/science-v2; alias
│   │   next
│   └── · mean  averaging, also of law, long
│       └── · merge  merging, also of owl-large, owl-base; drawn above
├── ○ law  fine-tuning
│   ├── · long  context extension
│   │   └── · mean  averaging, also of science-v2, law; drawn above
│   ├── · mean  averaging, also of science-v2, long; drawn above
│   └── · adapter  adapter
├── · merge  merging, also of mean, owl-large; drawn above
└── · small  weight initialization; distillation of merge; drawn above
· alone

● released  ○ planned  · unknown
"""
    )
    assert max(map(len, text.splitlines())) <= 80


def test_mermaid_has_ids_that_are_safe_and_words_that_are_escaped(small):
    text = mermaid_text(small)
    assert '  n0["owl-base<br>owls/owl-base<br>released"]:::released' in text
    assert '  n0 -.->|"weight initialization"| n1' in text
    assert '  n2 -.->|"superseded by"| n3' in text


def lines_of_mermaid(text: str) -> list[str]:
    """The lines below the front matter, each of a form that the documentation has."""
    head, rest = text.split("\n---\n", 1)
    assert re.fullmatch(r'---\ntitle: ".*"', head) and json.loads(head.split("title: ")[1])
    first, *lines = rest.splitlines()
    assert first == "flowchart LR"
    word = r'"(?:[\w .,()/-]|#\d+;|<br>)*"'
    forms = (
        rf"  n\d+\[{word}\]:::(released|planned|unknown)",
        rf"  n\d+ (-->|-\.->)\|{word}\| n\d+",
        r"  classDef (released|planned|unknown) [a-z-]+:[\w ]+",
        r"  linkStyle \d+(,\d+)* stroke:#[0-9a-f]{6}",
    )
    for line in lines:
        assert any(re.fullmatch(form, line, re.ASCII) for form in forms), line
    return lines


@THREE
def test_mermaid_keeps_to_the_grammar(graph):
    lines = lines_of_mermaid(mermaid_text(graph))
    assert sum("-->|" in line or "-.->|" in line for line in lines) == len(graph.edges)
    styled = [re.findall(r"\b\d+(?=[, ])", line) for line in lines if "linkStyle" in line]
    assert sorted(int(place) for places in styled for place in places) == [
        i for i, e in enumerate(graph.edges) if e.kind != "supersedes"
    ]


def test_mermaid_that_github_refuses_is_known_before(small):
    assert too_large(small) is None
    why = too_large(read_graph(project(large(500))))
    assert why is not None and "500" in why
    assert mermaid_page(small).count("```") == 2


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@THREE
def test_graphviz_draws_the_dot(graph):
    done = subprocess.run(
        ["dot", "-Tplain"], input=dot_text(graph), capture_output=True, text=True, check=True
    )
    assert "syntax" not in done.stderr
    kinds = [line.split(" ", 1)[0] for line in done.stdout.splitlines()]
    assert kinds.count("node") == len(graph.nodes)
    assert kinds.count("edge") == len(graph.edges)


def test_dot_quotes_what_is_not_its_own():
    text = dot_text(HOSTILE)
    assert text.count("\n") == 7 + len(HOSTILE.nodes) + len(HOSTILE.edges)
    # Outside of quoted strings nothing of a name is left.
    bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    assert "script" not in bare and "subgraph" not in bare and "中" not in bare


@pytest.mark.parametrize("graph", [HOSTILE, read_graph(project(SMALL))], ids=["bad", "small"])
def test_the_svg_is_well_formed_and_asks_for_nothing(graph):
    text = svg_document(graph)
    root = ET.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-labelledby") == "title desc"
    assert root.find(f"{SVG}title").text == graph.title
    assert root.find(f"{SVG}desc").text.startswith(graph.counts)
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "text", "g", "path", "circle"}
    for each in root.iter():
        assert not any(name.startswith("on") or "href" in name or name == "style"
                       for name in each.attrib)  # fmt: skip
    assert "url(" not in text and "@import" not in text
    titles = [g.find(f"{SVG}title").text for g in root.iter(f"{SVG}g") if g.get("data-node")]
    assert titles == [node.name for node in graph.nodes]


def test_the_svg_says_every_edge_by_line_word_and_legend(small):
    root = ET.fromstring(svg_document(small))
    texts = [each.text for each in root.iter(f"{SVG}text")]
    for kind in small.kinds:
        word = LOOKS[kind].word
        assert texts.count(word) >= 2, word  # beside a line and in the legend
    # A word for each kind of line into each variant, and one more in the legend.
    entries = {(edge.newer, edge.kind) for edge in small.edges}
    assert texts.count("merging") == 1 + sum(kind == "merging" for _, kind in entries)
    assert {"released", "planned", "state unknown"} <= set(texts)
    assert "released, superseded" in texts and "alias production" in texts


def test_colours_can_be_read_on_their_paper():
    """By WCAG's contrast: words at least 4.5, lines at least 3."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((light(one), light(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for colours in re.findall(r"--ink:[^}]+", style_sheet()):
        named = dict(pair.split(":") for pair in colours.replace("--", "").split(";"))
        for name in (*LOOKS, "ink", "muted"):
            assert contrast(named[name], named["paper"]) >= 3, name
        for name in ("ink", "muted"):
            assert contrast(named[name], named["panel"]) >= 4.5, name


class Scripts(HTMLParser):
    """The scripts, the policy and all addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.policy = ""
        self.addresses: list[str] = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._open = tag == "script"
        self.scripts += [""] if self._open else []
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        self.addresses += [given[name] for name in ("src", "href", "action") if name in given]
        assert not any(name.startswith("on") or name == "style" for name in given), given

    def handle_endtag(self, tag):
        self._open = False

    def handle_data(self, data):
        if self._open:
            self.scripts[-1] += data


@pytest.mark.parametrize("graph", [HOSTILE, read_graph(project(SMALL))], ids=["bad", "small"])
def test_the_page_holds_all_it_needs_and_a_policy(graph):
    page = Scripts(html_page(graph))
    data, script = page.scripts
    assert page.addresses == ["data:,"]
    assert "default-src 'none'" in page.policy and page.policy.count("'sha256-") == 2
    assert "unsafe" not in page.policy
    content = json.loads(data)
    assert [node["name"] for node in content["nodes"]] == [node.name for node in graph.nodes]
    assert len(content["edges"]) == len(set(graph.edges))
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "eval(",
        "fetch",
        "XMLHttp",
        "import(",
    ):
        assert word not in script


def test_a_page_is_refused_where_a_browser_would_choke():
    nodes = tuple(Node(f"v{i}") for i in range(5001))
    with pytest.raises(UserError, match="5,001 variants are too many") as error:
        html_page(Graph("x", nodes, (), 5001))
    assert "VARIANT" in (error.value.mend or "")


def names(scope: Scope) -> list[str]:
    return [node.name for node in read_graph(project(SMALL), scope).nodes]


def test_scopes():
    assert names(Scope("law", descendants=False)) == ["owl-base", "law"]
    assert names(Scope("law", ancestors=False, depth=1)) == ["law", "long", "mean", "adapter"]
    assert "alone" not in names(Scope("owl-base")) and len(names(Scope("owl-base"))) == 11
    # Versions belong to a variant, whichever way one looks.
    assert names(Scope("science-v1", ancestors=False)) == ["science-v1", "science-v2"]
    assert names(Scope("alone")) == ["alone"]


def test_titles_say_what_is_drawn():
    part = read_graph(project(SMALL), Scope("law", descendants=False, depth=1))
    assert part.title == "Owls: what law comes from, 1 step at most"
    assert part.counts == "2 of 12 variants: 1 released, 1 planned"


def test_the_tag_of_the_last_push_is_the_version(tmp_path):
    push(tmp_path, "Owls/Science-V1", "v1.0", "2025-01-01T00:00:00Z")
    push(tmp_path, "owls/science-v1", "v1.1", "2025-03-01T00:00:00Z")
    (tmp_path / "receipts" / "broken.json").write_text("{")
    graph = read_graph(project(SMALL, tmp_path))
    states = {node.name: node.state_words for node in graph.nodes}
    assert states["science-v1"] == "released v1.1, superseded"
    assert states["owl-base"] == "released"


def test_a_variant_of_an_included_file_says_where_it_stands(tmp_path):
    (tmp_path / "registry.yaml").write_text(
        "version: 1\nfamily: Owls\ninclude: [parts/*.yaml]\nvariants:\n  owl-base: {}\n"
    )
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "law.yaml").write_text(
        "# of law\nvariants:\n  law:\n    parents: [{variant: owl-base, relation: adapter}]\n"
    )
    base, law = read_graph(load_project(tmp_path / "registry.yaml")).nodes
    assert ("defined in", "parts/law.yaml:3") in law.facts
    assert "defined in" not in dict(base.facts)
