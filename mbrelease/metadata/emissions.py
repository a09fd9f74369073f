"""``co2_eq_emissions``: https://huggingface.co/docs/hub/model-cards-co2, in grams."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.kinds import has, is_number, texts_in
from mbrelease.metadata.spot import Spot

TEXTS = ("source", "training_type", "geographical_location", "hardware_used")


def check_emissions(spot: Spot) -> Iterator[Finding]:
    """A number of grams, or a mapping with ``emissions`` and where they come from."""
    if isinstance(spot.value, dict):
        yield from has(spot, "emissions")
        yield from texts_in(spot, *TEXTS)
        for key in spot.keys:
            if key not in {"emissions", *TEXTS}:
                child = spot.below(key)
                yield child.warning(
                    f"{child.name} is unknown to the Hub", f"one of {', '.join(TEXTS)}"
                )
        grams = spot.get("emissions")
    else:
        grams = spot
    if grams is None or grams.value is None:
        return
    if not is_number(grams.value):
        yield grams.error(f"{grams.name} is {shown(grams.value)} and must be a number of grams")
    elif grams.value < 0:
        yield grams.error(f"{grams.name} is negative", "give grams of CO₂ equivalent")
