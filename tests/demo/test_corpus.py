"""The demo's corpus: from parsed sources, split by module, with no answer in a question."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from mbrelease.demo.corpus import (
    DOCUMENTS_PER_LABEL,
    OTHER,
    Document,
    build_corpus,
    read_docstrings,
    split_modules,
    standard_library,
    write_corpus,
)
from mbrelease.evaluation.dataset import read_dataset


@pytest.fixture(scope="module")
def docstrings():
    return list(read_docstrings(standard_library()))


@pytest.fixture(scope="module")
def corpus():
    return build_corpus(standard_library())


def test_there_is_enough_to_measure(corpus):
    assert len(corpus.splits["train"]) >= 1000
    assert len(corpus.splits["dev"]) >= 200
    assert len(corpus.splits["test"]) >= 200
    assert sum(map(len, corpus.general)) > 200_000


def test_splits_share_no_module_no_body_and_no_summary(corpus):
    for field in ("module", "text", "title", "id"):
        sets = [{getattr(d, field) for d in documents} for documents in corpus.splits.values()]
        assert sum(map(len, sets)) == len(set.union(*sets)), field


def test_no_body_holds_its_summary(corpus):
    for documents in corpus.splits.values():
        for document in documents:
            body = " ".join(document.text.lower().split())
            assert document.title.lower().rstrip(".") not in body, document.id
            assert "\n" not in document.title


def test_general_text_comes_from_no_held_out_module(corpus, docstrings):
    held_out = {d.module for split in ("dev", "test") for d in corpus.splits[split]}
    general = set(corpus.general)
    modules_of: dict[str, set[str]] = {}
    for docstring in docstrings:
        modules_of.setdefault(docstring.text, set()).add(docstring.module)
    leaked = [text for text, modules in modules_of.items() if modules <= held_out]
    assert leaked
    assert not general.intersection(leaked)
    assert not general.intersection(
        d.text for documents in corpus.splits.values() for d in documents
    )


def test_every_label_is_in_every_split(corpus):
    counts = {s: Counter(d.label for d in ds) for s, ds in corpus.splits.items()}
    assert set(counts["train"]) == set(counts["dev"]) == set(counts["test"])
    assert 4 <= len(counts["train"]) <= 11
    for split in counts.values():
        assert min(split.values()) >= DOCUMENTS_PER_LABEL
    labels = {d.label for documents in corpus.splits.values() for d in documents}
    assert OTHER in labels
    for documents in corpus.splits.values():
        assert all(d.label in (OTHER, d.module.split(".")[0]) for d in documents)


def test_the_same_sources_give_the_same_corpus(tmp_path):
    for package in ("asyncio", "email", "json", "logging"):
        shutil.copytree(standard_library() / package, tmp_path / package)
    first = build_corpus(tmp_path)
    assert all(first.splits.values())
    assert build_corpus(tmp_path) == first


def test_files_read_back_as_they_were(corpus, tmp_path):
    paths = write_corpus(corpus, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dev.jsonl",
        "test.jsonl",
        "train.jsonl",
    ]
    for split, documents in corpus.splits.items():
        dataset = read_dataset(paths[split])
        assert dataset.ids == tuple(document.id for document in documents)
        assert dataset.texts("text") == [document.text for document in documents]


def library(root: Path, sources: dict[str, str]) -> Path:
    for name, source in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


BODY = "This is the long body of a docstring, with enough characters to count as one."


def test_nothing_is_imported_and_broken_sources_are_passed_over(tmp_path):
    root = library(
        tmp_path,
        {
            "boom.py": f'raise SystemExit\ndef f():\n    """Do the thing.\n\n    {BODY}\n    """\n',
            "broken.py": "def (:\n",
            "escape.py": '"""Old \\d escape."""\nx = "\\d"\n',
            "test/test_x.py": '"""A test."""\n',
            "site-packages/other.py": '"""Installed."""\n',
        },
    )
    found = [(d.module, d.name, d.text) for d in read_docstrings(root)]
    assert found == [
        ("boom", "f", f"Do the thing.\n\n{BODY}"),
        ("escape", "", "Old \\d escape."),
    ]


def test_names_are_qualified_and_found_inside_branches(tmp_path):
    source = (
        "try:\n    import x\nexcept ImportError:\n"
        "    class A:\n        def b(self):\n            '''Inner.'''\n"
    )
    root = library(tmp_path, {"pack/__init__.py": source})
    assert [d.id for d in read_docstrings(root)] == ["pack:A.b"]


@pytest.mark.parametrize(
    "body",
    [
        "Short.",
        f"Do the Thing with care.  {BODY}",
        f"{BODY}\n\nDo\n   the thing with care",
    ],
)
def test_short_bodies_and_bodies_with_the_summary_make_no_document(tmp_path, body):
    indented = body.replace("\n", "\n    ")
    root = library(
        tmp_path, {"m.py": f'def f():\n    """Do the thing with care.\n\n    {indented}\n    """\n'}
    )
    corpus = build_corpus(root)
    assert all(not documents for documents in corpus.splits.values())


def test_a_split_goes_by_size_and_is_stable():
    documents = [
        Document(f"{module}:{n}", "t", "b", "pack", module)
        for module, size in {"pack.a": 70, "pack.b": 16, "pack.c": 14}.items()
        for n in range(size)
    ]
    expected = {"pack.a": "train", "pack.b": "dev", "pack.c": "test"}
    assert split_modules(documents) == expected
    assert split_modules(documents[::-1]) == expected


def test_lines_are_ascii(corpus, tmp_path):
    """Some readers of lines take U+2028 and U+0085 for the end of one."""
    for path in write_corpus(corpus, tmp_path).values():
        data = path.read_bytes()
        assert data.isascii()
        assert all(json.loads(line)["id"] for line in data.splitlines())
