"""How p values are written."""

from __future__ import annotations


def p_text(p: float | None) -> str:
    """A p value in three digits at most: ``0.012`` or ``< 0.001``."""
    if p is None:
        return "unknown"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
