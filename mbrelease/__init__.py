"""Take a ModernBERT training run to a model release people can trust.

One flow, one direction: run → evidence → decision → release → Hub. See docs/ for the
formats of every file written.
"""

__version__ = "0.1.0"
