"""``from_environment`` and ``from_overrides``: environment variables and ``--set`` as trees."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from config.loading.document import UnreadableError, parse_value
from config.loading.schema import ROOT, Kind, Shape, all_keys, below, nearest
from config.loading.tree import Branch, Leaf, Node, Origin, Problem, merge

PREFIX = "SIGHTLINE_"
_SERVICE_LINK = re.compile(r"SIGHTLINE_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
"""Variables that Kubernetes sets in every container beside a Service called ``sightline``."""


def from_environment(environ: Mapping[str, str]) -> tuple[Branch, list[Problem]]:
    """Variables such as ``SIGHTLINE_BROKER__URL``; two underscores stand for a dot.

    Below sections with free names (``models.files``) the rest is taken as written.
    """
    tree, problems = Branch(origin=Origin("environment")), []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _SERVICE_LINK.fullmatch(variable):
            continue
        origin = Origin(f"environment variable {variable}")
        parts = variable.removeprefix(PREFIX).split("__")
        path, shape = _resolve(parts, "__", fold=True)
        if shape is None:
            problems.append(Problem(origin, _unknown_variable(parts)))
            continue
        tree = _with(tree, path, shape, environ[variable], origin, problems)
    return tree, problems


def from_overrides(overrides: Sequence[str]) -> tuple[Branch, list[Problem]]:
    """``key=value`` as given with ``--set``, later ones over earlier ones."""
    tree, problems = Branch(origin=Origin("--set")), []
    for number, override in enumerate(overrides, start=1):
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            # The text is not quoted: it might be a password that lost its key.
            problems.append(
                Problem(Origin(f"--set number {number}"), "should be key=value, as in inspection.max_batch=4")
            )
            continue
        origin = Origin(f"--set {key.strip()}")
        path, shape = _resolve(key.strip().split("."), ".", fold=False)
        if shape is None:
            problems.append(Problem(origin, unknown_key(path)))
            continue
        tree = _with(tree, path, shape, text, origin, problems)
    return tree, problems


def unknown_key(path: tuple[str, ...]) -> str:
    """The sentence about a key that does not exist."""
    close = nearest(path)
    hint = f"; did you mean {close}?" if close else "; `sightline config schema` lists the known ones"
    return f"{'.'.join(path)} is not a known key{hint}"


def _unknown_variable(parts: Sequence[str]) -> str:
    folded = tuple(part.lower() for part in parts)
    # A single underscore instead of two is the usual slip.
    flat = "_".join(folded)
    close = next((key for key in all_keys() if key.replace(".", "_") == flat), None) or nearest(folded)
    if close is None:
        return "is not a known key; `sightline config schema` lists the known ones"
    return f"is not a known key; did you mean {PREFIX}{close.replace('.', '__').upper()}?"


def _resolve(parts: Sequence[str], joint: str, *, fold: bool) -> tuple[tuple[str, ...], Shape | None]:
    """The path that ``parts`` name and what may stand there; no shape if nothing may."""
    path: list[str] = []
    shape = ROOT
    for index, part in enumerate(parts):
        if (
            shape.kind is Kind.MAPPING and shape.item is None
        ):  # the rest is one name, whatever it holds: vit_small.lvd142m
            path.append(joint.join(parts[index:]))
            return tuple(path), below(shape, path[-1])
        name = part.lower() if fold and shape.kind is Kind.SECTION else part
        inner = below(shape, name)
        path.append(name)
        if inner is None:
            return tuple(path) + tuple(parts[index + 1 :]), None
        shape = inner
    return tuple(path), shape


def _with(
    tree: Branch, path: tuple[str, ...], shape: Shape, text: str, origin: Origin, problems: list[Problem]
) -> Branch:
    try:
        node = _read(shape, text, origin)
    except UnreadableError as error:
        problems.append(error.problem)
        return tree
    for name in reversed(path):
        node = Branch({name: node}, origin, {name: origin})
    assert isinstance(node, Branch)  # noqa: S101 - a path has at least one part
    return merge(tree, node)


def _read(shape: Shape, text: str, origin: Origin) -> Node:
    if shape.nullable and text.strip().lower() in ("", "null"):
        return Leaf(None, origin)
    if shape.kind is Kind.VALUE and shape.verbatim:
        return Leaf(text, origin)
    return parse_value(text, origin)
