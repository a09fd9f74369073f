"""Pictures of a decision: each metric over training, and two metrics against each other.

An SVG takes its colours from the page's scheme and has no background; the PNG beside it is for
places that take no SVG, and is opaque and light, which reads on a dark page too.
"""

from __future__ import annotations

from mbrelease.selection.plots.alt import alt_text, front_alt_text
from mbrelease.selection.plots.write import front_stem, trajectory_stem, write_plots

__all__ = ["alt_text", "front_alt_text", "front_stem", "trajectory_stem", "write_plots"]
