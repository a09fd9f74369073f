"""Read models and the tree that they stand in: base models, newer versions, descendants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mbrelease.hub.family.asking import Answer, Asker, NotReadable
from mbrelease.hub.family.kept import Kept, KeptFacts
from mbrelease.hub.family.model import CARD, FILES, PublishedModel, read_model
from mbrelease.metadata.front_matter import yaml_block
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.progress import SILENT, Progress

AT_ONCE = 4
_KEPT_OF_INFO = ("id", "sha", "private", "gated", "tags", "cardData", "safetensors")
_KEPT_OF_CARD = (
    "base_model", "base_model_relation", "new_version", "license", "license_name", "language",
    "tags",
)  # fmt: skip
_DEEPEST = 8
_MOST_ITEMS = 2_000
_LONGEST = 2_000

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Family:
    """What was read."""

    models: dict[str, PublishedModel] = field(default_factory=dict)
    """By the lower-case id under which each was asked for."""
    unreadable: dict[str, NotReadable] = field(default_factory=dict)
    """By id: what could not be read, and why."""
    is_cut: bool = False
    """Whether models stand in the tree that were not read, for there were too many."""
    remarks: list[str] = field(default_factory=list)

    def find(self, repo_id: str) -> PublishedModel | None:
        """The model that an id means, though it was renamed."""
        return self.models.get(repo_id.casefold())

    def every(self) -> list[PublishedModel]:
        """Each model once, in the order in which they were found."""
        return list({model.repo_id.casefold(): model for model in self.models.values()}.values())


def read_family(
    asker: Asker,
    kept: KeptFacts,
    repo_ids: Sequence[str],
    *,
    upwards: bool = True,
    descendants: bool = False,
    limit: int = 200,
    progress: Progress = SILENT,
) -> Family:
    """Read models, and those that their cards lead to.

    Args:
        repo_ids: ids that are known to be ids.
        upwards: also their base models and newer versions, and those of these.
        descendants: also what names them as a base model, and what names these.
        limit: of models; what is more is left out.

    Raises:
        CheckFailed: the Hub cannot be asked at all.
        UserError: what was read cannot be kept.
    """
    family = Family()
    waiting = list(dict.fromkeys(repo_ids))
    seen = {repo_id.casefold() for repo_id in waiting}
    below = set(seen) if descendants else set()
    while waiting:
        room = max(0, limit - len(family.models))
        family.is_cut = family.is_cut or len(waiting) > room
        wave = waiting[:room]
        progress.start("reading models", len(wave), "models")
        found = _at_once(asker, wave, lambda each: _tell(progress, _read(asker, kept, each)))
        for repo_id, model in zip(wave, found, strict=True):
            if isinstance(model, NotReadable):
                family.unreadable[repo_id] = model
            else:
                family.models[repo_id.casefold()] = model
        read = [model for model in found if isinstance(model, PublishedModel)]
        leads = [lead for model in read for lead in _leads(model)] if upwards else []
        starts = [m for m in read if m.asked_as.casefold() in below]
        children = _children(asker, starts, limit, family)
        below |= {child.casefold() for child in children}
        waiting = []
        for lead in [*leads, *children]:
            if lead.casefold() not in seen:
                seen.add(lead.casefold())
                waiting.append(lead)
    return family


def _leads(model: PublishedModel) -> Iterable[str]:
    yield from model.bases
    if model.new_version is not None:
        yield model.new_version


def _children(
    asker: Asker, models: Sequence[PublishedModel], limit: int, family: Family
) -> list[str]:
    def ask(model: PublishedModel) -> list[str] | NotReadable:
        try:
            return asker.descendants(model.repo_id, limit)
        except NotReadable as error:
            return error

    found: list[str] = []
    for model, children in zip(models, _at_once(asker, models, ask), strict=True):
        if isinstance(children, NotReadable):
            family.remarks.append(f"what descends from {model.repo_id}: {children.why}")
        else:
            found += [child for child in children if fault_of_repo_id(child) is None]
    return found


def _at_once(asker: Asker, items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
    """``work`` of each item, a few at a time; an error, or Ctrl-C, ends all."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        running = [pool.submit(copy_context().run, work, item) for item in items]
        return [each.result() for each in running]
    except BaseException:
        asker.pace.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _tell(progress: Progress, result: Result) -> Result:
    progress.advance()
    return result


