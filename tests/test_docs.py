"""The documentation is true: commands exist, links lead somewhere, generated pages are current."""

import doctest
import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from mbrelease.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands_of(page: Path) -> list[str]:
    """Every call of mbrelease in a shell block of ``page``."""
    found = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("sh", "console", "bash", ""):
            lines = block.replace("\\\n", " ").splitlines()
            calls = [line.removeprefix("$ ").split(" #")[0].strip(" &") for line in lines]
            found += [call for call in calls if call.startswith("mbrelease ")]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page):
    for call in commands_of(page):
        group, name, arguments = cli, "mbrelease", shlex.split(call)[1:]
        context = click.Context(group, info_name=name, **cli.context_settings)
        while isinstance(group, click.Group) and arguments and not arguments[0].startswith("-"):
            name, *arguments = arguments
            found = group.get_command(context, name)
            assert found is not None, f"{page.name}: {call}: no command {name}"
            group = found
            if isinstance(group, click.Group):
                context = click.Context(group, info_name=name, parent=context)
        if not arguments or isinstance(group, click.Group):
            continue
        try:
            group.make_context(name, arguments, parent=context)
        except click.UsageError as error:
            pytest.fail(f"{page.name}: {call}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_on_a_page_leads_to_a_file(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\(docs/([\w-]+\.md)\)", readme))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_command_reference_is_current():
    path = ROOT / "docs" / "generate_reference.py"
    spec = importlib.util.spec_from_file_location("generate_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    current = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert current == module.reference(), "run `make docs`"


def test_the_python_examples_print_what_the_page_says(tmp_path, monkeypatch):
    """On the registry that docs/registry.md begins with."""
    (registry, *_) = FENCE.findall((ROOT / "docs" / "registry.md").read_text(encoding="utf-8"))
    (tmp_path / "registry.yaml").write_text(registry[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    examples = "\n".join(block for language, block in FENCE.findall(page) if language == "python")
    told: list[str] = []
    test = doctest.DocTestParser().get_doctest(examples, {}, "python-api.md", None, None)
    results = doctest.DocTestRunner().run(test, out=told.append)
    assert results.attempted > 15
    assert not results.failed, "".join(told)
