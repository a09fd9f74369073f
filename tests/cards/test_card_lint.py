"""`card --lint`: pictures, links, shell blocks, results, licences of the family; one fault each."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from card_projects import REGISTRY, Build

from mbrelease.cards.lint import lint_card
from mbrelease.cli.card_lint import lint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.metadata.license_terms import TERMS, contradiction, data_contradiction
from mbrelease.metadata.licenses import LICENSE_IDS

HEAD = "---\nlicense: mit\n---\n\n"


def told(body: str, folder: Path | None = None, head: str = HEAD) -> list[str]:
    return [str(finding) for finding in lint_card(head + body, folder=folder)]


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with a picture and a licence."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "bars (1).png").write_bytes(b"")
    (tmp_path / "figures" / "bars.png").write_bytes(b"")
    (tmp_path / "LICENSE").write_text("text")
    return tmp_path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("![What it shows](figures/gone.png)", "the picture 'figures/gone.png' is missing"),
        ("a ![](figures/bars.png)", "the picture 'figures/bars.png' has no alternative text"),
        ("![ ](https://example.org/x.png)", "the picture 'https://example.org/x.png' has no"),
        ('<img src="figures/bars.png">', "the picture 'figures/bars.png' has no alternative text"),
        ("<img alt='x' src='figures/gone.png'/>", "the picture 'figures/gone.png' is missing"),
        ('<picture><source srcset="figures/no.svg 2x"></picture>', "'figures/no.svg' is missing"),
        ("[![x](figures/gone.png)](LICENSE)", "the picture 'figures/gone.png' is missing"),
        ("[the text](LICENCE)", "the link 'LICENCE' is missing"),
        ("[the text](docs/a.md#part)", "the link 'docs/a.md#part' is missing"),
        ("<a href='gone.md'>x</a>", "the link 'gone.md' is missing"),
        ("[text][1]\n\n[1]: gone.md", "the link 'gone.md' is missing"),
        ("[text](../registry.yaml)", "the link '../registry.yaml' leads out of the folder"),
        ("[text](" + "x" * 5000 + ")", "is no file"),
    ],
)  # fmt: skip
def test_what_is_not_there_or_says_nothing(body: str, expected: str, beside: Path) -> None:
    found = told(body, beside)
    assert len(found) == 1 and expected in found[0], found


@pytest.mark.parametrize(
    "body",
    [
        "![Bars](figures/bars.png)",
        '![Bars](figures/bars.png "a title")',
        "![Bars](<figures/bars (1).png>)",
        "![Bars](figures/bars%20\\(1\\).png)",
        '<img alt="" src="figures/bars.png">',
        "[text](LICENSE) and [text](LICENSE#top) and [figures](figures)",
        "[a](https://example.org) [b](#part) [c](mailto:a@b.org) [d](/org/model)",
        "`![](gone.png)` and ``[x](gone)``",
        "```\n![](gone.png)\n```",
        "~~~md\n<img src='gone.png'>\n~~~",
        "<!-- ![](gone.png) <img src='gone.png'> -->",
        "\\![x](LICENSE) \\[not a link](gone.md)",
        "an array `a[0](1)` and a[0] (gone)",
        "",
    ],
)
def test_what_is_in_order(body: str, beside: Path) -> None:
    assert told(body, beside) == []


def test_the_line_is_that_of_the_file(beside: Path) -> None:
    body = (
        "# T\n\n```\n![](x)\n```\n\n<div>\n<img src='figures/bars.png'>\n</div>\n\n![a](gone.png)\n"
    )
    assert [line.split(": ")[0] for line in told(body, beside)] == ["README.md:12", "README.md:15"]


def test_without_a_folder_no_file_is_looked_for() -> None:
    assert told("![a](gone.png) [b](gone.md)") == []
    assert len(told("![](gone.png)")) == 1


def test_a_shell_block_that_does_what_it_does_not_say() -> None:
    (found,) = told("```bash\npip install transformers>=4.48\n```\n")
    assert found.startswith("README.md:6: without quotes transformers>=4.48 writes to a file")
    assert "mend: write 'transformers>=4.48' with its quotes" in found


def test_the_text_of_a_licence_without_an_id_lies_beside_the_card(beside: Path) -> None:
    head = "---\nlicense: other\nlicense_name: owl\nlicense_link: LICENSE\n---\n"
    assert told("", beside, head) == []
    (beside / "LICENSE").unlink()
    (found,) = told("", beside, head)
    assert found.startswith("README.md:4: license_link 'LICENSE' is no file beside the card")


def test_results_beside_the_card(beside: Path) -> None:
    folder = beside / ".eval_results"
    folder.mkdir()
    (folder / "good.yaml").write_text("- dataset: {id: a/b, task_id: c}\n  value: 1\n")
    assert told("", beside) == []
    (folder / "bad.yaml").write_text("- dataset: {id: a/b}\n  value: 1\n")
    (folder / "lost.yml").write_text("[]")
    (folder / "latin.yaml").write_bytes(b"\xff")
    found = told("", beside)
    assert [line.split(": ")[0] for line in found] == [
        ".eval_results/bad.yaml:1", ".eval_results/latin.yaml:1", ".eval_results/lost.yml:1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    ["[" * 50_000, "![" * 30_000 + "](", "`" * 30_001 + "x", "<img " * 20_000, "](" * 30_000,
     "[a](" + "(" * 30_000, "<!--" * 20_000, "``x" * 20_000],
)  # fmt: skip
def test_a_hostile_body_is_read_in_time(body: str, beside: Path) -> None:
    import time

    begun = time.perf_counter()
    told(body, beside)
    assert time.perf_counter() - begun < 3


# -- licences ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parent", "child", "why"),
    [
        ("gpl-3.0", "apache-2.0", "demands the same licence"),
        ("gpl-3.0", "agpl-3.0", None),
        ("agpl-3.0", "gpl-3.0", "demands the same licence"),
        ("lgpl-3.0", "mit", "demands the same licence"),
        ("cc-by-sa-4.0", "cc-by-4.0", "demands the same terms"),
        ("cc-by-sa-4.0", "gpl-3.0", None),
        ("cc-by-nc-4.0", "apache-2.0", "allows no commercial use"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "demands the same terms"),
        ("cc-by-nc-nd-4.0", "cc-by-nc-nd-4.0", "allows no adaptations"),
        ("llama3.1", "apache-2.0", "demands that its agreement"),
        ("llama3.1", "llama3.1", None),
        ("llama3.1", "llama3.2", "demands that its agreement"),
        ("gemma", "mit", "demands that its terms"),
        ("bigscience-openrail-m", "mit", "limits of use"),
        ("openrail", "creativeml-openrail-m", None),
        ("fair-noncommercial-research-license", "mit", "research only"),
        ("grok2-community", "mit", "agreement"),
        ("osl-3.0", "mit", "same licence"),
        ("apache-2.0", "mit", None),
        ("mit", "cc-by-nc-4.0", None),
        ("gpl-3.0", "other", None),
        ("gpl-3.0", "unknown", None),
    ],
)
def test_what_a_parents_licence_demands(parent: str, child: str, why: str | None) -> None:
    found = contradiction(parent, child)
    assert (found is None) if why is None else (found is not None and why in found)


@pytest.mark.parametrize(
    ("data", "model", "why"),
    [
        ("CC BY-NC 4.0", "apache-2.0", "allows no commercial use"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", None),
        ("Non-commercial, on request", "mit", "allows no commercial use"),
        ("cc-by-nd-4.0", "mit", "allows no derivatives"),
        ("CC BY 4.0", "mit", None),
        ("ncsa", "mit", None),
        ("cc-by-nc-4.0", "other", None),
    ],
)
def test_what_the_licence_of_data_says(data: str, model: str, why: str | None) -> None:
    found = data_contradiction(data, model)
    assert (found is None) if why is None else (found is not None and why in found)


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: terms.ids)
def test_each_entry_is_of_licences_that_there_are_and_has_a_source(terms: Any) -> None:
    import re

    assert any(re.fullmatch(terms.ids, each) for each in LICENSE_IDS)
    assert "http" in terms.source


def with_licences(**licences: str) -> dict[str, Any]:
    registry = copy.deepcopy(REGISTRY)
    for name, license_id in licences.items():
        registry["variants"][name]["license"] = license_id
    return registry


Lint = Callable[..., list[str]]


@pytest.fixture
def family(build: Build) -> Lint:
    """Lints the card of `science`, whose registry names these licences."""

    def run(card: str, variant: str | None = "science", **licences: str) -> list[str]:
        project = build(with_licences(**licences), splits=(), decide=False).project
        return [str(each) for each in lint_card(card, project=project, variant=variant)]

    return run


def test_a_licence_that_contradicts_the_parents_names_both(family: Lint) -> None:
    (found,) = family(HEAD, base="cc-by-nc-4.0")
    assert found == (
        "README.md:2: license 'mit' contradicts that of 'base', which it was made from: "
        "'cc-by-nc-4.0' allows no commercial use; mend: license: cc-by-nc-4.0"
    )
    (found,) = family(HEAD, base="cc-by-nd-4.0")
    assert "mend: ask its authors" in found
    assert family(HEAD, base="apache-2.0") == []


def test_a_base_model_that_the_registry_knows_counts_without_a_variant(family: Lint) -> None:
    card = "---\nlicense: mit\nbase_model: ORG/base\nbase_model_relation: finetune\n---\n"
    (found,) = family(card, None, base="gpl-3.0")
    assert "contradicts that of 'base'" in found
    assert family(card.replace("ORG/base", "org/stranger"), None, base="gpl-3.0") == []


def test_data_that_contradict_are_a_warning(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["variants"]["science"]["data"][0]["license"] = "CC BY-NC 4.0"
    project = build(registry, splits=(), decide=False).project
    (found,) = lint_card(HEAD, project=project, variant="science")
    assert str(found).startswith(
        "README.md:2: warning: license 'mit' contradicts that of the data 'Papers': "
        "'CC BY-NC 4.0' allows no commercial use"
    )


def test_new_version_on_the_card_of_the_newer_model(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["variants"]["science"] |= {"supersedes": "base"}
    project = build(registry, splits=(), decide=False).project
    card = "---\nlicense: apache-2.0\nnew_version: org/base\n---\n"
    (found,) = lint_card(card, project=project, variant="science")
    assert "README.md:3: new_version 'org/base' is the older model" in str(found)


# -- the command ------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


def run_lint(readme: Path, endpoint: str | None = None, *, quiet: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    errors = lint(readme, project=None, variant=None, endpoint=endpoint, answer=answer, quiet=quiet)
    assert errors == answer["errors"]
    return answer


def test_a_line_a_finding_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("---\nlicense: apache2\npipeline_tag: fill-masks\n---\n")
    answer = run_lint(Path("README.md"))
    out, err = capsys.readouterr()
    assert out == (
        "README.md:2: license 'apache2' is unknown to the Hub; mend: apache-2.0\n"
        "README.md:3: warning: pipeline_tag 'fill-masks' is not in the Hub's list, and nobody can "
        "filter by it; mend: fill-mask\n"
    )
    assert err == "README.md: 1 error, 1 warning\n"
    assert (answer["errors"], answer["warnings"], answer["asked"]) == (1, 1, None)
    assert answer["findings"][0]["line"] == 2
    json.dumps(answer)
    run_lint(tmp_path / "README.md")
    assert capsys.readouterr().out.startswith(f"{tmp_path}/README.md:2: ")
    run_lint(Path("README.md"), quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_sound_card_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text(HEAD)
    assert run_lint(tmp_path / "README.md")["findings"] == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_card_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    readme = tmp_path / "README.md"
    if content is not None:
        readme.write_bytes(content)
    with pytest.raises(UserError):
        run_lint(readme)


@pytest.fixture
def hub_url(tmp_path: Path) -> Iterator[str]:
    from mbrelease.hub.rehearsal.server import running

    with running(tmp_path / "hub") as url:
        yield url


def test_a_hub_is_asked_where_one_is_named(
    hub_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("---\nlicense: mit\ntags: owls\n---\n")
    answer = run_lint(readme, hub_url)
    assert answer["asked"] == hub_url
    assert [(each["line"], each["field"]) for each in answer["findings"]] == [
        (3, "tags"), (3, "tags"),
    ]  # fmt: skip
    said = f'{readme}:3: {hub_url} says: "tags" must be a list of strings'
    assert said in capsys.readouterr().out
    monkeypatch.setenv("HF_ENDPOINT", hub_url)
    assert run_lint(readme)["errors"] == 2
    monkeypatch.delenv("HF_ENDPOINT")
    assert run_lint(readme)["errors"] == 1


def test_a_token_is_not_sent_to_the_address(tmp_path: Path, monkeypatch) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"errors": [], "warnings": [{"message": "a remark"}]}')

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("HF_TOKEN", "hf_" + "Secret" * 6)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    readme = tmp_path / "README.md"
    readme.write_text(HEAD)
    answer = run_lint(readme, f"http://127.0.0.1:{server.server_port}")
    server.server_close()
    assert [each["level"] for each in answer["findings"]] == ["warning"]
    assert seen and "Secret" not in str(seen)


def test_a_hub_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(HEAD)
    with pytest.raises(CheckFailed) as caught:
        run_lint(tmp_path / "README.md", "http://127.0.0.1:9")
    assert "cannot reach http://127.0.0.1:9" in str(caught.value)


def test_a_secret_is_found_fault_with_and_not_quoted() -> None:
    secret = "hf_" + "abcdEFGH12" * 3 + "wxyz"
    for line in (f"license: {secret}", f"license: {'x' * 50} {secret}"):
        told = " ".join(one.what for one in lint_card(f"---\n{line}\n---\n\n# Tiny\n"))
        assert "unknown to the Hub" in told and "hf_" not in told
