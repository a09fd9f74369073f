"""The variants, the data and the files of a bill of materials, as the library's components."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mbrelease.bom.licenses import licenses
from mbrelease.bom.publication import PUBLIC_HUB, newest_receipt, package_url, page, source_page
from mbrelease.hub.receipt import Receipt
from mbrelease.registry.entry import REPO_ID
from mbrelease.registry.project import Project
from mbrelease.registry.schema import DataSource, Parent, Variant

if TYPE_CHECKING:
    from cyclonedx.model import ExternalReference, Property
    from cyclonedx.model.component import Component

NAMESPACE = "mbrelease"
"""Before the names of properties, see https://cyclonedx.org/docs/1.6/json/#properties."""


def model_ref(variant: str) -> str:
    """The name of a variant within the document."""
    return f"model/{variant}"


def model(project: Project, variant: str, *, described: bool) -> Component:
    """A variant with its parents as pedigree.

    Args:
        project: the registry.
        variant: a resolved name.
        described: whether the document is about it: then all its addresses stand in it, and the
            published files with their hashes. An ancestor has its page; the validator takes
            hundredths of a second to check an address.

    Raises:
        UserError: a receipt is malformed.
    """
    from cyclonedx.model.component import Pedigree

    entry = project.registry.variants[variant]
    receipt = newest_receipt(project, entry)
    parents = [_parent(project, parent) for parent in entry.parents]
    made = _plain_model(project, variant, receipt)
    made.bom_ref.value = model_ref(variant)
    made.description = entry.card.summary
    made.licenses = licenses(entry.license or project.registry.defaults.license)
    made.external_references = _references(entry, receipt, every=described)
    made.pedigree = Pedigree(ancestors=parents) if parents else None
    made.components = _files(receipt) if receipt is not None and described else []
    return made


def data(source: DataSource, ref: str) -> Component:
    """A data set that something was trained on."""
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentType

    url = dataset_page(source)
    website = ExternalReferenceType.WEBSITE
    return Component(
        type=ComponentType.DATA,
        name=source.name,
        bom_ref=ref,
        description=source.description,
        licenses=licenses(source.license),
        external_references=[ExternalReference(type=website, url=XsUri(url))] if url else [],
    )


def dataset_page(source: DataSource) -> str | None:
    """The page of a data set on the Hub."""
    if source.hub_id is None or not re.fullmatch(REPO_ID, source.hub_id):
        return None
    return f"{PUBLIC_HUB}/datasets/{source.hub_id}"


def properties(values: dict[str, object]) -> list[Property]:
    """What CycloneDX has no place for, as properties of this project; ``None`` says nothing."""
    from cyclonedx.model import Property

    return [
        Property(name=f"{NAMESPACE}:{name}", value=str(value))
        for name, value in values.items()
        if value is not None
    ]


def _plain_model(project: Project, variant: str, receipt: Receipt | None) -> Component:
    """A variant by its names and nothing else."""
    from cyclonedx.model.component import Component, ComponentType

    entry = project.registry.variants[variant]
    group, _, name = (entry.repo or variant).rpartition("/")
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        group=group or None,
        name=name,
        version=(receipt.tag or receipt.commit) if receipt else None,
        purl=package_url(entry, receipt),
        properties=properties(
            {
                "variant": variant,
                "family": project.registry.family,
                "supersedes": entry.supersedes,
                "endpoint": receipt.endpoint if receipt else None,
                "commit": receipt.commit if receipt else None,
                "decision_sha256": receipt.decision_sha256 if receipt else None,
            }
        ),
    )


def _parent(project: Project, parent: Parent) -> Component:
    """A parent as it stands in a pedigree: what it is called, and what was done with it.

    It has no ``bom-ref``: the component of that variant has it, with its own pedigree.
    """
    entry = project.registry.variants[parent.variant]
    made = _plain_model(project, parent.variant, newest_receipt(project, entry))
    made.properties = properties({"variant": parent.variant, "relation": parent.relation})
    return made


def _references(entry: Variant, receipt: Receipt | None, *, every: bool) -> list[ExternalReference]:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri

    kind = ExternalReferenceType
    found: list[tuple[ExternalReferenceType, str]] = []
    repository = page(entry, receipt)
    if repository is not None:
        found.append((kind.WEBSITE, repository))
    if repository is not None and every:
        found.append((kind.VCS, repository))
    if receipt is not None and every:
        found.append((kind.DISTRIBUTION, receipt.url))
        if "README.md" in receipt.files:
            card = f"{repository}/blob/{receipt.commit}/README.md"
            found.append((kind.MODEL_CARD, card))
    pages = map(source_page, entry.sources if every else [])
    found += [(kind.DOCUMENTATION, one) for one in pages if one and one != repository]
    return [ExternalReference(type=what, url=XsUri(url)) for what, url in found]


def _files(receipt: Receipt) -> Iterator[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    for path, file in receipt.files.items():
        yield Component(
            type=ComponentType.FILE,
            name=path,
            bom_ref=f"file/{path}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
            properties=properties({"size_bytes": file.size_bytes}),
        )
