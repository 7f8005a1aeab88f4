"""What is shown can be loaded again; the schema describes every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import json_schema, load, profiles, show

PROFILES = Path(__file__).parents[2] / "config" / "profiles"


def test_what_is_shown_loads_as_the_same_settings(tmp_path: Path) -> None:
    loaded = load(
        overrides=["media.keep.pass=1d 12h", "frames.max_bytes=16MiB", 'models.files={"a b": x, "on": y}'],
        environ={"SIGHTLINE_CAMERAS": "{l/c: {overload: latest}}", "SIGHTLINE_BROKER__VERSION": "5"},
    )
    file = tmp_path / "shown.yaml"
    file.write_text(show(loaded.settings, loaded.sources))
    assert load(file).settings == loaded.settings


@pytest.mark.slow
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_any_text_survives_being_shown(text: str) -> None:
    settings = load(environ={"SIGHTLINE_MODELS__CLIP": text}).settings
    assert yaml.safe_load(show(settings))["models"]["clip"] == text


def test_comments_say_where_values_came_from(tmp_path: Path) -> None:
    file = tmp_path / "sightline.yaml"
    file.write_text("agent:\n  id: press-3\n")
    loaded = load(file, overrides=["metrics.port=9000"])
    lines = show(loaded.settings, loaded.sources).splitlines()
    assert f"  id: press-3  # {file}:2" in lines
    assert "  port: 9000  # --set metrics.port" in lines
    assert "  site: factory" in lines
    assert "  pass: 7d" in "\n".join(lines)


def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (part for part in [schema, *schema["$defs"].values()] if "properties" in part)


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    schema = json_schema()
    for part in objects(schema):
        assert part["additionalProperties"] is False
        for name, key in part["properties"].items():
            assert key.get("title"), name
            # Where a section has the same description, the schema holds it once, at the section.
            section = schema["$defs"].get(key.get("$ref", "").rpartition("/")[2], {})
            assert key.get("description") or section.get("description"), name
            has_default = "default" in key or "$ref" in key or key.get("type") in ("object", "array")
            assert has_default or name in part.get("required", ()), name


def refusals(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "") -> Iterator[str]:
    """The part of JSON Schema that defines which keys and types may stand where."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all(list(refusals(value, option, root, path)) for option in schema["anyOf"]):
            yield path
        return
    kinds = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "object": dict,
        "array": list,
    }
    allowed = schema.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    if allowed and not any(isinstance(value, kinds.get(kind, type(None))) for kind in allowed):  # type: ignore[arg-type]
        yield path
    if "enum" in schema and value not in schema["enum"]:
        yield path
    if isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            if name not in schema["properties"]:
                yield f"{path}.{name}"
            else:
                yield from refusals(inner, schema["properties"][name], root, f"{path}.{name}")


@pytest.mark.parametrize("name", profiles())
def test_the_schema_describes_bundled_profiles_and_what_is_shown(name: str) -> None:
    schema = json_schema()
    profile = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())
    shown = yaml.safe_load(show(load(profile=name).settings))
    assert list(refusals(profile, schema, schema)) == []
    assert list(refusals(shown, schema, schema)) == []
    assert list(refusals({"agent": {"idd": 1}}, schema, schema)) == [".agent.idd"]
