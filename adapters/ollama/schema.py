"""JSON schemas as Ollama's grammar compiler takes them, and the same shape in words.

The compiler knows types, properties, items, required keys, enumerations and alternatives. At titles,
descriptions, defaults, lengths, patterns or references to definitions it becomes slow, refuses the schema or
ignores it, so they are left out and checked afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_KEPT = ("type", "enum", "const", "required")


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The stripped JSON schema of a pydantic model. Raises ValueError where it contains itself."""
    schema = model.model_json_schema()
    return _stripped(schema, schema.get("$defs", {}), ())


def _stripped(
    node: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]
) -> dict[str, Any]:
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        if name in inside:
            raise ValueError(f"{name} contains itself; a grammar cannot be written out for it")
        return _stripped(definitions[name], definitions, (*inside, name))
    kept: dict[str, Any] = {key: node[key] for key in _KEPT if key in node}
    if "properties" in node:
        kept["properties"] = {
            name: _stripped(value, definitions, inside) for name, value in node["properties"].items()
        }
        # Optional keys are the first to be forgotten by a small model.
        kept["required"] = list(node["properties"])
    if isinstance(node.get("items"), Mapping):
        kept["items"] = _stripped(node["items"], definitions, inside)
    if "anyOf" in node:
        kept["anyOf"] = [_stripped(value, definitions, inside) for value in node["anyOf"]]
    return kept


def shape_of(schema: Mapping[str, Any]) -> str:
    """A stripped schema as an example: ``{"defects": [{"name": "...", "severity": "minor|major"}, ...]}``."""
    return json.dumps(_example(schema)).replace('"{more}"', "...")


def _example(node: Mapping[str, Any]) -> Any:
    if "enum" in node:
        return "|".join(str(value) for value in node["enum"])
    if "properties" in node:
        return {name: _example(value) for name, value in node["properties"].items()}
    if node.get("type") == "array":
        return [_example(node.get("items", {})), "{more}"]
    return "..."
