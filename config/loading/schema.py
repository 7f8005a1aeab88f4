"""``Shape``: what the settings allow at a key, to refuse unknown keys and to read text of variables."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from config.settings import Settings


class Kind(Enum):
    """The shape of what stands at a key."""

    SECTION = "section"
    """Fixed keys."""
    NAMED_SECTIONS = "named sections"
    """Free keys, each with a section below."""
    MAPPING = "mapping"
    """Free keys, each with a value."""
    LIST = "list"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Shape:
    """What may be written at one key."""

    kind: Kind
    model: type[BaseModel] | None = None
    """The section, or the section below each free key."""
    nullable: bool = False
    verbatim: bool = True
    """Text is the value itself; otherwise it is read as YAML."""
    item: Shape | None = None
    """What stands below each free key, if that is a mapping again."""


ROOT = Shape(Kind.SECTION, Settings)


def fields(model: type[BaseModel]) -> dict[str, Shape]:
    """The keys of a section, as people write them."""
    return {info.alias or name: _shape(info.annotation) for name, info in model.model_fields.items()}


def below(shape: Shape, key: str) -> Shape | None:
    """What may stand at ``key`` below ``shape``; None if there is no such key."""
    if shape.kind is Kind.SECTION and shape.model is not None:
        return fields(shape.model).get(key)
    if shape.kind is Kind.NAMED_SECTIONS:
        return Shape(Kind.SECTION, shape.model)
    if shape.kind is Kind.MAPPING:
        return shape.item or Shape(Kind.VALUE, verbatim=shape.verbatim)
    return None


def all_keys(shape: Shape = ROOT, prefix: str = "") -> Iterator[str]:
    """Every fixed key, dotted."""
    if shape.model is None or shape.kind is not Kind.SECTION:
        return
    for name, inner in fields(shape.model).items():
        yield prefix + name
        yield from all_keys(inner, f"{prefix}{name}.")


def nearest(path: tuple[str, ...]) -> str | None:
    """The known key that ``path`` most likely means: in the same section, else anywhere."""
    known = list(all_keys())
    section, name = ".".join(path[:-1]), path[-1]
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == section}
    close = get_close_matches(name.lower(), list(siblings), n=1, cutoff=0.6)
    if close:
        return siblings[close[0]]
    elsewhere = [key for key in known if key.rpartition(".")[2] == name.lower()]
    if elsewhere:
        return get_close_matches(".".join(path), elsewhere, n=1, cutoff=0.0)[0]
    close = get_close_matches(".".join(path).lower(), known, n=1, cutoff=0.7)
    return close[0] if close else None


def _shape(annotation: Any) -> Shape:
    inner, nullable = _without_none(annotation)
    origin, arguments = get_origin(inner), get_args(inner)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return Shape(Kind.SECTION, inner)
    if origin is dict:
        value, _ = _without_none(arguments[1])
        if isinstance(value, type) and issubclass(value, BaseModel):
            return Shape(Kind.NAMED_SECTIONS, value)
        if get_origin(value) is dict:
            return Shape(Kind.MAPPING, item=_shape(value))
        # A union of scalars takes the type that YAML gives; a single type is read by pydantic.
        return Shape(Kind.MAPPING, verbatim=get_origin(value) not in (Union, types.UnionType))
    if origin is list:
        return Shape(Kind.LIST, nullable=nullable, verbatim=False)
    listed = any(get_origin(part) is list for part in arguments)  # a word, or a list in its place
    return Shape(Kind.VALUE, nullable=nullable, verbatim=not listed)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    rest = [part for part in get_args(annotation) if part is not type(None)]
    nullable = len(rest) < len(get_args(annotation))
    return (_without_none(rest[0])[0] if len(rest) == 1 else annotation), nullable
