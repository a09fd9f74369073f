"""The bill of materials of a variant, made and held against the schema of CycloneDX 1.6.

The same files give the same bytes: the serial number is derived from what the document says, and
the time is that of the publication or ``SOURCE_DATE_EPOCH``, never that of the run.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mbrelease import __version__
from mbrelease.bom.components import data, model, model_ref
from mbrelease.bom.model_card import card, dataset, parameters
from mbrelease.bom.publication import newest_receipt
from mbrelease.cards.context import CardContext, variant_context
from mbrelease.cards.weights import read_decision_of
from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.candidates import NoWeights
from mbrelease.evaluation.reported import read_reported
from mbrelease.files import json_text, sha256_json
from mbrelease.registry.lineage import ancestors
from mbrelease.registry.project import Project
from mbrelease.registry.schema import DataSource

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom

SCHEMA_URL = "http://cyclonedx.org/schema/bom-1.6.schema.json"


@dataclass(frozen=True)
class MadeBom:
    """A document that the schema accepts."""

    text: str
    remarks: tuple[str, ...]
    """What is not in it, in sentences."""


def make_bom(project: Project, variant: str) -> MadeBom:
    """The CycloneDX 1.6 document of ``variant`` (a name or an alias) with its ancestors.

    Raises:
        MissingExtra: the extra ``[bom]`` is not installed.
        UserError: a record is malformed, or a text of the registry cannot stand in the format.
    """
    try:
        from cyclonedx.exception import CycloneDxException
        from cyclonedx.output.json import JsonV1Dot6
        from cyclonedx.validation.json import JsonStrictValidator  # noqa: F401
    except ImportError as error:
        raise MissingExtra("bom", "a bill of materials") from error
    name = project.resolve_name(variant)
    family = [name, *ancestors(project.registry, name)]
    sources = _sources(project, family)
    try:
        plain = JsonV1Dot6(_library_bom(project, family, sources)).output_as_string()
    except CycloneDxException as error:
        raise UserError(
            f"no bill of materials can be made of {name}: {error}", mend="see its URLs and licences"
        ) from error
    made = json.loads(plain)
    context, remarks = _context(project, name)
    _add_model_cards(project, made, family, sources, context)
    return MadeBom(_validated(name, _sealed(project, name, made)), remarks)


@dataclass(frozen=True)
class _Sources:
    """The data of a family, each once, by the name of its component."""

    by_ref: Mapping[str, DataSource]
    of_variant: Mapping[str, Sequence[str]]


def _sources(project: Project, family: Sequence[str]) -> _Sources:
    by_ref: dict[str, DataSource] = {}
    of_variant: dict[str, list[str]] = {}
    for name in family:
        refs = of_variant.setdefault(name, [])
        for source in project.registry.variants[name].data:
            ref = _data_ref(source, by_ref)
            by_ref[ref] = source
            if ref not in refs:
                refs.append(ref)
    return _Sources(by_ref, of_variant)


def _data_ref(source: DataSource, known: Mapping[str, DataSource]) -> str:
    """``data/<name>``; two that are called alike and differ are numbered."""
    slug = re.sub(r"[^\w.-]+", "-", (source.hub_id or source.name).lower()).strip("-") or "data"
    ref, number = f"data/{slug}", 1
    while known.get(ref, source) != source:
        number += 1
        ref = f"data/{slug}-{number}"
    return ref


def _library_bom(project: Project, family: Sequence[str], sources: _Sources) -> Bom:
    """All that the library has classes for."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    variants = {name: model(project, name, described=name == family[0]) for name in family}
    sets = {ref: data(source, ref) for ref, source in sources.by_ref.items()}
    tool = Component(type=ComponentType.APPLICATION, name="mbrelease", version=__version__)
    bom = Bom(
        metadata=BomMetaData(
            component=variants[family[0]], tools=ToolRepository(components=[tool])
        ),
        components=[*(variants[name] for name in family[1:]), *sets.values()],
    )
    for name in family:
        parents = [variants[one.variant] for one in project.registry.variants[name].parents]
        below = [*parents, *(sets[ref] for ref in sources.of_variant[name])]
        bom.register_dependency(variants[name], below)
    return bom


def _context(project: Project, name: str) -> tuple[CardContext | None, tuple[str, ...]]:
    """What the card is made from; nothing while the weights are not chosen, and a remark."""
    entry = project.registry.variants[name]
    to_choose = entry.run is not None and entry.policy is not None
    if to_choose and not project.decision(name).exists():
        return None, (
            f"no decision has chosen the weights of {name}, so nothing measured is in it",
        )
    try:
        decision = read_decision_of(project, name)
        return variant_context(project, name, decision, __version__), ()
    except NoWeights as error:
        return None, (f"nothing measured is in it: {error.message}",)


def _add_model_cards(
    project: Project,
    made: dict[str, Any],
    family: Sequence[str],
    sources: _Sources,
    context: CardContext | None,
) -> None:
    """Put into the JSON what the library has no classes for: model cards and data."""
    variants, suites = project.registry.variants, project.registry.suites
    own = made["metadata"]["component"]
    reported = read_reported(project.evidence, family[0])
    refs = sources.of_variant[family[0]]
    own["modelCard"] = card(variants[family[0]], refs, suites, reported, context)
    by_ref = {one["bom-ref"]: one for one in made.get("components", [])}
    for name in family[1:]:
        shown = parameters(variants[name], sources.of_variant[name], suites)
        by_ref[model_ref(name)]["modelCard"] = {"modelParameters": shown}
    for ref, source in sources.by_ref.items():
        by_ref[ref]["data"] = [dataset(source)]


def _sealed(project: Project, name: str, made: dict[str, Any]) -> dict[str, Any]:
    """The document with a time that is known, and a serial number that follows from its content."""
    metadata = {key: value for key, value in made["metadata"].items() if key != "timestamp"}
    timestamp = _timestamp(project, name)
    if timestamp is not None:
        metadata = {"timestamp": timestamp, **metadata}
    content: dict[str, Any] = {
        "metadata": metadata,
        **{key: made[key] for key in ("components", "dependencies") if key in made},
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"mbrelease:bom:{sha256_json(content)}")
    return {
        "$schema": SCHEMA_URL,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial.urn,
        "version": 1,
        **content,
    }


def _timestamp(project: Project, name: str) -> str | None:
    """``SOURCE_DATE_EPOCH`` if set (https://reproducible-builds.org/specs/source-date-epoch/),
    else when it was published, else nothing.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        try:
            return datetime.fromtimestamp(int(epoch), UTC).isoformat().replace("+00:00", "Z")
        except (ValueError, OverflowError, OSError) as error:
            raise UserError(
                f"SOURCE_DATE_EPOCH is '{epoch}'", mend="give seconds since 1970"
            ) from error
    receipt = newest_receipt(project, project.registry.variants[name])
    return receipt.published if receipt else None


def _validated(name: str, made: dict[str, Any]) -> str:
    """The document as text, which the strict schema accepts.

    Raises:
        UserError: it does not; says where.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = json_text(made)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        what = error.data
        where = ".".join(map(str, getattr(what, "absolute_path", ()))) or "the document"
        raise UserError(
            f"the bill of materials of {name} would be no valid CycloneDX 1.6: {where}: "
            f"{str(getattr(what, 'message', what))[:200]}",
            mend="see what the registry says there",
        )
    return text
