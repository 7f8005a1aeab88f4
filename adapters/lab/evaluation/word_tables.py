"""Tables of words: how often the true defect wins, and what a wrong noun costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from adapters.lab.evaluation.figures import Figure, auroc, over_products
from adapters.lab.evaluation.products import STATIONS, groups
from adapters.lab.evaluation.tables import Cell, Row, Table
from agent.domain.prompts import GENERIC_NOUN

Spoken = Mapping[str, Any]
"""As the record keeps :class:`adapters.lab.evaluation.words.Spoken`."""

CHANCE = 0.5


def word_tables(results: Sequence[Spoken], seed: int) -> list[Table]:
    """One table for each station, a row a family."""
    tables = []
    for station in STATIONS:
        own = [result for result in results if result["station"] == station]
        if own:
            tables.append(_table(own, station, seed))
    return tables


def _table(results: Sequence[Spoken], station: str, seed: int) -> Table:
    rows: list[Row] = []
    for group, families in groups([result["product"] for result in results]).items():
        rows += [Row(family, _cells(results, [family], seed)) for family in families]
        if families:
            rows.append(Row(f"mean, {group}", _cells(results, families, seed), mean=True))
    note = (
        "True over other: how often a defective image scores higher by words that name its defect than by "
        "words that name another one of the same product; chance 0.5. Named right: how often the agent's "
        "name for the truly defective place is the right one. Nouns: zero-shot image AUROC with the right "
        "noun, with the word `object`, with nouns of other products in the mean, and what these cost."
    )
    return Table(f"Words, {station} station", tuple(_COLUMNS), tuple(rows), note)


def _cells(results: Sequence[Spoken], families: Sequence[str], seed: int) -> tuple[Cell, ...]:
    return tuple(word_figure(results, families, column, seed) for column in _COLUMNS)


def word_figure(results: Sequence[Spoken], families: Sequence[str], column: str, seed: int) -> Figure | None:
    """The mean over families of one column; None unless every family has it."""
    by_family = [
        [
            value
            for result in results
            if result["product"] == family and (value := _COLUMNS[column](result)) is not None
        ]
        for family in families
    ]
    if not by_family or not all(by_family):
        return None
    return over_products(by_family, seed)


def true_over_other(result: Spoken) -> float | None:
    """The mean over ordered pairs of defects, so that a word which always scores high gains nothing."""
    rates = []
    for kind, own in result["named"].items():
        images = [index for index, each in enumerate(result["kinds"]) if each == kind]
        for other, others in result["named"].items():
            if other == kind or other not in result["kinds"] or not images:
                continue
            rates.append(fmean(_won(own[index], others[index]) for index in images))
    return fmean(rates) if rates else None


def _won(own: float, other: float) -> float:
    return CHANCE if own == other else float(own > other)


def named_right(result: Spoken) -> float | None:
    """The share of defective places that get their own name, each kind counting the same."""
    rates = []
    for kind in result["named"]:
        labels = [
            each for each, truth in zip(result["labels"], result["kinds"], strict=True) if truth == kind
        ]
        if labels:
            rates.append(fmean(float(label == kind) for label in labels))
    return fmean(rates) if rates else None


def _chance(result: Spoken) -> float:
    return 1 / len(result["named"])


def _right_noun(result: Spoken) -> float:
    return auroc(result["kinds"], [result["nouns"][result["noun"]]])


def _generic_noun(result: Spoken) -> float:
    return auroc(result["kinds"], [result["nouns"][GENERIC_NOUN]])


def _wrong_nouns(result: Spoken) -> float:
    wrong = [noun for noun in result["nouns"] if noun not in (result["noun"], GENERIC_NOUN)]
    return fmean(auroc(result["kinds"], [result["nouns"][noun]]) for noun in wrong)


def _cost(result: Spoken) -> float:
    return _right_noun(result) - _wrong_nouns(result)


_COLUMNS: dict[str, Callable[[Spoken], float | None]] = {
    "true over other": true_over_other,
    "named right": named_right,
    "named right by chance": _chance,
    "right noun": _right_noun,
    "object": _generic_noun,
    "wrong nouns": _wrong_nouns,
    "cost of a wrong noun": _cost,
}
