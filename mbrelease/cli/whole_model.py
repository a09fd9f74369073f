"""A word on what was written, where it is no model that anybody could load."""

from __future__ import annotations

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.cli.output import talk


def warn_unless_whole(checkpoint: Checkpoint) -> None:
    """Say so if the names or shapes of the tensors are not those that the config asks for.

    Only headers are read. It is a warning: the weights are what they were made of.
    """
    from mbrelease.parity.checks.tensors import check_tensors

    results = check_tensors(checkpoint, checkpoint.config)
    if faults := [result for result in results if result.status == "fail"]:
        talk(
            f"warning: {checkpoint.path} is not a whole ModernBERT: {faults[0].found}\n"
            f"  see 'mbrelease verify {checkpoint.path}'"
        )
