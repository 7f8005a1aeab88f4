"""A clock in the frames and none in the references: false alarms with and without an ignored region.

``pytest -s tests/system/test_clock_in_frames.py`` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from adapters.simulator import Product, Station, draw, random_defect
from agent.app.models import build_inspector
from agent.app.options import calibration_policy
from agent.domain.frame import Image
from agent.domain.recipe import Reference, template_recipe
from agent.domain.regions import EVERYWHERE, Regions, rectangle
from agent.domain.verdict import Verdict
from agent.enrollment.enroll import enroll
from agent.inference.inspector import Inspector
from config import load
from tests.system.images import FIRST_SEED, SHARED, photographs

SHOTS, FRAMES = 10, 10
CLOCK = Regions(ignore=(rectangle(0.0, 0.86, 0.82, 0.14),))
SETTINGS = load(overrides=["agent.profile=embedded"]).settings


@dataclass(frozen=True)
class Parts:
    """Images of one product."""

    references: Sequence[Image]
    good: Sequence[Image]
    bad: Sequence[Image]


def drawn() -> Parts:
    product, station = Product.create("gear", FIRST_SEED), Station.fixed(FIRST_SEED)

    def image(number: int, *, defective: bool = False) -> Image:
        seed = FIRST_SEED + number
        defect = random_defect(product, seed) if defective else None
        return draw(product, station, seed, defect=defect, size=240).image

    return Parts(
        [image(number) for number in range(SHOTS)],
        [image(100 + number) for number in range(FRAMES)],
        [image(200 + number, defective=True) for number in range(FRAMES)],
    )


def cubes() -> Parts:
    folder = photographs("cubes")

    def some(kind: str, count: int) -> list[Image]:
        files = sorted((folder / kind).iterdir())
        return [_small(cv2.imread(str(file))) for file in files[:: max(1, len(files) // count)][:count]]

    return Parts(some("train/good", SHOTS), some("test/good", FRAMES), some("test/abnormal", FRAMES))


def _small(image: np.ndarray | None) -> Image:
    assert image is not None
    small = cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1], np.uint8)


def with_clock(image: Image, second: int) -> Image:
    clocked = image.copy()
    at = (round(0.02 * image.shape[1]), round(0.965 * image.shape[0]))
    text = f"2026-11-28 14:03:{second:02d}"
    cv2.putText(clocked, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return clocked


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return build_inspector(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("product", [pytest.param(drawn, marks=pytest.mark.lab), cubes])
def test_an_ignored_region_ends_false_alarms_at_a_clock(
    product: Callable[[], Parts], inspector: Inspector
) -> None:
    parts, table = product(), {}
    references = tuple(Reference(f"{i:064x}", f"{i}.png", f"{i}.png") for i in range(SHOTS))
    draft = replace(template_recipe("A", SETTINGS.inspection.method), references=references)
    frames = [with_clock(image, second) for second, image in enumerate((*parts.good, *parts.bad))]
    if product is cubes:
        frames.append(_small(cv2.imread(str(SHARED / "cases" / "timestamp.jpg"))))
    for name, regions in (("none", EVERYWHERE), ("the clock", CLOCK)):
        recipe = replace(draft, regions=regions)
        prepared = enroll(inspector, recipe, parts.references, policy=calibration_policy(SETTINGS)).prepared
        failed = [inspector.inspect([frame], [prepared])[0].verdict is Verdict.FAIL for frame in frames]
        table[name] = (sum(failed[:FRAMES]), sum(failed[FRAMES : 2 * FRAMES]), *failed[2 * FRAMES :])
        print(  # noqa: T201 - the table that it is for
            f"{product.__name__}, ignored: {name}: {table[name][0]} of {FRAMES} good parts FAIL, "
            f"{table[name][1]} of {FRAMES} defective ones"
        )
    assert table["none"][:2] == (FRAMES, FRAMES), "every frame fails at its clock"
    assert table["the clock"][0] <= 1
    assert table["the clock"][1] >= FRAMES - 2
    if product is cubes:
        assert (table["none"][2], table["the clock"][2]) == (True, False), "shared/cases/timestamp.jpg"
