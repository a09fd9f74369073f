"""The YAML between the first two ``---`` lines of a README.md, with the line of every value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mbrelease.metadata.finding import README, Finding
from mbrelease.registry.document import BOM, Document, parse_document
from mbrelease.registry.mistakes import InvalidRegistry, Mistake

MAX_CHARACTERS = 1_000_000
"""Of the block. A card with thousands of results has fewer; more is an accident or an attack."""

# As the Hub's client looks for it (huggingface_hub.repocard.REGEX_YAML_BLOCK), but lenient about
# blanks, so that these are named and not taken for a card without metadata.
_BLOCK = re.compile(
    r"\A(?P<before>\s*)(?P<open>---[ \t]*\r?\n)(?P<yaml>.*?)^(?P<close>---[ \t]*)\r?$",
    re.DOTALL | re.MULTILINE,
)
_WRITE_IT = "begin it with '---', the metadata as YAML, and '---' (mbrelease card writes it)"


@dataclass(frozen=True)
class FrontMatter:
    """The block of a card; ``document`` is ``None`` where it cannot be read."""

    document: Document | None
    first_line: int
    """Of the YAML, in the file."""
    last_line: int
    """That of the closing ``---``."""
    findings: tuple[Finding, ...]
    """What is wrong with the block as a whole and with its YAML."""


def read_front_matter(text: str) -> FrontMatter:
    """Read the metadata of a card; whatever ``text`` holds, faults become findings."""
    findings = []
    if text.startswith(BOM):
        text = text.removeprefix(BOM)
        what = "the file begins with a byte order mark: some readers then see no metadata"
        findings.append(Finding(1, "", what, "save it as UTF-8 without one", "warning"))
    match = _BLOCK.match(text)
    if match is None:
        what = "README.md has no front matter: the Hub would show no metadata"
        return FrontMatter(None, 1, 1, (*findings, Finding(1, "", what, _WRITE_IT)))
    first = text.count("\n", 0, match.start("yaml")) + 1
    last = text.count("\n", 0, match.start("close")) + 1
    findings += _fences(match, first - 1, last)
    document, more = _document(match["yaml"], first - 1)
    return FrontMatter(document, first, last, (*findings, *more))


def yaml_block(text: str) -> str | None:
    """The YAML text at the head of a card, or ``None`` if there is none."""
    match = _BLOCK.match(text.removeprefix(BOM))
    return None if match is None else match["yaml"]


def read_yaml(text: str, lines_before: int = 0) -> tuple[Document | None, list[Finding]]:
    """A YAML text with places, and what is wrong with it as YAML.

    Args:
        text: without fences.
        lines_before: how many lines of the file stand above it.
    """
    if len(text) > MAX_CHARACTERS:
        what = f"the metadata are longer than {MAX_CHARACTERS:,} characters"
        return None, [Finding(lines_before + 1, "", what, "shorten them")]
    try:
        # Blank lines in the place of what stands above, so that every line is that of the file.
        data = ("\n" * lines_before + text).encode("utf-8", "surrogatepass")
        document = parse_document(data, Path(README))
    except InvalidRegistry as error:
        return None, [_finding(mistake, "not valid YAML: ") for mistake in error.mistakes]
    return document, [_finding(mistake, "") for mistake in document.mistakes]


def _document(text: str, lines_before: int) -> tuple[Document | None, list[Finding]]:
    if not text.strip():
        what = "README.md has an empty front matter: the Hub would show no metadata"
        return None, [Finding(lines_before + 1, "", what, _WRITE_IT)]
    document, findings = read_yaml(text, lines_before)
    if document is not None and not isinstance(document.value, dict):
        what = "the front matter is not a map of keys to values"
        return None, [*findings, Finding(lines_before + 1, "", what, _WRITE_IT)]
    return document, findings


def _fences(match: re.Match[str], opening: int, closing: int) -> list[Finding]:
    """The client and the Hub see no metadata where the fences are not quite right."""
    findings = []
    if match["before"]:
        what = "something stands above the '---' that begins the metadata"
        findings.append(Finding(1, "", what, "let '---' be the first line of the file"))
    for line, fence in ((opening, match["open"].rstrip("\r\n")), (closing, match["close"])):
        if fence != "---":
            findings.append(Finding(line, "", "blanks follow '---'", "remove them"))
    return findings


def _finding(mistake: Mistake, kind: str) -> Finding:
    # The parser is that of registries, and says so in two of its messages.
    said = mistake.message.replace("a registry is", "it is").replace("the registry is", "it is")
    said = kind + said.removeprefix("not YAML: ")
    return Finding(mistake.line, "", f"front matter: {said}", column=mistake.column)
