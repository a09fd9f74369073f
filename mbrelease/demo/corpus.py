"""The docstrings of Python's standard library as a corpus: summary → body, label: package.

The sources are parsed, never imported. Training, dev and test are held apart by module, so no
evaluated text was trained on. The same Python gives the same corpus.
"""

from __future__ import annotations

import ast
import json
import sysconfig
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mbrelease.files import sha256_bytes, write_text

# Tests and their data, tools with a life of their own, tables, and what pip installed.
SKIPPED = frozenset(
    {
        "__phello__", "ensurepip", "encodings", "idle_test", "idlelib", "lib2to3", "pydoc_data",
        "site-packages", "dist-packages", "test", "tests", "turtledemo",
    }
)  # fmt: skip
TOPICS = Path("pydoc_data") / "topics.py"
"""The language reference as ``help()`` shows it: general text about Python."""

OTHER = "other"
LABELS = 10
DOCUMENTS_PER_LABEL = 5
"""A label needs as many documents in each of train, dev and test."""
TITLE_CHARACTERS = (10, 200)
BODY_CHARACTERS = 60
SHARES = {"train": 0.7, "dev": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Document:
    """A docstring with a summary (``title``) and a body (``text``) that does not repeat it."""

    id: str
    title: str
    text: str
    label: str
    module: str


@dataclass(frozen=True)
class Docstring:
    """A docstring as it stands in a module, its indentation removed."""

    module: str
    name: str
    text: str

    @property
    def id(self) -> str:
        """What tells docstrings apart; a name defined twice in a module counts once."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Corpus:
    """General text for a base model, and documents by split (train, dev, test)."""

    general: tuple[str, ...]
    splits: dict[str, tuple[Document, ...]]


def standard_library() -> Path:
    """Where the sources of the running Python's standard library lie."""
    return Path(sysconfig.get_path("stdlib"))


def build_corpus(root: Path) -> Corpus:
    """The corpus of the library in ``root``.

    General text is the language reference and the docstrings without a body, those of the
    training modules only.
    """
    docstrings = list(read_docstrings(root))
    found = _documents(docstrings)
    split_of = split_modules(found)
    labels = _labels(found, split_of)
    splits: dict[str, list[Document]] = {split: [] for split in SHARES}
    for document in found:
        label = document.label if document.label in labels else OTHER
        splits[split_of[document.module]].append(replace(document, label=label))
    with_body = {document.id for document in found}
    general = [
        docstring.text
        for docstring in docstrings
        if docstring.id not in with_body and split_of.get(docstring.module, "train") == "train"
    ]
    return Corpus(
        tuple(dict.fromkeys([*_topics(root), *general])),
        {split: tuple(documents) for split, documents in splits.items()},
    )


def write_corpus(corpus: Corpus, folder: Path) -> dict[str, Path]:
    """Write a JSONL file for each split; returns their paths by split."""
    paths = {split: folder / f"{split}.jsonl" for split in corpus.splits}
    for split, documents in corpus.splits.items():
        # Escaped to ASCII: some readers take U+2028 for the end of a line.
        lines = [json.dumps(asdict(document)) + "\n" for document in documents]
        write_text(paths[split], "".join(lines))
    return paths


def read_docstrings(root: Path) -> Iterator[Docstring]:
    """Every docstring of every module below ``root``, in the order of names, then of lines."""
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED.intersection(relative.parts):
            continue
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        tree = _parse(path)
        if tree is not None:
            yield from _docstrings(tree, module, "")


def split_modules(documents: Sequence[Document]) -> dict[str, str]:
    """The split of each module, such that each package is shared out by ``SHARES``.

    Within a package the largest module goes first, each to the split that lacks most; of equally
    large ones a hash of the name decides. Packages too small for that are shared out together.
    """
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for document in documents:
        sizes[document.label][document.module] += 1
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for package, modules in sizes.items():
        groups[package if len(modules) >= len(SHARES) else OTHER].update(modules)
    result: dict[str, str] = {}
    for _, modules in sorted(groups.items()):
        lacking = {split: share * modules.total() for split, share in SHARES.items()}
        for module in sorted(modules, key=lambda name: (-modules[name], _hash(name))):
            split = max(lacking, key=lambda name: lacking[name])
            lacking[split] -= modules[module]
            result[module] = split
    return result


def _parse(path: Path) -> ast.Module | None:
    with warnings.catch_warnings():
        # Old sources hold invalid escapes; they are not ours to mend.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return None


def _docstrings(node: ast.AST, module: str, name: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text and text.strip():
            yield Docstring(module, name, text.strip())
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{name}.{child.name}" if name else child.name
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _docstrings(child, module, inner)


def _documents(docstrings: Sequence[Docstring]) -> list[Document]:
    """The docstrings that make a document, each body and each summary once; labels are packages."""
    documents: dict[str, Document] = {}
    seen: set[str] = set()
    for docstring in docstrings:
        title, body = _split_summary(docstring.text)
        folded, folded_body = _fold(title), _fold(body)
        if not TITLE_CHARACTERS[0] <= len(title) <= TITLE_CHARACTERS[1]:
            continue
        if len(folded_body) < BODY_CHARACTERS or folded.rstrip(".") in folded_body:
            continue
        if docstring.id in documents or folded in seen or folded_body in seen:
            continue
        seen |= {folded, folded_body}
        package = docstring.module.split(".")[0]
        documents[docstring.id] = Document(docstring.id, title, body, package, docstring.module)
    return list(documents.values())


def _split_summary(text: str) -> tuple[str, str]:
    """The first paragraph on one line, and the rest."""
    first, _, rest = text.partition("\n\n")
    return " ".join(first.split()), rest.strip()


def _labels(documents: Sequence[Document], split_of: Mapping[str, str]) -> set[str]:
    """The packages with most documents among those with enough in every split."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for document in documents:
        counts[document.label][split_of[document.module]] += 1
    enough = [
        package
        for package, count in counts.items()
        if min(count[split] for split in SHARES) >= DOCUMENTS_PER_LABEL
    ]
    return set(sorted(enough, key=lambda package: (-counts[package].total(), package))[:LABELS])


def _topics(root: Path) -> list[str]:
    """The paragraphs of the language reference, where this Python brings it."""
    tree = _parse(root / TOPICS)
    if tree is None:
        return []
    texts = [
        value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for value in node.values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return [part.strip() for text in texts for part in text.split("\n\n") if part.strip()]


def _fold(text: str) -> str:
    """Text without the differences of case and white space."""
    return " ".join(text.lower().split())


def _hash(text: str) -> str:
    return sha256_bytes(text.encode())
