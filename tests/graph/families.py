"""Families to draw: one with everything in it, and large ones that are the same every time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from mbrelease.files import write_json
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Registry


def made(*parents: str) -> list[dict[str, str]]:
    """``parent:relation`` as a registry has it."""
    return [
        {"variant": name, "relation": relation}
        for name, relation in (parent.split(":") for parent in parents)
    ]


# Each relation, both ways of versions, a merge, a variant that stands alone.
SMALL: dict[str, Any] = {
    "version": 1,
    "family": "Owls",
    "defaults": {"license": "apache-2.0", "languages": ["en"]},
    "variants": {
        "owl-base": {"repo": "owls/owl-base", "released": True},
        "owl-large": {"parents": made("owl-base:weight-initialization"), "released": True},
        "science-v1": {
            "repo": "owls/science-v1",
            "parents": made("owl-base:continued-pretraining"),
            "released": True,
        },
        "science-v2": {
            "repo": "owls/science-v2",
            "parents": made("owl-base:continued-pretraining"),
            "supersedes": "science-v1",
            "run": "runs/science-v2",
            "training": {"objective": "mlm", "tokens": 450_000_000},
            "card": {"summary": "Owl-base after continued pretraining on papers."},
        },
        "law": {"parents": made("owl-base:fine-tuning"), "released": False},
        "long": {"parents": made("law:context-extension")},
        "mean": {"parents": made("science-v2:averaging", "law:averaging", "long:averaging")},
        "merge": {"parents": made("mean:merging", "owl-large:merging", "owl-base:merging")},
        "small": {"parents": made("merge:distillation", "owl-base:weight-initialization")},
        "int8": {"parents": made("merge:quantization"), "supersedes": "small"},
        "adapter": {"parents": made("law:adapter")},
        "alone": {},
    },
    "aliases": {"production": "science-v1", "next": "science-v2"},
}


def project(content: dict[str, Any], root: Path = Path("nowhere")) -> Project:
    """A project with a registry that was never on disk."""
    return Project(Registry.model_validate(content), root / "registry.yaml")


def large(count: int) -> dict[str, Any]:
    """A family of ``count`` variants: long lines, merges of up to five, averages, versions."""
    chance = random.Random(9)
    variants: dict[str, Any] = {"owl-base": {"repo": "owls/owl-base", "released": True}}
    names = ["owl-base"]
    superseded = set()
    while len(variants) < count:
        kind = chance.choices(
            ["continued-pretraining", "fine-tuning", "merging", "averaging", "quantization",
             "adapter", "distillation", "version"],
            [20, 35, 12, 8, 8, 5, 5, 7],
        )[0]  # fmt: skip
        name, near = f"{kind[:5].strip('-')}-{len(variants)}", chance.choice(names)
        entry: dict[str, Any] = {"repo": f"owls/{name}"}
        if kind == "version":
            if near in superseded or near == "owl-base":
                continue
            superseded.add(near)
            entry |= {"parents": variants[near]["parents"], "supersedes": near}
        else:
            several = chance.sample(names, min(len(names), chance.randint(2, 5)))
            parents = several if kind in ("merging", "averaging") else [near]
            entry["parents"] = made(*(f"{parent}:{kind}" for parent in parents))
        entry |= chance.choice([{"released": True}, {"released": False}, {}])
        variants[name] = entry
        names.append(name)
    return {"version": 1, "family": "Owls", "variants": variants}


def push(root: Path, repo: str, tag: str, published: str) -> None:
    """What matters of a receipt."""
    content = {"repo_id": repo, "tag": tag, "published": published}
    write_json(root / "receipts" / f"{tag}.json", content)
