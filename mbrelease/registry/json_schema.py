"""JSON Schema of the registry, for completion and checks in editors."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mbrelease.files import json_text
from mbrelease.registry.entry import Entry
from mbrelease.registry.schema import Registry

SCHEMA_NAME = "registry.schema.json"


class _EditorSchema(GenerateJsonSchema):
    """pydantic's schema, made for a YAML editor."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No: a title that repeats the name of the field says nothing."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Entries, each field described by the docstring below it.

        pydantic could do that (``use_attribute_docstrings``), but does it whenever the classes are
        made, and every command would wait for it.
        """
        made = super().model_schema(schema)
        for parent in reversed(schema["cls"].__mro__):
            for field, description in _field_docstrings(parent):
                if field in made.get("properties", {}):
                    made["properties"][field]["description"] = description
        return made

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Whole numbers, and ``450_000_000``, which editors' YAML 1.2 takes for text."""
        below_zero = schema.get("ge", -1) < 0 and "gt" not in schema
        pattern = rf"^[{'-' if below_zero else ''}+]?[1-9][0-9]*(_[0-9]+)+$"
        return {**super().int_schema(schema), "type": ["integer", "string"], "pattern": pattern}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Mappings by name: a key that is no name is refused, not passed over."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made


def registry_schema() -> dict[str, Any]:
    """The schema, with descriptions from the docstrings."""
    schema = Registry.model_json_schema(schema_generator=_EditorSchema)
    order = ["description", "type", "properties", "required", "additionalProperties", "$defs"]
    schema["required"].remove("variants")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mbrelease registry",
        **{key: schema[key] for key in order},
        # The variants may all stand in files that are included.
        "anyOf": [{"required": ["variants"]}, {"required": ["include"]}],
    }


def registry_schema_text() -> str:
    """The schema as the file that is checked in beside the registry."""
    return json_text(registry_schema())


def _field_docstrings(cls: type) -> Iterator[tuple[str, str]]:
    """The fields that a class itself defines and describes, each with its docstring."""
    if not issubclass(cls, Entry) or cls is Entry:
        return
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    for statement, below in pairwise(definition.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.target.id, inspect.cleandoc(text)
