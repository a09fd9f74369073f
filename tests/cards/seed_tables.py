"""The tables of the cards and the paper that define the mission, as rows of texts."""

from __future__ import annotations

import re
from pathlib import Path

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"

SIZED = ["BERT", "RoBERTa", "DeBERTaV3", "DeBERTav3", "GTE-en-MLM", "ModernBERT"]
OTHERS = {
    "MosaicBERT-128": "MosaicBERT-128",
    "NomicBERT": "NomicBERT-2048",
    "NomicBERT-2048": "NomicBERT-2048",
}
Rows = dict[str, list[str]]


def read(name: str) -> str:
    return (SEEDS / f"{name}.txt").read_text(encoding="utf-8")


def titles(size: str) -> dict[str, str]:
    """What the cards of this project call the models that the paper speaks of."""
    sized = {label: f"{label.replace('v3', 'V3')}-{size}" for label in SIZED}
    xformers = {"GTE-en-MLM xformers": f"GTE-en-MLM-{size} with xformers"}
    return {**sized, **xformers, **(OTHERS if size == "base" else {})}


def of_paper(after: str, caption: str) -> dict[str, Rows]:
    """The rows of a table in the paper's text, where it stands in one line, by band.

    Args:
        after: the last words of the table's head.
        caption: the first words of its caption, which stands below.
    """
    text = re.sub("[αβγδϵζ]", " ", read("modernbert-paper"))
    end = text.index(caption)
    body = text[text.rindex(after, 0, end) + len(after) : end].replace(" ± ", "±")
    base, large = re.fullmatch(r"(?s)Base(.*)Large(.*)", body.strip()).groups()
    return {"Base": _rows(base, titles("base")), "Large": _rows(large, titles("large"))}


def _rows(text: str, labels: dict[str, str]) -> Rows:
    longest_first = sorted(labels, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest_first))}) *(?=[0-9])", text)
    return {
        labels[label]: values.split()
        for label, values in zip(parts[1::2], parts[2::2], strict=True)
    }


def of_markdown(text: str, size: str) -> Rows:
    """The rows of a Markdown table, with the stars of what is bold."""
    lines = [line for line in text.splitlines() if line.startswith("|")][3:]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return {titles(size)[label]: values for label, *values in cells}


def of_lines(text: str, after: str, count: int, *, values: int) -> Rows:
    """``count`` lines below the line ``after``: a label and as many values."""
    lines = text[text.index(f"{after}\n") + len(after) + 1 :].splitlines()[:count]
    split = [line.rsplit(maxsplit=values) for line in lines]
    return {label: rest for label, *rest in split}
