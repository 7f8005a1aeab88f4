"""Tables of photographs: models and controls by the number of references."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.lab.evaluation.figures import Figure, over_images, wins
from adapters.lab.evaluation.tables import Row, Table

Results = Sequence[Mapping[str, Any]]

_COLUMN = re.compile(r"(?P<model>.+) (?P<shots>\d+-shot)")


def photograph_tables(results: Results, seed: int) -> list[Table]:
    """The mean over products first, then each product."""
    if not results:
        return []
    names = [result["product"] for result in results]
    tables = [_table(f"Photographs, mean of {', '.join(names)}", results, seed)]
    if len(results) > 1:
        tables += [_table(f"Photographs, {one['product']}", [one], seed) for one in results]
    return tables


def _table(title: str, results: Results, seed: int) -> Table:
    models, shots = _axes(results)
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


def _axes(results: Results) -> tuple[tuple[str, ...], tuple[str, ...]]:
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
