"""A licence as CycloneDX wants it: an SPDX id where there is one, else a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbrelease.bom.publication import quoted
from mbrelease.metadata.licenses import license_of
from mbrelease.metadata.source import is_url

if TYPE_CHECKING:
    from cyclonedx.model.license import License

# The Hub's ids that SPDX writes otherwise than in another case: https://spdx.org/licenses/
_SPDX = {
    "c-uda": "C-UDA-1.0",
    "lgpl-lr": "LGPLLR",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
}
_SAYS_NOTHING = frozenset({"", "unknown", "other"})


def licenses(text: str | None) -> list[License]:
    """The licence that a registry names, as a list of at most one.

    Args:
        text: an id of the Hub, an SPDX id or expression, a URL, or other words.
    """
    # Not the library's validation or factories before they are needed: they load SPDX's tables.
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import XsUri
    from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement

    text = (text or "").strip()
    declared = LicenseAcknowledgement.DECLARED
    if text.lower() in _SAYS_NOTHING:
        return []
    if is_url(text):
        address = XsUri(quoted(text))
        return [DisjunctiveLicense(name=text, url=address, acknowledgement=declared)]
    known = license_of(text) or text
    spdx = _SPDX.get(known, known)
    return [LicenseFactory().make_from_string(spdx, license_acknowledgement=declared)]
