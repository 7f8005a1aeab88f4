"""Stations: what stays from image to image and what may change."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.simulator import FAMILIES, Family, Product, Station, draw
from adapters.simulator.render import backdrop
from adapters.simulator.station import CLUTTERED

OBJECT, SURFACE = FAMILIES["gear"], FAMILIES["leather"]
PARTS = range(40)


def test_a_fixed_station_holds_the_part_in_its_place() -> None:
    seen = [Station.fixed(3).exposure(part, OBJECT) for part in PARTS]
    assert len({exposure.background for exposure in seen}) == 1
    assert np.ptp([exposure.angle for exposure in seen]) <= 4
    assert np.ptp([exposure.shift for exposure in seen], axis=0).max() <= 0.03


@pytest.mark.parametrize(("family", "reach"), [(OBJECT, 0.10), (SURFACE, 0.06)])
def test_a_loose_station_keeps_camera_lamp_and_ground_while_the_part_lies_anywhere(
    family: Family, reach: float
) -> None:
    seen = [Station.loose(3).exposure(part, family) for part in PARTS]
    first = seen[0]
    for exposure in seen:
        same = replace(
            first,
            angle=exposure.angle,
            shift=exposure.shift,
            scale=exposure.scale,
            gain=exposure.gain,
            background=replace(first.background, place=exposure.background.place),
        )
        assert exposure == same
        assert np.abs(exposure.shift).max() <= reach
    assert np.ptp([exposure.angle for exposure in seen]) > 270
    assert np.ptp([exposure.shift for exposure in seen], axis=0).min() > reach
    assert np.ptp([exposure.scale for exposure in seen]) <= 0.02 * first.scale * 1.02
    assert np.ptp([exposure.gain for exposure in seen]) <= 0.04 * first.gain * 1.02
    assert len({exposure.background.place for exposure in seen}) == len(seen)
    assert Station.loose(4).exposure(0, family).light != first.light


def test_a_loose_part_lies_wholly_in_the_image() -> None:
    for seed in range(12):
        part = draw(Product.create("gear", seed), Station.loose(seed), seed, size=64).silhouette
        assert not part[[0, -1]].any()
        assert not part[:, [0, -1]].any()


@pytest.mark.parametrize("kind", ["belt", "mat", "wood"])
def test_a_moving_belt_shows_another_piece_in_the_same_tone(kind: str) -> None:
    stations = (Station.loose(seed).exposure(0, OBJECT).background for seed in range(200))
    ground = next(background for background in stations if background.kind == kind)
    here, there = backdrop(ground, 96), backdrop(replace(ground, place=ground.place + 1), 96)
    assert not np.array_equal(here, there)
    assert np.abs(here.mean((0, 1)) - there.mean((0, 1))).max() < 0.03


def test_a_varied_station_changes_everything() -> None:
    seen = [Station.varied(3).exposure(part, OBJECT) for part in PARTS]
    assert len({exposure.light for exposure in seen}) == len(seen)
    assert len({exposure.background.kind for exposure in seen}) > 3


def test_clutter_lies_beside_the_part_and_only_at_varied_stations() -> None:
    stations = (Station.fixed(3), Station.loose(3))
    assert all(
        station.exposure(part, OBJECT).background.clutter == 0 for station in stations for part in PARTS
    )
    seen = [Station.varied(3).exposure(part, OBJECT).background for part in range(400)]
    littered = [background for background in seen if background.clutter]
    assert abs(len(littered) / len(seen) - CLUTTERED) < 0.08
    assert not any(Station.varied(3).exposure(part, SURFACE).background.clutter for part in PARTS)
    changed = [
        np.abs(backdrop(background, 64) - backdrop(replace(background, clutter=0), 64)).max() > 0.05
        for background in littered[:30]
    ]
    assert np.mean(changed) > 0.8
