"""``load``: defaults, profile, file, environment and ``--set`` merged into one checked configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from agent.domain.errors import ConfigurationError
from config.loading.document import number_hint, parse, read_file
from config.loading.schema import ROOT, Kind, Shape, below
from config.loading.sources import from_environment, from_overrides, unknown_key
from config.loading.tree import Branch, Leaf, Origin, Problem, leaves, merge, origin_of, plain
from config.settings import Settings

DEFAULT_PROFILE = "embedded"
_UNQUOTED = re.compile(r"(broker|database)\.password|(broker|database|ollama|webhooks\.[^.]+)\.url")
"""Keys whose values never appear in an error."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration in force, and the source of each value that is not a default."""

    settings: Settings
    sources: Mapping[str, str]
    """Dotted key to ``FILE:LINE``, ``environment variable X`` or ``--set KEY``."""


def profiles() -> list[str]:
    """The names of the bundled profiles."""
    folder = resources.files("config") / "profiles"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def load(
    file: Path | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """The configuration: defaults, then profile, ``file``, ``environ`` and ``overrides``, each over the last.

    The profile is the one named by ``profile``, else by ``agent.profile`` in the overrides, the
    environment or the file, else ``embedded``; a name with a slash or ending in .yaml is a file.
    Relative paths in a configuration are relative to the working directory, wherever its file lies.

    Args:
        file: the user's YAML file, holding only what differs.
        overrides: ``key=value`` as given with ``--set``.
        environ: variables such as ``SIGHTLINE_BROKER__URL``; None: none at all (pass ``os.environ``).

    Raises:
        ConfigurationError: everything that is wrong in all of them, each with its place.
    """
    user, problems = _read(file)
    from_env, found = from_environment(environ or {})
    problems += found
    from_set, found = from_overrides(overrides)
    problems += found
    upper = merge(merge(user, from_env), from_set)
    named = Leaf(profile, Origin("--profile")) if profile is not None else _profile_leaf(upper)
    base, found = _read_profile(named)
    problems += found

    tree = merge(merge(base, upper), _naming(named))
    problems += _misshapen(tree, ROOT)
    settings, found = _validate(tree, whole=not problems)
    _refuse([*problems, *found])
    assert settings is not None  # noqa: S101 - or something was found
    places = {".".join(path): origin.short for path, origin in leaves(tree).items()}
    if named.origin.source == "defaults":
        del places["agent.profile"]
    return Loaded(settings, MappingProxyType(places))


def _read(file: Path | None) -> tuple[Branch, list[Problem]]:
    if file is None:
        return Branch(), []
    tree, problems = parse(read_file(file), str(file))
    if problems and not tree.children:
        _refuse(problems)  # not YAML at all: further problems would only confuse
    return tree, problems + _unknown(tree)


def _naming(profile: Leaf) -> Branch:
    """``agent.profile`` as it was chosen."""
    tree = Branch({"profile": profile}, profile.origin, {"profile": profile.origin})
    return Branch({"agent": tree}, profile.origin, {"agent": profile.origin})


def _validate(tree: Branch, *, whole: bool) -> tuple[Settings | None, list[Problem]]:
    """The settings, or what is wrong with values; between keys only if the ``whole`` is known."""
    try:
        return Settings.model_validate(plain(_pruned(tree, ROOT))), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_explain(tree, detail) for detail in details if whole or _is_value(detail["loc"])]


def _is_value(path: tuple[Any, ...]) -> bool:
    shape: Shape | None = ROOT
    for part in path:
        inner = below(shape, str(part)) if shape is not None else None
        if inner is None:
            break
        shape = inner
    return shape is not None and shape.kind in (Kind.VALUE, Kind.LIST)


def _profile_leaf(tree: Branch) -> Leaf:
    agent = tree.children.get("agent")
    leaf = agent.children.get("profile") if isinstance(agent, Branch) else None
    return leaf if isinstance(leaf, Leaf) else Leaf(DEFAULT_PROFILE, Origin("defaults"))


