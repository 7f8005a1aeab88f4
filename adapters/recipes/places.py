"""``problems``: the faults of a recipe file, each with its line and the nearest known key."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import yaml
from pydantic import ValidationError

from adapters.recipes.document import SECTIONS
from config.loading.document import number_hint
from config.loading.tree import Origin, Problem

Path = tuple[int | str, ...]


def problems(text: str, source: str, error: ValidationError) -> list[Problem]:
    """Each fault with its line; values are quoted in short."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    found = []
    for detail in error.errors(include_url=False):
        path: Path = tuple(detail["loc"])
        found.append(Problem(_origin(document, path, source), f"{_dotted(path)} {_message(path, detail)}"))
    return list({str(problem): problem for problem in found}.values())


def _message(path: Path, detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        known = SECTIONS.get(tuple(part for part in path[:-1] if isinstance(part, str)))
        fields = list(known.model_fields) if known is not None else []
        close = get_close_matches(str(path[-1]).lower(), fields, n=1, cutoff=0.6)
        return f"is not a known key; did you mean {close[0]}?" if close else (
            f"is not a known key; known here are {', '.join(fields)}"
        )  # fmt: skip
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] == "string_type" and isinstance(detail.get("input"), bool | int | float):
        return "should be text; put it in quotes"
    hint = number_hint(detail.get("input"))
    if hint is not None and detail["type"] in ("float_type", "float_parsing", "int_type"):
        return hint
    message = str(detail["msg"]).removeprefix("Value error, ")
    for kind in ("Input", "String", "List", "Value"):
        message = message.replace(f"{kind} should", "should")
    return message[:1].lower() + message[1:]


def _dotted(path: Path) -> str:
    """``prompts.defects[2].name``, counted from 1 as people do."""
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the file"


def _origin(node: yaml.Node | None, path: Sequence[int | str], source: str) -> Origin:
    """The place of the deepest part of ``path`` that was written."""
    mark = node.start_mark if node is not None else None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return Origin(source) if mark is None else Origin(source, mark.line + 1, mark.column + 1)
