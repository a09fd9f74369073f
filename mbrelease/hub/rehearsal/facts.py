"""What a commit says about its model: the card's metadata, and what the files show."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mbrelease.hub.rehearsal.blobs import Blobs
from mbrelease.hub.rehearsal.metadata import as_list, readme_metadata
from mbrelease.hub.rehearsal.objects import File

_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Facts:
    """What can be said about a model from the files of a commit.

    Fields:
        metadata: the card's YAML, as JSON can hold it.
        parameters: number of parameters in ``model.safetensors`` by dtype.
        tags: the card's own and those that the Hub derives.
    """

    metadata: Mapping[str, Any]
    library: str | None
    pipeline: str | None
    tags: tuple[str, ...]
    parameters: Mapping[str, int]


def facts(blobs: Blobs, files: Mapping[str, File]) -> Facts:
    """Read the facts of a commit."""
    readme = files.get("README.md")
    text = blobs.read(readme.sha256).decode(errors="replace") if readme else ""
    metadata = readme_metadata(text)
    library = metadata.get("library_name") or ("transformers" if "config.json" in files else None)
    pipeline = metadata.get("pipeline_tag") or _pipeline(blobs, files)
    return Facts(
        metadata=metadata,
        library=library,
        pipeline=pipeline,
        tags=_tags(metadata, library, pipeline, files),
        parameters=_parameters(blobs, files.get("model.safetensors")),
    )


def _tags(
    metadata: Mapping[str, Any],
    library: str | None,
    pipeline: str | None,
    files: Mapping[str, File],
) -> tuple[str, ...]:
    tags = [str(tag) for tag in (library, pipeline) if tag]
    tags += ["safetensors"] if any(path.endswith(".safetensors") for path in files) else []
    tags += [str(tag) for tag in as_list(metadata.get("tags"))]
    tags += [str(language) for language in as_list(metadata.get("language"))]
    tags += [f"dataset:{name}" for name in as_list(metadata.get("datasets"))]
    for parent in as_list(metadata.get("base_model")):
        tags.append(f"base_model:{parent}")
        tags.append(f"base_model:{_relation(metadata, files)}:{parent}")
    tags += [f"license:{name}" for name in as_list(metadata.get("license"))]
    return tuple(dict.fromkeys(tags))


def _relation(metadata: Mapping[str, Any], files: Mapping[str, File]) -> str:
    """How the model was made from its base models, guessed as the Hub does where nothing says it.

    https://huggingface.co/docs/hub/model-cards#specifying-a-base-model
    """
    if "base_model_relation" in metadata:
        return str(metadata["base_model_relation"])
    if "adapter_config.json" in files:
        return "adapter"
    if len(as_list(metadata.get("base_model"))) > 1 or "mergekit_config.yml" in files:
        return "merge"
    is_quantized = any(path.endswith(".gguf") for path in files)
    return "quantized" if is_quantized else "finetune"


def _pipeline(blobs: Blobs, files: Mapping[str, File]) -> str | None:
    config = files.get("config.json")
    if config is None:
        return None
    try:
        names = json.loads(blobs.read(config.sha256)).get("architectures") or []
    except (ValueError, AttributeError):
        return None
    return "fill-mask" if any(str(name).endswith("ForMaskedLM") for name in names) else None


def _parameters(blobs: Blobs, file: File | None) -> dict[str, int]:
    if file is None or file.size_bytes < 8:
        return {}
    with blobs.path(file.sha256).open("rb") as weights:
        length = int.from_bytes(weights.read(8), "little")
        if length > min(file.size_bytes - 8, _MAX_HEADER_BYTES):
            return {}
        header = weights.read(length)
    counts: dict[str, int] = {}
    try:
        for name, tensor in json.loads(header).items():
            if name != "__metadata__":
                counts.setdefault(tensor["dtype"], 0)
                counts[tensor["dtype"]] += math.prod(tensor["shape"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return counts
