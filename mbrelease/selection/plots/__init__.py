"""Pictures of a decision: each metric over training, and two metrics against each other."""

from __future__ import annotations

from mbrelease.selection.plots.alt import alt_text, front_alt_text
from mbrelease.selection.plots.write import front_stem, trajectory_stem, write_plots

__all__ = ["alt_text", "front_alt_text", "front_stem", "trajectory_stem", "write_plots"]
