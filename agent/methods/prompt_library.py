"""``load_prompts`` and others: prompt sets from files, in Sightline's format or that of FADE's authors.

Our format (JSON or YAML)::

    normal: [sentences]
    anomalous: [sentences]
    defects: [{name: scratch, phrases: [a scratch, a thin line]}]   # optional

FADE's authors keep ``{"abnormal": {"instruction": ..., "prompts": [...]}, "normal": {...}}``. Their
compositional file holds ``{classname}``, which stands for the product's noun.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from agent.domain.articles import with_article
from agent.domain.errors import RecipeError
from agent.domain.prompts import GENERIC_NOUN, NamedDefect, PromptSet, PromptSource

_BUNDLED = "prompt_library.json"
_SUFFIXES = (".json", ".yaml", ".yml")
_PLACEHOLDERS = ("{classname}", "{class_name}", "{object}", "{noun}", "{}")

# The order matters: "abnormal" holds "normal", "undamaged" holds "damaged".
_ROLES = (
    ("defects", ("defects",)),
    (
        "normal",
        ("undamaged", "nondefect", "non_defect", "_free", "without_d", "without_f", "flawless", "intact"),
    ),
    ("anomalous", ("anomal", "abnormal", "defect", "damag", "flaw", "faulty", "bad")),
    ("normal", ("normal", "good")),
)


@cache
def library() -> PromptSet:
    """Sightline's own descriptions: they name no product and each names one kind of defect or its absence."""
    content = (files("agent.methods") / _BUNDLED).read_text(encoding="utf-8")
    found = _Found()
    _collect(json.loads(content), None, found, _BUNDLED)
    return PromptSet(
        normal=tuple(found.normal),
        anomalous=tuple(found.anomalous),
        defects=tuple(found.defects),
        provenance={"template": "sightline-library"},
    )


def load_prompts(path: Path, *others: Path, noun: str = "object") -> PromptSet:
    """One prompt set from files, or from all JSON and YAML files of a folder, in the order of their names.

    The key that a list stands under, or else the file's name, decides its side (normal, anomalous).
    Duplicates stay: FADE's means are taken over all that is written (METHODS section 1.3).

    Args:
        path: a file or a folder.
        others: more of them; their descriptions follow.
        noun: what stands in for ``{classname}``.

    Raises:
        RecipeError: a file is missing, is not JSON or YAML, holds something else than descriptions, or
            one side is missing in all of them.
    """
    found = _Found()
    read = [file for each in (path, *others) for file in _files(each)]
    hashed = hashlib.sha256()
    for file in read:
        content = _bytes(file)
        hashed.update(content)
        _collect(_parse(content, file), _role_of(file.stem), found, str(file))
    for side, sentences in (("normal", found.normal), ("anomalous", found.anomalous)):
        if not sentences:
            names = ", ".join(file.name for file in read)
            raise RecipeError(
                f"there are no {side} descriptions in {names}; put a list under the key {side!r}, "
                "or give the file that holds them as well"
            )
    noun = " ".join(noun.replace("_", " ").split()) or "object"
    return PromptSet(
        normal=tuple(_filled(text, noun) for text in found.normal),
        anomalous=tuple(_filled(text, noun) for text in found.anomalous),
        defects=tuple(found.defects) or library().defects,
        source=PromptSource.MANUAL,
        provenance={
            "files": ", ".join(file.name for file in read),
            "sha256": hashed.hexdigest(),
            "noun": noun,
        },
    )


@dataclass(slots=True)
class _Found:
    """What was read so far."""

    normal: list[str] = field(default_factory=list)
    anomalous: list[str] = field(default_factory=list)
    defects: list[NamedDefect] = field(default_factory=list)


def _files(path: Path) -> list[Path]:
    path = path.expanduser()
    if not path.is_dir():
        return [path]
    inside = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not inside:
        raise RecipeError(f"the folder {path} holds no prompt file ({', '.join(_SUFFIXES)})")
    return inside


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise RecipeError(f"there is no prompt file {file}") from None
    except OSError as error:
        raise RecipeError(f"the prompt file {file} cannot be read: {error.strerror}") from error


def _parse(content: bytes, file: Path) -> Any:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"the prompt file {file} is not UTF-8 text: {error.reason}") from error
    if file.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"the prompt file {file} is not JSON: {error}") from error
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else "unreadable"
        raise RecipeError(f"the prompt file {file} is not YAML: {first}") from error


def _role_of(key: str) -> str | None:
    lowered = key.lower().replace("-", "_").replace(" ", "_")
    for role, words in _ROLES:
        if role == "defects":
            if lowered in words:
                return role
        elif any(word in lowered for word in words):
            return role
    return None


def _collect(node: Any, role: str | None, found: _Found, where: str) -> None:
    """Lists of sentences under any key; the nearest key (or the file's name) decides the side."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            own = _role_of(str(key)) or role
            if own == "defects" and _role_of(str(key)) == "defects":
                found.defects.extend(_defects(value, where))
            elif isinstance(value, Mapping | list):
                _collect(value, own, found, where)
            # A string beside the lists is a note: FADE's files keep their instruction there.
        return
    if not isinstance(node, list):
        raise RecipeError(
            f"{where} holds {type(node).__name__} instead of lists of descriptions; "
            "write `normal` and `anomalous` with a list each"
        )
    if role is None:
        raise RecipeError(
            f"{where} has a list that is neither normal nor anomalous; put it under one of these keys, "
            "or give the file such a name"
        )
    side = found.normal if role == "normal" else found.anomalous
    side.extend(_sentences(node, where))


def _sentences(items: Sequence[Any], where: str) -> Iterator[str]:
    for item in items:
        if not isinstance(item, str):
            raise RecipeError(f"a description in {where} is {item!r:.40}, not a sentence")
        if item.strip():
            yield " ".join(item.split())


def _defects(node: Any, where: str) -> Iterator[NamedDefect]:
    """``[{name, phrases}]``, ``{name: [phrases]}`` or plain names."""
    if isinstance(node, Mapping):
        node = [{"name": name, "phrases": phrases} for name, phrases in node.items()]
    if not isinstance(node, list):
        raise RecipeError(f"`defects` in {where} is a list of names with phrases")
    for item in node:
        if isinstance(item, str):
            item = {"name": item}  # noqa: PLW2901
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"].strip():
            raise RecipeError(f"a defect in {where} is {item!r:.40}; write a name and its phrases")
        phrases = item.get("phrases") or [item["name"]]
        phrases = [phrases] if isinstance(phrases, str) else phrases
        if not isinstance(phrases, list):
            raise RecipeError(f"the phrases of the defect {item['name']!r} in {where} are not a list")
        written = tuple(_sentences(phrases, where)) or (item["name"].strip(),)
        yield NamedDefect(item["name"].strip(), written)


def _filled(text: str, noun: str) -> str:
    filled = text
    for placeholder in _PLACEHOLDERS:
        filled = filled.replace(placeholder, noun)
    return filled if filled == text or noun == GENERIC_NOUN else with_article(filled, noun)
