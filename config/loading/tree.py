"""``Branch`` and ``Leaf``: a configuration as it was written, unchecked, each value with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ALTERNATIVES = {"password": "password_file", "password_file": "password"}
"""A later source that gives one of these takes the other one, of an earlier source, out of force."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The place where a value was written."""

    source: str
    """A file, ``environment variable X`` or ``--set X``."""
    line: int | None = None
    """Counted from 1; None if the source has no lines."""
    column: int | None = None

    def __str__(self) -> str:
        """For an error: ``FILE, line 3, column 5``."""
        if self.line is None:
            return self.source
        return f"{self.source}, line {self.line}, column {self.column}"

    @property
    def short(self) -> str:
        """For a comment: ``FILE:3``."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value, or a list of them."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Branch:
    """Keys with what stands below them; ``keys`` holds the place of each key itself."""

    children: dict[str, Node] = field(default_factory=dict)
    origin: Origin = Origin("defaults")
    keys: dict[str, Origin] = field(default_factory=dict)


Node = Leaf | Branch


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and its place."""

    origin: Origin
    message: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"


def merge(lower: Branch, upper: Branch) -> Branch:
    """``upper`` over ``lower``, key by key; lists and values replace."""
    children, keys = dict(lower.children), dict(lower.keys)
    for name, node in upper.children.items():
        other = ALTERNATIVES.get(name)
        if other is not None and other not in upper.children:
            children.pop(other, None)
        below = children.get(name)
        if isinstance(below, Branch) and isinstance(node, Leaf) and node.value is None:
            continue  # a section whose keys are all commented out is empty
        if isinstance(node, Branch) and isinstance(below, Branch):
            children[name] = merge(below, node)
        else:
            children[name] = node
        keys[name] = upper.keys.get(name, node.origin)
    return Branch(children, upper.origin, keys)


def plain(node: Node) -> Any:
    """The values alone, as pydantic takes them."""
    if isinstance(node, Leaf):
        return node.value
    return {name: plain(child) for name, child in node.children.items()}


def origin_of(tree: Branch, path: tuple[Any, ...]) -> Origin:
    """The place of the deepest part of ``path`` that was written."""
    node: Node = tree
    origin = tree.origin
    for name in path:
        if not isinstance(node, Branch) or str(name) not in node.children:
            break
        origin = node.keys.get(str(name), node.children[str(name)].origin)
        node = node.children[str(name)]
    return node.origin if isinstance(node, Leaf) else origin


def leaves(node: Node, prefix: tuple[str, ...] = ()) -> Mapping[tuple[str, ...], Origin]:
    """The origin of every value, by its path."""
    if isinstance(node, Leaf):
        return {prefix: node.origin}
    found: dict[tuple[str, ...], Origin] = {}
    for name, child in node.children.items():
        found.update(leaves(child, (*prefix, name)))
    return found
