"""JSON Schema of the registry, for completion and checks in editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mbrelease.files import json_text
from mbrelease.registry.schema import Registry

SCHEMA_NAME = "registry.schema.json"


class _EditorSchema(GenerateJsonSchema):
    """pydantic's schema, made for a YAML editor."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No: a title that repeats the name of the field says nothing."""
        return False

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Whole numbers, and ``450_000_000``, which editors' YAML 1.2 takes for text."""
        pattern = r"^[-+]?[1-9][0-9]*(_[0-9]+)+$"
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
