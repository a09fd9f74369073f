"""The licences that the Hub knows by an id.

Source: https://huggingface.co/docs/hub/repositories-licenses. Of an id that is not in its list the
Hub refuses the card: ``"license" must be one of …``.
"""

from __future__ import annotations

import difflib
import re

_IDS = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause
bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0
cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research
intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0
openmdw-1.1 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2
llama3.3 llama4 grok2-community gemma unknown other
"""
LICENSE_IDS = frozenset(_IDS.split())


def license_of(text: str) -> str | None:
    """The id of the licence that ``text`` names in other words: ``Apache License 2.0``."""
    wanted = _squashed(text)
    return next((each for each in sorted(LICENSE_IDS) if _squashed(each) == wanted), None)


def nearest_license(text: str) -> str | None:
    """The id that ``text`` seems to mean: ``Apache 2.0`` and ``apache2`` → ``apache-2.0``."""
    wanted, same = _squashed(text), license_of(text)
    if same is not None:
        return same
    known = {_squashed(each): each for each in sorted(LICENSE_IDS)}
    longer = [squashed for squashed in known if len(wanted) > 2 and squashed.startswith(wanted)]
    if longer:
        # The newest of a family: cc-by-sa → cc-by-sa-4.0.
        return known[max(longer, key=lambda squashed: (-len(squashed), squashed))]
    close = difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.75)
    return known[close[0]] if close else None


def _squashed(text: str) -> str:
    """Letters and digits of ``text``, without the words that ids leave out."""
    words = re.sub(r"licen[cs]e|version|the ", "", text.lower())
    return re.sub(r"[^a-z0-9+]|(?<=[a-z])[ -]?v(?=\d)", "", words)
