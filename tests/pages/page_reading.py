"""Read a page as a list of elements; and cards to make pages of."""

from __future__ import annotations

import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br", "img", "wbr", "hr", "source", "col"}


class Page(HTMLParser):
    """The elements and the text of a page; tags must be balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.comments = 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments += 1

    def values(self, tag: str, attribute: str) -> list[str]:
        return [attrs[attribute] for name, attrs in self.elements
                if name == tag and attribute in attrs]  # fmt: skip

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


def png(width: int = 24, height: int = 16) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="120" viewBox="0 0 640 120">'
    "<style>text{fill:#222}@media (prefers-color-scheme:dark){text{fill:#eee}}</style>"
    '<text x="20" y="60" font-size="20">recall@1 rises from 0.36 to 0.57</text></svg>'
)

CARD = """---
language: [en, fr]
license: apache-2.0
library_name: transformers
pipeline_tag: fill-mask
base_model: answerdotai/ModernBERT-base
base_model_relation: finetune
new_version: lab/owl-v2
datasets: [lab/owl-texts, wikimedia/wikipedia]
tags: [science, modernbert]
co2_eq_emissions: {emissions: 14920, source: a meter}
model-index:
- name: owl
  results:
  - task: {type: information-retrieval, name: Retrieval}
    dataset: {type: titles, name: Title search, split: test}
    metrics:
    - {type: recall_at_1, value: 0.42153846, name: recall@1}
    - {type: loss, value: 1.5}
    source: {url: "https://example.org/owl.pdf", name: The owl paper}
---
<!-- mbrelease:summary -->
# Owl

<p align="center"><img src="figures/owl.png" alt="An owl" width="200"></p>

[Usage](#usage) · [Bias, risks & limits](#bias-risks--limits) · [Paper](https://arxiv.org/abs/2412.13663)
<!-- /mbrelease:summary -->
<!-- mbrelease:usage -->
## Usage

```python
from transformers import pipeline

print(pipeline("fill-mask", model="lab/owl")("An owl is a [MASK] of the night that nobody hears, says the book"))
```
<!-- /mbrelease:usage -->

## Evaluation

![Recall rises from 0.36 to 0.57](figures/recall.png)

<picture>
<source media="(prefers-color-scheme: dark)" srcset="figures/dark.png">
<img src="figures/owl.png" alt="An owl by day">
</picture>

| Model | recall@1 | recall@5 | mrr | ndcg@10 | loss | bits per byte | tokens a second |
|:--|--:|--:|--:|--:|--:|--:|--:|
| ModernBERT-base | 0.361 | 0.512 | 0.441 | 0.463 | 1.834 | 0.912 | 148,100 |
| **owl** | **0.571** | **0.702** | **0.622** | **0.648** | **1.502** | **0.801** | 148,000 |

<details><summary>Every seed</summary>

| seed | recall@1 |
|--:|--:|
| 0 | 0.570[^1] |

</details>

> [!WARNING]
> Trained on 512 tokens.

## Bias, risks & limits

- [x] English only
- [ ] Evaluated beyond 512 tokens; H<sub>2</sub>O and $$x_1 * y_1$$ stay as they are.

[Licence](LICENSE)

[^1]: The mean over
    all queries.
"""  # noqa: E501


def write_card(folder: Path, text: str = CARD) -> Path:
    """A card with its pictures; the path of its README."""
    (folder / "figures").mkdir(parents=True)
    for name in ("owl", "dark", "recall"):
        (folder / "figures" / f"{name}.png").write_bytes(png())
    (folder / "figures" / "recall.svg").write_text(SVG)
    (folder / "README.md").write_text(text)
    return folder / "README.md"