def _read_profile(named: Leaf) -> tuple[Branch, list[Problem]]:
    name = str(named.value)
    if "/" in name or name.endswith((".yaml", ".yml")):
        return _read(Path(name))
    if name not in profiles():
        known = ", ".join(profiles())
        message = f"there is no profile {name!r}; there is {known}, or a YAML file of your own"
        return Branch(), [Problem(named.origin, message)]
    text = (resources.files("config") / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")
    tree, problems = parse(text, f"profile {name}")
    return tree, problems + _unknown(tree)


def _unknown(tree: Branch, shape: Shape = ROOT, path: tuple[str, ...] = ()) -> list[Problem]:
    problems = []
    for name, node in tree.children.items():
        inner = below(shape, name)
        if inner is None:
            problems.append(Problem(tree.keys[name], unknown_key((*path, name))))
        elif isinstance(node, Branch) and inner.kind is not Kind.VALUE:
            problems += _unknown(node, inner, (*path, name))
    return problems


def _misshapen(tree: Branch, shape: Shape, path: tuple[str, ...] = ()) -> list[Problem]:
    """Values where keys belong, and keys where a value belongs."""
    problems = []
    for name, node in tree.children.items():
        inner, key = below(shape, name), ".".join((*path, name))
        if inner is None:
            continue
        keyed = inner.kind in (Kind.SECTION, Kind.NAMED_SECTIONS, Kind.MAPPING)
        if isinstance(node, Branch) and keyed:
            problems += _misshapen(node, inner, (*path, name))
        elif isinstance(node, Branch):
            shown = "a list" if inner.kind is Kind.LIST else "one value"
            problems.append(Problem(node.origin, f"{key} should be {shown}, not keys of its own"))
        elif keyed and node.value is not None:
            problems.append(Problem(node.origin, f"{key} should have keys below it, not a value"))
    return problems


def _pruned(tree: Branch, shape: Shape) -> Branch:
    """Without sections that stand empty, all their keys commented out."""
    kept: dict[str, Branch | Leaf] = {}
    for name, node in tree.children.items():
        inner = below(shape, name)
        if inner is None:
            continue
        if isinstance(node, Branch):
            kept[name] = _pruned(node, inner)
        elif node.value is not None or inner.kind in (Kind.VALUE, Kind.LIST):
            kept[name] = node
    return Branch(kept, tree.origin, tree.keys)


def _explain(tree: Branch, detail: Any) -> Problem:
    path = tuple(str(part) for part in detail["loc"])
    written = _written(path)
    message = (
        str(detail["msg"])
        .removeprefix("Value error, ")
        .replace("Input should", "should")
        .replace("String should", "should")
    )
    message = (message[:1].lower() + message[1:]).partition(", unable to")[0]
    value = _value_at(tree, path)
    key = ".".join(written)
    if detail["type"] == "string_type" and isinstance(value, bool | int | float):
        message = "should be text; put it in quotes"
    elif detail["type"] in ("float_parsing", "int_parsing", "float_type") and number_hint(value) is not None:
        message = str(number_hint(value))
    elif isinstance(value, bool | int | float | str) and not _UNQUOTED.match(key):
        message += f", not {str(value)[:60]!r}"
    return Problem(origin_of(tree, written), f"{key} {message}")


def _written(path: tuple[str, ...]) -> tuple[str, ...]:
    """The part of pydantic's path that a person wrote, without the branches of a union."""
    shape, kept = ROOT, []
    for part in path:
        inner = below(shape, part)
        if inner is None:
            if shape.kind is Kind.LIST and part.isdigit():
                kept.append(part)
            break
        shape = inner
        kept.append(part)
    return tuple(kept)


def _value_at(tree: Branch, path: tuple[str, ...]) -> Any:
    node: Any = tree
    for part in _written(path):
        node = node.children.get(part) if isinstance(node, Branch) else node
    if not isinstance(node, Leaf):
        return None
    if isinstance(node.value, list) and path and path[-1].isdigit():
        return node.value[int(path[-1])]
    return node.value


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        unique = dict.fromkeys(str(problem) for problem in problems)
        raise ConfigurationError(
            "the configuration cannot be used:\n" + "\n".join(f"  {line}" for line in unique)
        )
