"""Measure checkpoints and keep what was measured, down to the score of each example."""
