"""How often the test split was looked at, read from the ledger and the decision."""

from __future__ import annotations

from dataclasses import dataclass

from mbrelease.cards.told import Told, place
from mbrelease.registry.project import Project
from mbrelease.selection.decision import Decision


@dataclass(frozen=True)
class Looks:
    """Looks at the test split, and why there was more than one."""

    count: int = 0
    reasons: tuple[Told, ...] = ()
    """For looking again, or for a policy that changed after a look; in the maintainer's words."""
    times: str = ""
    """``once``, ``twice``, ``3 times``."""
    file: str = ""
    """The ledger."""


def read_looks(project: Project, variant: str, decision: Decision | None) -> Looks:
    """What the ledger of ``variant`` has, and what its decision was told.

    Raises:
        UserError: the ledger was changed by another hand.
    """
    if not project.decision(variant).parent.is_dir():
        return Looks()
    from mbrelease.selection.ledger import ledger_path, read_ledger

    path = ledger_path(project, variant)
    ledger = read_ledger(path)
    at = place(project.root, path)
    told = decision.reasons_for_second_looks if decision else []
    known = dict.fromkeys([*told, *ledger.reasons])
    times = {0: "", 1: "once", 2: "twice"}
    n = len(ledger.looks)
    return Looks(
        n,
        tuple(at.at("reasons").tell(reason) for reason in known),
        times[n] if n in times else at.at("looks").tell(f"{n} times", n),
        at.file,
    )
