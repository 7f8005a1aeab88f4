"""Tables by product family and by defect; trained and held-out families apart, stations apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.lab.evaluation.figures import Figure, auroc, over_products
from adapters.lab.evaluation.products import STATIONS, groups, is_surface
from adapters.lab.evaluation.tables import Cell, Row, Table

Results = Sequence[Mapping[str, Any]]
"""As the record keeps :class:`Result`."""

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
        f"Image AUROC, and pixel AUROC where the column says so; {min(counted)} images of each product, "
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
    by_family = [
        [
            value
            for result in results
            if result["product"] == family and (value := value_of(result, column)) is not None
        ]
        for family in families
    ]
    if not by_family or not all(by_family):
        return None
    return over_products(by_family, seed)


def value_of(result: Mapping[str, Any], column: str, only: str | None = None) -> float | None:
    """The AUROC of one trial; None where the column was not measured."""
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
    by_family = [
        [
            value
            for result in results
            if result["product"] == family and (value := value_of(result, column, kind)) is not None
        ]
        for family in families
    ]
    found = [each for each in by_family if each]
    return over_products(found, seed) if found else None
