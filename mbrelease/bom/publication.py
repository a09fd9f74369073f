"""Where a variant is published, as its receipts prove it or the registry says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from mbrelease.hub.receipt import Receipt, read_receipt, receipt_path
from mbrelease.metadata.source import is_url
from mbrelease.registry.entry import REPO_ID
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Variant

if TYPE_CHECKING:
    from packageurl import PackageURL

_IN_ADDRESSES = "%/:=&?~#+!$,;@()*"
PUBLIC_HUB = "https://huggingface.co"


def newest_receipt(project: Project, entry: Variant) -> Receipt | None:
    """The receipt of the last release of ``entry``; one of the public Hub before any other.

    Raises:
        UserError: a file among the receipts is none.
    """
    if entry.repo is None:
        return None
    folder = receipt_path(project.receipts, entry.repo, "").parent
    receipts = [read_receipt(path) for path in sorted(folder.glob("*.json"))]
    # Checkpoints of a run have receipts too, and "a/b__c" and "a__b/c" share a folder.
    own = [one for one in receipts if one.repo_id == entry.repo and one.step is None]
    return max(own, key=lambda one: (one.endpoint == PUBLIC_HUB, one.published), default=None)


def page(entry: Variant, receipt: Receipt | None) -> str | None:
    """The address of the repository; ``None`` where there is none as yet.

    A run and no receipt is a plan. A repo id without either is, as a rule, a model of others.
    """
    if receipt is not None:
        return f"{receipt.endpoint}/{receipt.repo_id}"
    planned = entry.released is False or (entry.released is None and entry.run is not None)
    if entry.repo is None or planned:
        return None
    return f"{PUBLIC_HUB}/{entry.repo}"


def package_url(entry: Variant, receipt: Receipt | None) -> PackageURL | None:
    """The purl of the published model: ``pkg:huggingface/org/name@commit``.

    Its type is defined in https://github.com/package-url/purl-spec: the version is a commit, and
    a Hub that is not the public one stands in ``repository_url``.
    """
    from packageurl import PackageURL

    if page(entry, receipt) is None or entry.repo is None:
        return None
    namespace, _, name = entry.repo.rpartition("/")
    elsewhere = receipt is not None and receipt.endpoint != PUBLIC_HUB
    return PackageURL(
        "huggingface",
        namespace or None,
        name,
        receipt.commit if receipt else None,
        {"repository_url": receipt.endpoint} if receipt and elsewhere else None,
    )


def source_page(source: str) -> str | None:
    """The address of a source of facts, which a registry names as a URL or by a repo id."""
    if is_url(source):
        return quoted(source)
    return f"{PUBLIC_HUB}/{source}" if re.fullmatch(REPO_ID, source) else None


def quoted(url: str) -> str:
    """An address with what may not stand in one written as ``%XX``."""
    return quote(url, safe=_IN_ADDRESSES)
