"""``show`` and ``json_schema``: the configuration in force as YAML, and the schema of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from config.sections.base import MASK
from config.settings import Settings


def show(settings: Settings, sources: Mapping[str, str] | None = None) -> str:
    """YAML of the configuration in force, secrets masked, with the source of each value unless a default.

    Args:
        sources: as :class:`config.loading.loader.Loaded` holds them.
    """
    return (
        "\n".join(_lines(settings.model_dump(mode="json", by_alias=True), settings, sources or {}, ())) + "\n"
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file."""
    schema = Settings.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Sightline configuration",
    }


def _lines(
    values: Mapping[str, Any], original: Any, sources: Mapping[str, str], path: tuple[str, ...]
) -> list[str]:
    indent = "  " * len(path)
    lines = []
    for name, value in values.items():
        here = (*path, name)
        own = _child(original, name)
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{_scalar(name)}:")
            lines += _lines(value, own, sources, here)
            continue
        shown = MASK if isinstance(own, SecretStr) else value
        place = sources.get(".".join(here))
        comment = f"  # {_printable(place)}" if place else ""
        lines.append(f"{indent}{_scalar(name)}: {_scalar(shown)}{comment}")
    return lines


def _child(original: Any, name: str) -> Any:
    if isinstance(original, BaseModel):
        for field, info in type(original).model_fields.items():
            if (info.alias or field) == name:
                return getattr(original, field)
    return original.get(name) if isinstance(original, Mapping) else None


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _printable(text: str) -> str:
    """A comment ends with its line, whatever a file is called."""
    return "".join(character if character.isprintable() else "?" for character in text)
