"""The fields at the top of the metadata, each with its rule.

https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator

from mbrelease.metadata.base_models import is_repo_id
from mbrelease.metadata.emissions import check_emissions
from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.kinds import is_list, is_text, is_texts
from mbrelease.metadata.languages import language_codes
from mbrelease.metadata.licenses import LICENSE_IDS, nearest_license
from mbrelease.metadata.model_index import check_model_index
from mbrelease.metadata.pipeline_tags import PIPELINE_TAGS
from mbrelease.metadata.source import is_url
from mbrelease.metadata.spot import Spot

# Overrides and embeddings reach beyond the text they stand in; isolates do not.
_DIRECTION = re.compile("[\u202a-\u202e]")


def check_fields(top: Spot) -> Iterator[Finding]:
    """Every field of the metadata by its own rule, and names that are nearly those of fields."""
    for key in top.keys:
        rule = RULES.get(key)
        if rule is not None:
            yield from rule(top.below(key))
        elif key not in FIELDS:
            yield from _nearly_known(top.below(key), key)
    if "license" not in top.keys:
        yield top.warning("no license is given: nobody may use the model", "license: apache-2.0")
    yield from _custom_license(top)
    for spot in top.everything():
        if isinstance(spot.value, str) and _DIRECTION.search(spot.value):
            what = f"{spot.name} holds characters that turn the direction of the text around them"
            yield spot.warning(what, "remove them")


def _languages(spot: Spot) -> Iterator[Finding]:
    yield from is_texts(spot)
    for item in spot.items():
        code = item.value
        if not isinstance(code, str) or not code.strip() or code in language_codes():
            continue
        lower = code.strip().lower()
        if lower in language_codes():
            yield item.error(f"{item.name} {shown(code)} must be in lower case", lower)
        elif re.split(r"[-_]", lower)[0] in language_codes():
            short = re.split(r"[-_]", lower)[0]
            mend = f"{short}, and {code.strip()} under language_bcp47"
            yield item.error(f"{item.name} {shown(code)} is more than a code of ISO 639", mend)
        else:
            mend = "a code of ISO 639-1 or 639-3, such as en; 'code' or 'multilingual'"
            yield item.error(f"{item.name} {shown(code)} is no language that the Hub knows", mend)


def _license(spot: Spot) -> Iterator[Finding]:
    yield from is_texts(spot)
    for item in spot.items():
        given = item.value
        if isinstance(given, str) and given.strip() and given not in LICENSE_IDS:
            mend = nearest_license(given) or "license: other, with license_name and license_link"
            yield item.error(f"{item.name} {shown(given)} is unknown to the Hub", mend)


def _custom_license(top: Spot) -> Iterator[Finding]:
    """A licence that has no id is ``other``, with a name and the place of its text."""
    given = top.get("license")
    custom = given is not None and "other" in [item.value for item in given.items()]
    for key, mend in (
        ("license_name", "license_name: what it calls itself, in lower case with '-'"),
        ("license_link", "license_link: its address, or LICENSE for a file beside the card"),
    ):
        spot = top.get(key)
        if custom and given is not None and spot is None:
            yield given.error(f"license 'other' needs {key}", mend)
        if spot is not None:
            yield from is_text(spot)
            if not custom:
                yield spot.warning(f"{key} is only read beside 'license: other'", "remove it")
    link = top.get("license_link")
    if link is not None and "://" in str(link.value) and not is_url(str(link.value)):
        yield link.error(f"license_link {shown(link.value)} is no address", "https://…")


def _pipeline_tag(spot: Spot) -> Iterator[Finding]:
    yield from is_text(spot)
    tag = spot.value
    if isinstance(tag, str) and tag.strip() and tag not in PIPELINE_TAGS:
        wanted = re.sub(r"[\s_]+", "-", tag.strip().lower())
        close = difflib.get_close_matches(wanted, sorted(PIPELINE_TAGS), n=1, cutoff=0.6)
        what = f"pipeline_tag {shown(tag)} is not in the Hub's list, and nobody can filter by it"
        yield spot.warning(what, close[0] if close else "fill-mask, for an encoder with its head")


def _tags(spot: Spot) -> Iterator[Finding]:
    yield from is_list(spot, "texts")
    yield from is_texts(spot)
    yield from _once(spot)


def _datasets(spot: Spot) -> Iterator[Finding]:
    if isinstance(spot.value, dict):
        yield spot.error("datasets is a mapping and must be a list of ids")
        return
    for item in spot.items():
        yield from is_repo_id(item, "the id of the dataset on the Hub, org/name")
    yield from _once(spot)


def _once(spot: Spot) -> Iterator[Finding]:
    seen = set()
    for item in spot.items():
        if isinstance(item.value, str) and item.value in seen:
            yield item.warning(f"{item.name} {shown(item.value)} is given twice", "give it once")
        seen.add(str(item.value))


def _library(spot: Spot) -> Iterator[Finding]:
    yield from is_text(spot)
    name = spot.value
    if isinstance(name, str) and name != name.lower() and name.strip():
        yield spot.warning(f"library_name {shown(name)} is in upper case", name.lower())


def _nearly_known(spot: Spot, key: str) -> Iterator[Finding]:
    plain = re.sub(r"[\s-]+", "_", key.strip().lower())
    known = {re.sub("-", "_", name): name for name in sorted(FIELDS)}
    close = [plain] if plain in known else difflib.get_close_matches(plain, known, 1, cutoff=0.85)
    if close:
        yield spot.warning(f"{shown(key)} is no field that the Hub reads", known[close[0]])


RULES: dict[str, Callable[[Spot], Iterator[Finding]]] = {
    "language": _languages,
    "license": _license,
    "library_name": _library,
    "pipeline_tag": _pipeline_tag,
    "tags": _tags,
    "datasets": _datasets,
    "metrics": is_texts,
    "co2_eq_emissions": check_emissions,
    "model-index": check_model_index,
    "thumbnail": is_text,
    "language_bcp47": is_texts,
}
_ALSO_READ = """
base_model base_model_relation new_version license_name license_link inference widget model_name
pretty_name extra_gated_prompt extra_gated_fields extra_gated_heading extra_gated_description
extra_gated_button_content quantized_by mask_token arxiv
"""
FIELDS = frozenset({*RULES, *_ALSO_READ.split()})
"""The fields that the Hub reads."""
