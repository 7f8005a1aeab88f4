"""``NounsAnswer`` and its siblings: answers of a model; ``schema_of`` and ``read``: asked for and parsed.

Ollama's grammar compiler knows types, properties, items, required keys, enumerations and alternatives.
Titles, descriptions, defaults, lengths, patterns and references make it slow, or it refuses or ignores them.
So schemas omit these, and the answers are checked afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema, model_validator

from adapters.ollama.errors import UnusableAnswerError

_KEPT = ("type", "enum", "const", "required")

SEVERITIES = ("minor", "major", "critical")
LONGEST = 100_000
"""Characters of an answer that are read."""
MOST_ITEMS = 200
"""Items of a list that are read."""

_SYNONYMS = {
    "noun": "nouns",
    "names": "nouns",
    "objects": "nouns",
    "good": "normal",
    "normal_prompts": "normal",
    "anomaly": "anomalous",
    "anomalies": "anomalous",
    "abnormal": "anomalous",
    "defective": "anomalous",
    "anomalous_prompts": "anomalous",
    "defect": "defects",
    "defect_nouns": "defects",
    "noun_phrase": "name",
    "descriptions": "phrases",
    "description": "phrases",
    "phrase": "phrases",
    "tag": "tags",
    "objects_seen": "tags",
    "english_name": "english",
    "translation": "english",
    "name_in_english": "english",
}


def _texts(value: Any) -> Any:
    """A list of texts from what models write instead; validation refuses everything else."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return value
    return [text for item in value[:MOST_ITEMS] if (text := _text(item)) is not None]


def _text(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and len(item) == 1:
        (only,) = item.values()
        return only if isinstance(only, str) else None
    return None


def _severity(value: Any) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    return word if word in SEVERITIES else ""


def _named(value: Any) -> Any:
    """Defects as objects, also those that are only a name; what has no name is dropped."""
    if not isinstance(value, list):
        return value
    named = [{"name": item} if isinstance(item, str) else item for item in value[:MOST_ITEMS]]
    return [item for item in named if isinstance(item, dict) and isinstance(_folded(item).get("name"), str)]


def _folded(value: dict[str, Any]) -> dict[str, Any]:
    """Keys in lower case and by the requested name; of two synonyms the first counts."""
    folded: dict[str, Any] = {}
    for key, item in value.items():
        name = str(key).strip().lower().replace(" ", "_").replace("-", "_")
        folded.setdefault(_SYNONYMS.get(name, name), item)
    return folded


Texts = Annotated[list[str], BeforeValidator(_texts)]


class Answer(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return _folded(value) if isinstance(value, dict) else value


class NounsAnswer(Answer):
    """What the product is called, the likeliest first."""

    nouns: Texts


class TranslationAnswer(Answer):
    """A product's name in English."""

    english: str


class PromptsAnswer(Answer):
    """Descriptions of good and of bad parts."""

    normal: Texts
    anomalous: Texts


class DefectAnswer(Answer):
    """One kind of defect."""

    name: str
    phrases: Texts = []
    severity: Annotated[
        str, BeforeValidator(_severity), WithJsonSchema({"type": "string", "enum": list(SEVERITIES)})
    ] = ""


class DefectsAnswer(Answer):
    """The kinds of defect that the product may have."""

    defects: Annotated[list[DefectAnswer], BeforeValidator(_named)]


class TagsAnswer(Answer):
    """What an image shows, the likeliest first."""

    tags: Texts


AnswerT = TypeVar("AnswerT", bound=Answer)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The stripped JSON schema of a pydantic model. Raises ValueError if it contains itself."""
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


def read(content: str, shape: type[AnswerT], example: Mapping[str, Any] | None = None) -> AnswerT:
    """The first object in a model's text that has the shape. Raises UnusableAnswerError if none has.

    Args:
        example: of the question; small models copy from it, and what they copied is dropped.
    """
    if not content.strip():
        raise UnusableAnswerError("the answer was empty")
    found = 0
    for candidate in _objects(content[:LONGEST]):
        found += 1
        for value in (candidate, *_wrapped(candidate)):
            try:
                return shape.model_validate(_uncopied(value, _texts_of(example)))
            except ValidationError:
                continue
    if not found:
        raise UnusableAnswerError("the answer held no JSON object")
    keys = " and ".join(repr(name) for name in shape.model_fields)
    raise UnusableAnswerError(f"the JSON of the answer did not have the keys {keys} with the right values")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, at most ten."""
    text = re.sub(r"<think>.*?</think>", " ", text, flags=re.DOTALL)
    decoder = json.JSONDecoder(strict=False)  # small models write line breaks into strings
    position, left = 0, 10
    while left and (position := text.find("{", position)) >= 0:
        left -= 1
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        if isinstance(value, dict):
            yield value


def _texts_of(value: Any) -> frozenset[str]:
    """All texts in the lists of a value, and the names in it."""
    if isinstance(value, Mapping):
        named = [value[key] for key in ("name", "english") if key in value]
        return frozenset(named).union(*(_texts_of(v) for v in value.values() if not isinstance(v, str)))
    if isinstance(value, list):
        texts = (item for item in value if isinstance(item, str))
        return frozenset(texts).union(*(_texts_of(item) for item in value if not isinstance(item, str)))
    return frozenset()


def _uncopied(value: Any, copied: frozenset[str]) -> Any:
    """A value without these texts, and without objects of these names."""
    if isinstance(value, dict):
        kept = {key: _uncopied(item, copied) for key, item in value.items()}
        return {key: "" if isinstance(item, str) and item in copied else item for key, item in kept.items()}
    if not isinstance(value, list) or not copied:
        return value
    return [_uncopied(item, copied) for item in value if _written(item) not in copied]


def _written(item: Any) -> str | None:
    text = item.get("name") if isinstance(item, dict) else item
    return text.strip().rstrip(".").lower() if isinstance(text, str) else None


def _wrapped(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object inside an object that has only one key."""
    if len(value) == 1:
        (inner,) = value.values()
        if isinstance(inner, dict):
            yield inner
