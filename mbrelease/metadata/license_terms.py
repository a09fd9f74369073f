"""What a licence demands of what is made from the licensed thing, as far as its id tells.

Short on purpose, and no legal advice: it finds pairs of ids that contradict each other on their
face, such as weights under cc-by-nc-4.0 and a finetune of them under mit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CC = "https://creativecommons.org/licenses"
_GNU = "https://www.gnu.org/licenses"


@dataclass(frozen=True)
class Terms:
    """What the licences that ``ids`` matches ask of a derivative."""

    ids: str
    """A regular expression over whole ids."""
    demand: str
    """In words: "… demands that what is made from it …"."""
    keeps: str | None
    """The licences that a derivative may have; ``None``: there may be no derivative."""
    source: str


# The first that matches counts.
TERMS = (
    Terms(
        r"cc-by(-nc)?-nd-.*",
        "allows no adaptations to be shared",
        None,
        f"{_CC}/by-nd/4.0/legalcode section 2(a)(1)",
    ),
    Terms(
        r"cc-by-nc-sa-.*",
        "demands the same terms of adaptations, and no commercial use",
        r"cc-by-nc-sa-.*",
        f"{_CC}/by-nc-sa/4.0/legalcode sections 2(a)(1) and 3(b)",
    ),
    Terms(
        r"cc-by-nc-.*",
        "allows no commercial use",
        r"cc-by-nc-.*|fair-noncommercial-research-license|h-research|apple-amlr",
        f"{_CC}/by-nc/4.0/legalcode section 2(a)(1)",
    ),
    Terms(
        r"cc-by-sa-.*",
        "demands the same terms of adaptations",
        r"cc-by-sa-4\.0|cc-by-sa-3\.0|gpl-3\.0|agpl-3\.0",
        f"{_CC}/by-sa/4.0/legalcode section 3(b), compatible licences at "
        "https://creativecommons.org/compatiblelicenses",
    ),
    Terms(
        r"agpl-.*",
        "demands the same licence of what is based on it",
        r"agpl-.*",
        f"{_GNU}/agpl-3.0.html section 5(c)",
    ),
    Terms(
        r"gpl(-.*)?",
        "demands the same licence of what is based on it",
        r"a?gpl(-.*)?",
        f"{_GNU}/gpl-3.0.html section 5(c)",
    ),
    Terms(
        r"lgpl(-.*)?",
        "demands the same licence of modified versions",
        r"[al]?gpl(-.*)?",
        f"{_GNU}/lgpl-3.0.html section 2",
    ),
    Terms(
        r"osl-3\.0",
        "demands the same licence of derivative works",
        r"osl-3\.0",
        "https://opensource.org/license/osl-3-0-php section 1(c)",
    ),
    Terms(
        r"openrail(\+\+)?|.*-openrail-m|bigscience-bloom-rail-1\.0",
        "demands that its limits of use bind derivatives",
        r"openrail(\+\+)?|.*-openrail-m|bigscience-bloom-rail-1\.0",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license paragraph 4(a)",
    ),
    Terms(
        r"llama\d.*",
        "demands that its agreement goes with derivatives",
        "{id}",
        "https://www.llama.com/llama3_1/license/ section 1(b)",
    ),
    Terms(
        r"gemma",
        "demands that its terms of use go with derivatives",
        "{id}",
        "https://ai.google.dev/gemma/terms section 3.1",
    ),
    Terms(
        r"fair-noncommercial-research-license|h-research|intel-research|apple-amlr"
        r"|deepfloyd-if-license",
        "allows research only, also with derivatives",
        "{id}",
        "the text of each, linked from https://huggingface.co/docs/hub/repositories-licenses",
    ),
    Terms(
        r"grok2-community",
        "demands that its agreement goes with derivatives",
        "{id}",
        "https://huggingface.co/xai-org/grok-2/blob/main/LICENSE",
    ),
)
# Of these ids nobody can tell what they allow.
_UNTOLD = frozenset({"other", "unknown", "cc"})

_FORBIDS_COMMERCE = re.compile(
    r"\bnc\b|non-?commercial|research-(?:only|license)|h-research|intel-research|apple-amlr"
)
_FORBIDS_DERIVATIVES = re.compile(r"\bnd\b|no-?deriv")


def terms_of(license_id: str) -> Terms | None:
    """The demands of a licence, if it makes any that its id tells of."""
    found = (terms for terms in TERMS if re.fullmatch(terms.ids, _id(license_id)))
    return next(found, None)


def contradiction(parent: str, child: str) -> str | None:
    """Why what was made from a thing under ``parent`` cannot be under ``child``, in a clause."""
    terms, own = terms_of(parent), _id(child)
    if terms is None:
        return None
    if terms.keeps is None:
        return terms.demand
    keeps = terms.keeps.replace("{id}", re.escape(_id(parent)))
    return None if own in _UNTOLD or re.fullmatch(keeps, own) else terms.demand


def data_contradiction(data: str, model: str) -> str | None:
    """Why data under ``data`` sit ill with weights under ``model``, in a clause.

    ``data`` may be an id or words, such as ``CC BY-NC 4.0``.
    """
    given, own = _id(data), _id(model)
    if _FORBIDS_DERIVATIVES.search(given):
        return "allows no derivatives, and a model may be one"
    if _FORBIDS_COMMERCE.search(given) and not _FORBIDS_COMMERCE.search(own):
        return None if own in _UNTOLD else "allows no commercial use, and the model's licence does"
    return None


def _id(text: str) -> str:
    return re.sub(r"[\s_]+", "-", text.strip().lower())
