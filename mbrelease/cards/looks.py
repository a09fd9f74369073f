"""How often the test split was looked at, read from the ledger and the decision."""

from __future__ import annotations

from dataclasses import dataclass

from mbrelease.registry.project import Project
from mbrelease.selection.decision import Decision
from mbrelease.selection.ledger import ledger_path, read_ledger


@dataclass(frozen=True)
class Looks:
    """Looks at the test split, and why there was more than one."""

    count: int = 0
    reasons: tuple[str, ...] = ()
    """For looking again, or for a policy that changed after a look; in the maintainer's words."""

    @property
    def times(self) -> str:
        """``once``, ``twice``, ``3 times``."""
        return {1: "once", 2: "twice"}.get(self.count, f"{self.count} times")


def read_looks(project: Project, variant: str, decision: Decision | None) -> Looks:
    """What the ledger of ``variant`` has, and what its decision was told.

    Raises:
        UserError: the ledger was changed by another hand.
    """
    ledger = read_ledger(ledger_path(project, variant))
    told = decision.reasons_for_second_looks if decision else []
    return Looks(len(ledger.looks), tuple(dict.fromkeys([*told, *ledger.reasons])))
