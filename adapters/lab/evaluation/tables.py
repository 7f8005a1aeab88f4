"""``Table`` and the tables of an evaluation: by product family and defect, of photographs, of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from adapters.lab.evaluation.figures import Figure, auroc, over_images, over_products, wins
from adapters.lab.evaluation.trials import STATIONS, groups, is_surface
from agent.domain.prompts import GENERIC_NOUN

Cell = Figure | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line; ``mean``: it sums up others."""

    title: str
    cells: tuple[Cell, ...]
    mean: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title and what must be known to read it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def markdown(self) -> str:
        """Markdown. Only rows of means show intervals; JSON has them all."""
        lines = [f"### {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += ["| | " + " | ".join(self.columns) + " |", "|---" * (len(self.columns) + 1) + "|"]
        for row in self.rows:
            title = f"**{row.title}**" if row.mean else row.title
            lines.append(f"| {title} | " + " | ".join(_text(cell, row.mean) for cell in row.cells) + " |")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "note": self.note,
            "rows": {
                row.title: {
                    column: cell.as_dict() if isinstance(cell, Figure) else cell
                    for column, cell in zip(self.columns, row.cells, strict=True)
                }
                for row in self.rows
            },
        }


def _text(cell: Cell, with_interval: bool) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return str(cell) if with_interval else f"{cell.value:.3f}"


def markdown(tables: Sequence[Table]) -> str:
    """All of them below each other."""
    return "\n\n".join(table.markdown() for table in tables) + "\n"


Results = Sequence[Mapping[str, Any]]
"""As the record keeps :class:`adapters.lab.evaluation.trials.Result`."""

PIXELS = " pixels"
_BY_DEFECT = ("agent 0-shot", "agent 4-shot")


def family_tables(results: Results, seed: int) -> list[Table]:
    """One table for each station."""
    tables = []
    for station in STATIONS:
        own = [result for result in results if result["station"] == station]
        if own:
            tables.append(_station_table(own, station, seed))
    return tables


def _station_table(results: Results, station: str, seed: int) -> Table:
    columns = _columns(results)
    rows: list[Row] = []
    for group, families in groups([result["product"] for result in results]).items():
        rows += [Row(family, _cells(results, [family], columns, seed)) for family in families]
        if families:
            rows.append(Row(f"mean, {group}", _cells(results, families, columns, seed), mean=True))
        surfaces = [family for family in families if is_surface(family)]
        if surfaces and surfaces != families:
            cells = _cells(results, surfaces, columns, seed)
            rows.append(Row(f"mean, {group}, surfaces", cells, mean=True))
    counted = {len(result["kinds"]) for result in results}
    note = (
        f"Image AUROC, and pixel AUROC if the column says so; {min(counted)} images of each product, "
        "half of them defective. Brackets: 95 % by a bootstrap over products."
    )
    return Table(f"Product families, {station} station", tuple(columns), tuple(rows), note)


def _columns(results: Results) -> list[str]:
    columns: dict[str, None] = {}
    for result in results:
        for column in result["scores"]:
            columns[column] = None
            if column in result["pixels"]:
                columns[column + PIXELS] = None
    return list(columns)


def _cells(results: Results, families: Sequence[str], columns: Iterable[str], seed: int) -> tuple[Cell, ...]:
    return tuple(family_figure(results, families, column, seed) for column in columns)


def family_figure(results: Results, families: Sequence[str], column: str, seed: int) -> Figure | None:
    """The mean over families of one column of the results; None unless every family has it."""
    found = _by_family(results, families, lambda result: value_of(result, column))
    return over_products(found, seed) if found and all(found) else None


def _by_family(
    results: Results, families: Sequence[str], value: Callable[[Mapping[str, Any]], float | None]
) -> list[list[float]]:
    """One value a product, each family's together; what was not measured is left out."""
    return [
        [found for result in results if result["product"] == family and (found := value(result)) is not None]
        for family in families
    ]


def value_of(result: Mapping[str, Any], column: str, only: str | None = None) -> float | None:
    """The AUROC of one trial; None if the column was not measured."""
    if column.endswith(PIXELS):
        value: float | None = result["pixels"].get(column.removesuffix(PIXELS))
        return value
    if column not in result["scores"]:
        return None
    return auroc(result["kinds"], result["scores"][column], only)


def defect_table(results: Results, seed: int) -> Table | None:
    """Each kind of defect against the good parts of the same product, averaged as families are."""
    by_group = groups([result["product"] for result in results])
    places = [(group, station) for group in by_group for station in STATIONS if by_group[group]]
    titles = [
        f"{group}, {station}, {column.removeprefix('agent ')}"
        for group, station in places
        for column in _BY_DEFECT
    ]
    kinds = sorted({kind for result in results for kind in result["kinds"] if kind is not None})
    if not kinds:
        return None
    rows = []
    for kind in kinds:
        cells: list[Cell] = []
        for group, station in places:
            own = [result for result in results if result["station"] == station and kind in result["kinds"]]
            cells += [_defect_figure(own, by_group[group], column, kind, seed) for column in _BY_DEFECT]
        count = sum(result["kinds"].count(kind) for result in results)
        rows.append(Row(kind, (str(count), *cells)))
    note = "Image AUROC of the agent's scores: the images with one kind of defect against the good ones."
    return Table("Defects", ("images", *titles), tuple(rows), note)


