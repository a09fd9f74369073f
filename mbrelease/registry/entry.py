"""What every entry of a registry has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# Names become file names: ``decisions/<variant>.json``, ``evidence/…/<task>.json``.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
REPO_ID = r"^(?:[\w-]+/)?[\w.-]+$"
Name = Annotated[str, StringConstraints(pattern=NAME)]


class Entry(BaseModel):
    """Base of every entry: unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
