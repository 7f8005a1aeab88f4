"""``RecipeYaml``: writes recipes as YAML and reads them."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from typing import Any

import yaml
from pydantic import ValidationError

from adapters.recipes.document import CalibrationKeys, ExportedKeys, PromptKeys, RecipeKeys
from adapters.recipes.places import problems
from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.prompts import NamedDefect, PromptSet
from agent.domain.recipe import Digests, Recipe
from agent.domain.regions import Regions
from agent.ports.recipes import RecipeFile, ReferenceEntry
from config.loading.document import LARGEST_FILE, parse
from config.loading.tree import Problem, plain

MOST_ENTRIES = 20_000
"""Lines, and entries of lists within one; a recipe with hundreds of prompts has a thousand."""
_LONG_NUMBER = re.compile(r"\d[\d_:.]{400}")

_HEAD = """\
# A recipe of Sightline. Edit what you like and import it as a new version: sightline recipe import FILE
# A threshold holds only for the noun, method, prompts and references that it was set with.
"""
_TAIL = "# From here on Sightline sees what was edited; leave it as it is, or remove it.\n"


class RecipeYaml:
    """Writes and reads the only format in which recipes are exported and imported."""

    def write(self, recipe: Recipe) -> str:
        """YAML with the digests of the version at its end."""
        prompts = recipe.prompts
        content: dict[str, Any] = {"sku": recipe.sku, "noun": recipe.noun, "method": recipe.method}
        if recipe.note is not None:
            content["note"] = recipe.note
        content["parameters"] = dict(recipe.parameters)
        if recipe.regions:
            content["regions"] = {
                kind: [_Row(numbers) for numbers in polygons]
                for kind, polygons in recipe.regions.record().items()
            }
        content["prompts"] = {
            "source": prompts.source.value,
            "provenance": dict(prompts.provenance),
            "normal": list(prompts.normal),
            "anomalous": list(prompts.anomalous),
            "defects": [
                {"name": d.name, "severity": d.severity, "phrases": list(d.phrases)} for d in prompts.defects
            ],
        }
        content["references"] = [{"name": one.name, "sha256": one.sha256} for one in recipe.references]
        content["calibration"] = None if recipe.calibration is None else asdict(recipe.calibration)
        exported = {"version": recipe.version or None, **asdict(Digests.of(recipe))}
        return _HEAD + _dump(content) + _TAIL + _dump({"exported": exported})

    def read(self, text: str, source: str) -> RecipeFile:
        """Raises RecipeError: all that is wrong, each with its line and the nearest known key."""
        if len(text) > LARGEST_FILE:
            raise RecipeError(f"{source} is larger than a megabyte; it is not a recipe")
        # Checked before it is parsed: reading YAML costs seconds for a megabyte of brackets.
        if sum(text.count(sign) for sign in "\n,[{&*") > MOST_ENTRIES:
            raise RecipeError(f"{source} has more than {MOST_ENTRIES:,} entries; it is not a recipe")
        if _LONG_NUMBER.search(text) is not None:
            raise RecipeError(f"{source} has a number of more than 400 digits; it is not a recipe")
        tree, found = parse(text, source)
        if found:
            _refuse(source, found)
        try:
            return _file(RecipeKeys.model_validate(plain(tree)))
        except ValidationError as error:
            _refuse(source, problems(text, source, error))
            raise
        except ValueError as error:  # of the domain's classes, which check several keys together
            raise RecipeError(f"{source}: {error}") from error


def _file(keys: RecipeKeys) -> RecipeFile:
    recipe = Recipe(
        sku=keys.sku,
        noun=keys.noun,
        prompts=_prompts(keys.prompts),
        method=keys.method,
        parameters=keys.parameters,
        calibration=None if keys.calibration is None else _calibration(keys.calibration),
        note=keys.note,
        regions=Regions.of(None if keys.regions is None else keys.regions.model_dump()),
    )
    entries = tuple(ReferenceEntry(one.name, one.sha256) for one in keys.references)
    exported = keys.exported
    digests = None if exported is None else _digests(exported)
    return RecipeFile(recipe, entries, digests, None if exported is None else exported.version)


def _prompts(keys: PromptKeys) -> PromptSet:
    return PromptSet(
        normal=tuple(keys.normal),
        anomalous=tuple(keys.anomalous),
        defects=tuple(NamedDefect(d.name, tuple(d.phrases), d.severity) for d in keys.defects),
        source=keys.source,
        provenance=dict(keys.provenance),
    )


def _calibration(keys: CalibrationKeys) -> Calibration:
    return Calibration(
        threshold=keys.threshold,
        review_below=keys.review_below,
        samples=keys.samples,
        false_alarm_rate=keys.false_alarm_rate,
        source=keys.source,
        map_threshold=keys.map_threshold,
        scorer=keys.scorer,
        log_mean=keys.log_mean,
        log_deviation=keys.log_deviation,
        label_margin=keys.label_margin,
    )


def _digests(keys: ExportedKeys) -> Digests:
    return Digests(**{field.name: getattr(keys, field.name) for field in fields(Digests)})


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


class _Row(list[float]):
    """Numbers that stand in one line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Unquoted, PyYAML writes line separators such as U+0085 as they are and reads them as plain breaks.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    _Row, lambda dumper, row: dumper.represent_sequence("tag:yaml.org,2002:seq", row, flow_style=True)
)


def _dump(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)


def _refuse(source: str, found: list[Problem]) -> None:
    raise RecipeError(f"{source} is not a usable recipe:\n" + "\n".join(f"  {one}" for one in found))
