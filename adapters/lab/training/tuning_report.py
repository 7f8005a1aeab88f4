"""What tuning found: the best settings, what each choice gives, and one change at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.lab.evaluation.figures import over_products
from adapters.lab.evaluation.products import STATIONS
from adapters.lab.evaluation.tables import Row, Table
from adapters.simulator import FAMILIES, HELD_OUT

SHOWN = 8
"""Of the best settings."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One trial under all settings."""

    family: str
    station: str
    figures: Mapping[str, float]
    """By setting, the image AUROC."""


Figures = dict[str, dict[str, float]]
"""By setting and family, the mean image AUROC."""


def by_family(found: Sequence[Measured]) -> Figures:
    """The mean of each family's trials: a family of more products counts no more than another."""
    collected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        for name, value in one.figures.items():
            collected[name][one.family].append(value)
    return {
        name: {family: float(np.mean(values)) for family, values in families.items()}
        for name, families in collected.items()
    }


def best(figures: Figures, prefix: str, count: int) -> list[tuple[str, float]]:
    """The settings below a prefix with the highest means."""
    means = [(name, _mean(families)) for name, families in figures.items() if name.startswith(prefix)]
    return sorted(means, key=lambda each: -each[1])[:count]


def report(found: Sequence[Measured], in_force: Mapping[str, str], compared: Mapping[str, str]) -> str:
    """The best settings of each station, what each choice gives in the mean of all others, and a table.

    Args:
        in_force: by prefix, the setting that the profile has.
        compared: titles of the settings in the table, the one that the others are compared with first.
    """
    lines: list[str] = []
    for group, families in (("held-out families", HELD_OUT), ("all families", frozenset(FAMILIES))):
        for station in (*STATIONS, "both"):
            figures = by_family(_chosen(found, families, station))
            for prefix, name in in_force.items():
                lines += _section(f"{group}, {station}, {prefix}", figures, prefix, name)
    for station in (*STATIONS, "both"):
        table = changes(by_family(_chosen(found, FAMILIES, station)), compared, station)
        if table is not None:
            lines += ["", table.markdown()]
    return "\n".join(lines).lstrip() + "\n"


def _chosen(found: Sequence[Measured], families: Collection[str], station: str) -> list[Measured]:
    return [one for one in found if one.family in families and station in (one.station, "both")]


def _section(title: str, figures: Figures, prefix: str, in_force: str) -> list[str]:
    lines = ["", f"{title}: the best settings"]
    lines += [f"  {value:.3f}  {name}" for name, value in best(figures, prefix, SHOWN)]
    if in_force in figures:
        lines.append(f"  {_mean(figures[in_force]):.3f}  as the profile has it")
    lines += ["", f"{title}: the best of all others for each choice"]
    return [*lines, *(f"  {value:.3f}  {choice}" for choice, value in _choices(figures, prefix))]


def _choices(figures: Figures, prefix: str) -> list[tuple[str, float]]:
    highest: dict[str, float] = {}
    for name, value in best(figures, prefix, len(figures)):
        for choice in name.split(", ")[1:]:
            highest.setdefault(choice, value)
    return sorted(highest.items())


def changes(figures: Figures, compared: Mapping[str, str], station: str) -> Table | None:
    """One choice changed at a time, with what that does family by family; None where nothing was measured."""
    first = next(iter(compared), None)
    if first not in figures:
        return None
    rows = [
        _change(title, figures[name], figures[first]) for name, title in compared.items() if name in figures
    ]
    columns = (
        "held-out families", "all families", "difference, all (95 %)", "families better, worse",
        "held-out family that differs most", "the others held out, before and now",
    )  # fmt: skip
    note = (
        "Mean image AUROC over families. Differences are to the first row, 95 % by a bootstrap over families."
    )
    return Table(f"One change at a time, {station}", columns, tuple(rows), note)


def _change(title: str, values: Mapping[str, float], base: Mapping[str, float]) -> Row:
    held = [family for family in values if family in HELD_OUT]
    means = (_text(values, held), _text(values, list(values)))
    differences = {family: values[family] - base[family] for family in values}
    if not any(differences.values()):
        return Row(title, (*means, None, None, None, None))
    figure = over_products([list(differences.values())], 0)
    ends = "" if figure.low is None else f" ({figure.low:+.3f} to {figure.high:+.3f})"
    better = sum(value > 0 for value in differences.values())
    worse = sum(value < 0 for value in differences.values())
    most = max(held, key=lambda family: abs(differences[family]), default=None)
    others = [family for family in held if family != most]
    return Row(
        title,
        (
            *means,
            f"{figure.value:+.3f}{ends}",
            f"{better}, {worse}",
            None if most is None else f"{most} {differences[most]:+.3f}",
            f"{_text(base, others)}, {_text(values, others)}" if others else None,
        ),
    )


def _text(values: Mapping[str, float], families: Sequence[str]) -> str:
    return f"{np.mean([values[family] for family in families]):.3f}" if families else "-"


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))
