"""listing_record() and recipe_record(): recipes in plain values, as JSON for people and programs holds them.

A file of its own: the command line imports it when it starts, and nothing here loads a model.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent.domain.prompts import NamedDefect
from agent.domain.recipe import Recipe, RecipeListing


def listing_record(line: RecipeListing) -> dict[str, Any]:
    """One version in a list."""
    values = {**asdict(line), "created_at": line.created_at.isoformat()}
    return {**values, "regions": line.regions.record() or None}


def remarks(line: RecipeListing) -> str:
    """What a person should know of a version: its note, and what holds of it now."""
    waits = f"the template until the language model answers: {line.waiting}" if line.waiting else None
    other = f"{line.model} is another model now" if line.model_changed else None
    return "; ".join(filter(None, (line.note, waits, other)))


def recipe_record(recipe: Recipe, *, active: bool, model_changed: bool = False) -> dict[str, Any]:
    """A whole recipe except its images.

    Args:
        model_changed: whether the language model that wrote its words is another one by now.
    """
    calibration = recipe.calibration
    return {
        "sku": recipe.sku,
        "version": recipe.version,
        "active": active,
        "noun": recipe.noun,
        "method": recipe.method,
        "prompt_source": recipe.prompts.source.value,
        "model_changed": model_changed,
        "shots": recipe.shots,
        "threshold": calibration.threshold if calibration else None,
        "origin": recipe.origin,
        "note": recipe.note,
        "parent": recipe.parent,
        "prompt_selection": None if recipe.prompt_selection is None else dict(recipe.prompt_selection),
        "calibration": None
        if calibration is None
        else {
            "review_below": calibration.review_below,
            "map_threshold": calibration.map_threshold,
            "samples": calibration.samples,
            "false_alarm_rate": calibration.false_alarm_rate,
            "source": calibration.source,
            "label_margin": calibration.label_margin,
        },
        "parameters": dict(recipe.parameters),
        "regions": recipe.regions.record() or None,
        "references": [reference.name for reference in recipe.references],
        "prompts": {
            "normal": list(recipe.prompts.normal),
            "anomalous": list(recipe.prompts.anomalous),
            "defects": [_defect(defect) for defect in recipe.prompts.defects],
            "provenance": dict(recipe.prompts.provenance),
        },
    }


def _defect(defect: NamedDefect) -> str:
    return f"{defect.name} ({defect.severity})" if defect.severity else defect.name