def _read(asker: Asker, kept: KeptFacts, repo_id: str) -> PublishedModel | NotReadable:
    before = kept.read(repo_id)
    try:
        told = asker.info(repo_id, before.etag if before else None)
        if told is None and before is not None:
            return read_model(repo_id, before)
        if told is None:
            return NotReadable("the Hub says that nothing changed, and nothing is known")
        now = _fetch(asker, told[0], told[1], before)
    except NotReadable as error:
        if error.is_gone:
            kept.forget(repo_id)
        return error
    kept.write(repo_id, now)
    return read_model(repo_id, now)


def _fetch(asker: Asker, info: dict[str, Any], etag: str | None, before: Kept | None) -> Kept:
    """The description and the files; a file whose blob is known is not asked for again."""
    blobs = _blobs(info)
    paths = [path for path in FILES if path in blobs]
    files: dict[str, Mapping[str, Any]] = {}
    gated = False
    for path in paths:
        known = before.files.get(path, {}) if before else {}
        if known.get("blob") is not None and known.get("blob") == blobs[path] and "text" in known:
            files[path] = known
            continue
        try:
            if gated:  # one refusal tells of all
                raise NotReadable("gated: shown only to accounts that were granted access")
            answer = asker.file(info["id"], info["sha"], path)
            files[path] = {"blob": blobs[path], **_content(path, answer)}
        except NotReadable as error:
            gated = gated or error.why.startswith("gated")
            files[path] = {"trouble": error.why}
    trimmed = {key: info[key] for key in _KEPT_OF_INFO if key in info}
    card = trimmed.get("cardData")
    if isinstance(card, dict):
        trimmed["cardData"] = {key: card[key] for key in _KEPT_OF_CARD if key in card}
    trimmed["gguf"] = "gguf" in info or any(path.endswith(".gguf") for path in blobs)
    # The Hub may say that nothing changed only where all that it has was read.
    whole = all("text" in file for file in files.values())
    return Kept(etag if whole else None, _plain(trimmed, _DEEPEST), files)


def _blobs(info: Mapping[str, Any]) -> dict[str, str | None]:
    """The files of the repository, each with the hash of its content where the Hub tells it."""
    listed = info.get("siblings")
    found: dict[str, str | None] = {}
    for each in listed if isinstance(listed, list) else []:
        path = each.get("rfilename") if isinstance(each, dict) else None
        if isinstance(path, str):
            blob = each.get("blobId")
            found[path] = blob if isinstance(blob, str) else None
    return found


def _content(path: str, answer: Answer) -> dict[str, str]:
    text = answer.body.decode("utf-8", "replace")
    if path == CARD:
        block = yaml_block(text)
        if block is None and not answer.is_whole and text.lstrip("\ufeff").startswith("---"):
            return {"text": "", "trouble": f"no end of the metadata in {len(answer.body):,} bytes"}
        return {"text": block or ""}
    if not answer.is_whole:
        return {"text": "{}", "trouble": f"longer than {len(answer.body):,} bytes; not read"}
    return {"text": text}


def _plain(value: Any, depth: int) -> Any:
    """``value`` as any JSON file can hold it, with an end to its size and depth."""
    if isinstance(value, str):
        return value[:_LONGEST].encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int | None):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [_plain(each, depth - 1) for each in value[:_MOST_ITEMS]]
    items = list(value.items())[:_MOST_ITEMS]
    return {_plain(key, depth): _plain(each, depth - 1) for key, each in items}