def _defect_figure(
    results: Results, families: Sequence[str], column: str, kind: str, seed: int
) -> Figure | None:
    found = _by_family(results, families, lambda result: value_of(result, column, kind))
    return over_products([each for each in found if each], seed) if any(found) else None


# ------------------------------------------------------------------------------------ photographs


_COLUMN = re.compile(r"(?P<model>.+) (?P<shots>\d+-shot)")


def photograph_tables(results: Results, seed: int) -> list[Table]:
    """The mean over products first, then each product."""
    if not results:
        return []
    names = [result["product"] for result in results]
    tables = [_photograph_table(f"Photographs, mean of {', '.join(names)}", results, seed)]
    if len(results) > 1:
        tables += [_photograph_table(f"Photographs, {one['product']}", [one], seed) for one in results]
    return tables


def _photograph_table(title: str, results: Results, seed: int) -> Table:
    models, shots = _photograph_axes(results)
    rows = []
    for model in models:
        cells = tuple(photograph_figure(results, f"{model} {each}", seed) for each in shots)
        rows.append(Row(model, cells, mean=True))
    images = sum(len(result["kinds"]) for result in results)
    draws = max(len(draws) for result in results for draws in result["scores"].values())
    note = (
        f"Image AUROC; {images} images, the mean of {draws} draws of references. Brackets: 95 % by a "
        "bootstrap over images."
    )
    return Table(title, shots, tuple(rows), note)


def _photograph_axes(results: Results) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Models in the order they were measured, and numbers of shots."""
    matches = [found for result in results for key in result["scores"] if (found := _COLUMN.fullmatch(key))]
    models = dict.fromkeys(found["model"] for found in matches)
    shots = sorted({found["shots"] for found in matches}, key=lambda each: int(each.split("-")[0]))
    return tuple(models), tuple(shots)


def photograph_figure(results: Results, column: str, seed: int, less: str | None = None) -> Figure | None:
    """The mean over products of one column, or of its lead over the column ``less``, on the same resamples;
    None unless every product has them.
    """
    matrices = []
    for result in results:
        scores = result["scores"]
        if column not in scores or (less is not None and less not in scores):
            return None
        matrix = wins(result["kinds"], scores[column])
        matrices.append(matrix if less is None else matrix - wins(result["kinds"], scores[less]))
    return over_images(matrices, seed) if matrices else None


# ------------------------------------------------------------------------------------ words


Spoken = Mapping[str, Any]
"""As the record keeps :class:`adapters.lab.evaluation.words.Spoken`."""

CHANCE = 0.5


def word_tables(results: Sequence[Spoken], seed: int) -> list[Table]:
    """One table for each station, a row a family."""
    tables = []
    for station in STATIONS:
        own = [result for result in results if result["station"] == station]
        if own:
            tables.append(_word_table(own, station, seed))
    return tables


def _word_table(results: Sequence[Spoken], station: str, seed: int) -> Table:
    rows: list[Row] = []
    for group, families in groups([result["product"] for result in results]).items():
        rows += [Row(family, _word_cells(results, [family], seed)) for family in families]
        if families:
            rows.append(Row(f"mean, {group}", _word_cells(results, families, seed), mean=True))
    note = (
        "True over other: how often a defective image scores higher by words that name its defect than by "
        "words that name another one of the same product; chance 0.5. Named right: how often the agent's "
        "name for the truly defective place is the right one. Nouns: zero-shot image AUROC with the right "
        "noun, with the word `object`, with nouns of other products in the mean, and what these cost."
    )
    return Table(f"Words, {station} station", tuple(_WORD_COLUMNS), tuple(rows), note)


def _word_cells(results: Sequence[Spoken], families: Sequence[str], seed: int) -> tuple[Cell, ...]:
    return tuple(word_figure(results, families, column, seed) for column in _WORD_COLUMNS)


def word_figure(results: Sequence[Spoken], families: Sequence[str], column: str, seed: int) -> Figure | None:
    """The mean over families of one column; None unless every family has it."""
    found = _by_family(results, families, _WORD_COLUMNS[column])
    return over_products(found, seed) if found and all(found) else None


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


_WORD_COLUMNS: dict[str, Callable[[Spoken], float | None]] = {
    "true over other": true_over_other,
    "named right": named_right,
    "named right by chance": _chance,
    "right noun": _right_noun,
    "object": _generic_noun,
    "wrong nouns": _wrong_nouns,
    "cost of a wrong noun": _cost,
}
