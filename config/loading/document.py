"""``parse``: YAML files, read with the line and column of every key."""

from __future__ import annotations

import re
from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from agent.domain.errors import ConfigurationError
from config.loading.tree import Branch, Leaf, Node, Origin, Problem

LARGEST_FILE = 1_000_000
DEEPEST = 16
MOST_NODES = 20_000
"""Aliases can make a small file stand for an endless one; a configuration needs neither."""


_TAB = re.compile(r"[ -]*\t|[^#'\"]*[:-] *\t")
"""A tab in the indentation, or between a key and its value."""
_WRITTEN = re.compile(r"\s*(\d{1,9}(?:[.,]\d{1,9})?)\s*(%)?\s*")


class UnreadableError(Exception):
    """A document that cannot be read; holds the place and the reason."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_file(file: Path) -> str:
    """The text of a configuration file. Raises ConfigurationError."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ConfigurationError(f"{file} is larger than a megabyte; it is not a configuration file")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 text") from error


def parse(text: str, source: str) -> tuple[Branch, list[Problem]]:
    """A document as a tree, with everything that is wrong with its form.

    No message quotes a value: it might be a secret.
    """
    reader = _Reader(source)
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        if document is None:
            return Branch(origin=Origin(source, 1, 1)), []
        if not isinstance(document, yaml.MappingNode):
            raise UnreadableError(
                Problem(reader.at(document), "should be sections with keys, such as agent:")
            )
        tree = reader.mapping(document, 0)
        return tree, reader.problems
    except UnreadableError as error:
        return Branch(origin=Origin(source, 1, 1)), [*reader.problems, error.problem]
    except yaml.YAMLError as error:
        return Branch(origin=Origin(source, 1, 1)), [_tab(text, source) or Problem(*_explain(error, source))]
    except RecursionError:
        return Branch(origin=Origin(source, 1, 1)), [Problem(Origin(source), "is nested too deeply")]


def parse_value(text: str, origin: Origin) -> Node:
    """A value written on one line, such as ``[a, b]`` or ``{a: 1}``. Raises UnreadableError."""
    reader = _Reader(origin.source)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return Leaf(None, origin)
        tree = reader.mapping(node, 0) if isinstance(node, yaml.MappingNode) else reader.leaf(node)
    except (yaml.YAMLError, UnreadableError, RecursionError):
        raise UnreadableError(Problem(origin, "is not a value in YAML; quote it")) from None
    if reader.problems:
        raise UnreadableError(Problem(origin, reader.problems[0].message))
    return _moved(tree, origin)


def _moved(node: Node, origin: Origin) -> Node:
    """The same values, all from ``origin``: lines inside one argument mean nothing."""
    if isinstance(node, Leaf):
        return Leaf(node.value, origin)
    return Branch(
        {name: _moved(child, origin) for name, child in node.children.items()},
        origin,
        dict.fromkeys(node.children, origin),
    )


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._nodes = 0

    def at(self, node: yaml.Node) -> Origin:
        return Origin(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def mapping(self, node: yaml.MappingNode, depth: int) -> Branch:
        self._count(node, depth)
        branch = Branch(origin=self.at(node))
        for key_node, value_node in node.value:
            origin = self.at(key_node)
            name = self._name(key_node)
            if name is None:
                self.problems.append(Problem(origin, "a key should be a single word or text"))
            elif name in branch.children:
                first = branch.keys[name].line
                self.problems.append(
                    Problem(origin, f"{name} stands here twice; the first is on line {first}")
                )
            else:
                branch.keys[name] = origin
                branch.children[name] = self._node(value_node, depth + 1)
        return branch

    def leaf(self, node: yaml.Node, depth: int = 0) -> Leaf:
        self._count(node, depth)
        return Leaf(self._value(node, depth), self.at(node))

    def _node(self, node: yaml.Node, depth: int) -> Node:
        return self.mapping(node, depth) if isinstance(node, yaml.MappingNode) else self.leaf(node, depth)

    def _name(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:merge":
            return None
        # As it was written: a model called 1e3 or a key called on is neither a number nor a boolean here.
        return str(node.value)

    def _value(self, node: yaml.Node, depth: int) -> Any:
        self._count(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, depth + 1) for child in node.value]
        if isinstance(node, yaml.MappingNode):
            pairs = [
                (self._value(key, depth + 1), self._value(value, depth + 1)) for key, value in node.value
            ]
            return {key: value for key, value in pairs if isinstance(key, Hashable)}
        try:
            return SafeConstructor().construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            message = "cannot be understood as YAML; put the value in quotes"
            raise UnreadableError(Problem(self.at(node), message)) from None

    def _count(self, node: yaml.Node, depth: int) -> None:
        self._nodes += 1
        if depth > DEEPEST or self._nodes > MOST_NODES:
            raise UnreadableError(
                Problem(self.at(node), "is nested too deeply or repeats itself without end")
            )


def _tab(text: str, source: str) -> Problem | None:
    """The tab that keeps a text from being YAML; None if there is none where YAML wants spaces."""
    for number, line in enumerate(text.splitlines(), start=1):
        found = _TAB.match(line)
        if found is not None:
            origin = Origin(source, number, found.end())
            return Problem(origin, "holds a tab where YAML allows only spaces; replace it by spaces")
    return None


def number_hint(value: object) -> str | None:
    """How to write a number that came as text: ``1%`` for a rate, or with a comma."""
    found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    digits, percent = found.groups()
    digits = digits.replace(",", ".")
    if percent:
        share = Decimal(digits).scaleb(-2).normalize()
        return f"should be a share of 1: write {share:f} for {found.group().strip()}"
    return f"should be a number with a point: write {digits}"


def _explain(error: yaml.YAMLError, source: str) -> tuple[Origin, str]:
    mark = getattr(error, "problem_mark", None)
    origin = Origin(source) if mark is None else Origin(source, mark.line + 1, mark.column + 1)
    if isinstance(error, yaml.composer.ComposerError):
        if "single document" in str(error.context):
            return origin, "a second document begins; a configuration is one document, without --- inside"
        # PyYAML's own sentence would quote the name after the *, which may be the start of a password.
        return origin, "a value that begins with * or & should stand in quotes"
    if isinstance(error, yaml.reader.ReaderError):
        return origin, "holds a character that YAML does not allow"
    hint = "check the indentation, the colons and the quotes; a value with special characters needs quotes"
    return origin, f"is not valid YAML here: {hint}"
