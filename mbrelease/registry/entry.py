"""What every entry of a registry has in common."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# Names become file names: ``decisions/<variant>.json``, ``evidence/…/<task>.json``.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
REPO_ID = r"^(?:[\w-]+/)?[\w.-]+$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class Entry(BaseModel):
    """Base of every entry: unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init_subclass__(cls, **options: Any) -> None:
        """Empty lists are made, and not copied deeply, for each of ten thousand entries."""
        super().__init_subclass__(**options)
        for name in cls.__annotations__:
            if cls.__dict__.get(name) == []:
                made: Any = Field(default_factory=list, json_schema_extra={"default": []})
                setattr(cls, name, made)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """The entry itself, since it does not change: a default is shared by all that have it."""
        return self
