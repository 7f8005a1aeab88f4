"""``name_on_products``: how often the names of defects are right, and what their margin leaves of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.cli.evaluate import machine
from adapters.evaluation.formats import FORMATS
from adapters.lab.evaluation.trials import groups
from adapters.lab.studies.calibration import Study
from adapters.lab.studies.photographs import read
from adapters.lab.studies.report import Report, percent
from adapters.simulator import FAMILIES, Product, Station, draw
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Image
from agent.domain.recipe import template_recipe
from agent.inference.inspector import region_feature
from agent.methods.prepared import Prepared
from agent.onboarding.naming import find_label_margin, without_memory
from agent.ports import ImageCodec
from config import Settings

SAME: dict[str, str] = {
    "cut": "crack",
    "rust": "discolouration",
    "cracked": "crack",
}
"""What the template's names call a defect that has a name of its own here. The others have the same name, or
none that is right (``bent``, ``loose thread``, ``solder bridge``)."""

FIRST, STRIDE = 3_000_000, 1_000_000
"""Seeds of products and parts; training and the other studies use none from here on with seed 0."""

Defective = tuple[Image, str, NDArray[np.bool_]]
"""An image, its kind of defect and the (H, W) pixels of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One product."""

    name: str
    group: str
    margin: float | None
    """The calibrated one."""
    best: list[tuple[str, str]]
    """Of each defect the true name and the one that fits best."""
    given: list[tuple[str, str]]
    """Those of them that the margin lets through."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn: one product of each family at a fixed station."""

    families: Sequence[str]
    references: int
    defective: int
    """Of each product, its defects in turn."""
    seed: int
    size: int

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a family that there is not."""
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown:
            raise ConfigurationError(
                f"there is no product family {unknown[0]!r}; there are {', '.join(FAMILIES)}"
            )


def name_on_products(study: Study, drawn: Drawn) -> list[Row]:
    """Enroll good parts of each product, then name defects of others."""
    rows = []
    first, size = FIRST + STRIDE * drawn.seed, drawn.size
    for group, families in groups(drawn.families or tuple(FAMILIES)).items():
        for family in study.progress.follow(families, f"names, {group}", len(families)):
            product, station = Product.create(family, first), Station.fixed(first)
            parts = range(first, first + drawn.references)
            good = [draw(product, station, part, size=size).image for part in parts]
            later = range(first + STRIDE // 2, first + STRIDE // 2 + drawn.defective)
            bad = _defective(product, station, later, size)
            rows.append(_row(study, family, group, product.noun, good, bad))
            study.progress.note(" ".join(_cells(rows[-1:], family)))
    return rows


def _defective(product: Product, station: Station, parts: range, size: int) -> Iterator[Defective]:
    for index, part in enumerate(parts):
        kind = product.kind.defects[index % len(product.kind.defects)]
        drawn = draw(product, station, part, defect=kind, size=size)
        yield drawn.image, kind, drawn.mask


def name_on_photographs(
    study: Study, dataset: str, root: Path, references: int, codec: ImageCodec
) -> list[Row]:
    """Each category of a dataset with masks. Raises ConfigurationError."""
    if dataset not in FORMATS:
        raise ConfigurationError(f"there is no dataset format {dataset!r}; known are {', '.join(FORMATS)}")
    rows = []
    for category in FORMATS[dataset](root):
        good = [read(path, codec) for path in category.train[:references]]
        bad = [
            (read(sample.path, codec), sample.defect, read(sample.mask, codec)[..., 0] > 0)
            for sample in category.test
            if sample.defect is not None and sample.mask is not None
        ]
        noun = category.noun or category.name.replace("_", " ")
        followed = study.progress.follow(bad, category.name, len(bad))
        rows.append(_row(study, category.name, "photographs", noun, good, followed))
    return rows


def _row(
    study: Study, name: str, group: str, noun: str, good: Sequence[Image], bad: Iterable[Defective]
) -> Row:
    recipe = template_recipe(name, study.settings.inspection.method, noun)
    margin = find_label_margin(study.inspector, recipe, good)
    prepared = without_memory(study.inspector, recipe)
    best, given = [], []
    for image, kind, mask in bad:
        found = _named(study, prepared, image, mask)
        if found is None:
            continue
        best.append((SAME.get(kind, kind), found[0]))
        if margin is not None and found[1] >= margin:
            given.append(best[-1])
    return Row(name, group, margin, best, given)


def _named(
    study: Study, prepared: Prepared, image: Image, mask: NDArray[np.bool_]
) -> tuple[str, float] | None:
    """The best name of the place under a mask, and its lead; None if the method names none."""
    (scored,) = study.inspector.score([image], [prepared])
    feature = region_feature(scored, mask)
    name = None if feature is None else prepared.label(feature)
    return None if feature is None or name is None else (name, prepared.lead(feature))


def report_of(rows: Sequence[Row], references: int, settings: Settings) -> Report:
    """Table, notes and JSON."""
    columns = ("products", "number", "defects", "best name right", "with a margin", "named", "named right")
    found = tuple(dict.fromkeys(row.group for row in rows))
    cells = [_cells([row for row in rows if row.group == group], group) for group in found]
    notes = [f"{group}: {_most_given([row for row in rows if row.group == group])}" for group in found]
    notes += [
        "best name right: if every region took the name that fits best, as before there was a margin",
        "with a margin: products on which synthetic defects of the references supported one; all other "
        "regions are called anomaly",
        f"{references} references each, names of the template; the place of a defect is its true mask",
        f"method {settings.inspection.method}, profile {settings.agent.profile}; {machine(settings)}",
    ]
    figures = {
        "study": "names",
        "profile": settings.agent.profile,
        "method": settings.inspection.method,
        "machine": machine(settings),
        "groups": {group: _figures([row for row in rows if row.group == group]) for group in found},
    }
    return Report("names of defects", columns, cells, notes, figures)


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    best, given = [pair for row in rows for pair in row.best], [pair for row in rows for pair in row.given]
    return {
        "products": len(rows),
        "defects": len(best),
        "best_right": sum(true == name for true, name in best),
        "with_margin": sum(row.margin is not None for row in rows),
        "named": len(given),
        "named_right": sum(true == name for true, name in given),
    }


def _cells(rows: Sequence[Row], name: str) -> list[str]:
    found = _figures(rows)
    best = found["best_right"] / found["defects"] if found["defects"] else None
    right = found["named_right"] / found["named"] if found["named"] else None
    counts = (str(found[key]) for key in ("products", "defects"))
    return [
        name,
        *counts,
        percent(best, 1),
        str(found["with_margin"]),
        str(found["named"]),
        percent(right, 1),
    ]


def _most_given(rows: Sequence[Row]) -> str:
    """Which names fit best most often."""
    names = Counter(name for row in rows for _, name in row.best)
    return ", ".join(f"{name} {count}" for name, count in names.most_common(4)) or "no names"
