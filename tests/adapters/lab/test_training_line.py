"""The pool of drawn images of the simulated line: products, stations, twins and their words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from adapters.lab.training import linepool
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.lab.training.linepool import PARTS, STATIONS, TRAINED, LinePool, line_pool
from adapters.simulator import HELD_OUT, Image, Product, Station
from tests.adapters.lab.toy_products import draw_in_this_process, toy_line

PAIRS = 18
"""Processes are given 16 at a time: enough for both to draw."""
SOME = 2 * len(STATIONS) * len(TRAINED) * PARTS + 5
"""Two products of each family at each of the stations in turn, and five more pairs."""

Drawn = tuple[Product, Station, int]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> LinePool:
    """Real images, drawn by two processes."""
    return line_pool(tmp_path_factory.mktemp("line"), PAIRS)


@pytest.fixture
def sketched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LinePool, list[Drawn]]:
    """A large pool of empty images, and what each of them was asked to show."""
    asked: list[Drawn] = []

    def sketch(product: Product, station: Station, seed: int, *, defect: str | None, size: int) -> Image:
        asked.append((product, station, seed))
        assert defect is None or defect in product.kind.defects
        empty = np.zeros((size, size), np.bool_)
        image, visibility = np.zeros((size, size, 3), np.uint8), None if defect is None else 0.9
        return Image(image, empty, empty, product, defect, product.attributes, visibility)

    draw_in_this_process(monkeypatch)
    monkeypatch.setattr(linepool, "draw", sketch)
    monkeypatch.setattr(linepool, "SIZE", 4)
    return line_pool(tmp_path / "line", SOME), asked


def test_twins_differ_only_under_the_mask(pool: LinePool) -> None:
    assert pool.images.shape == (2 * PAIRS, 256, 256, 3)
    assert [record.defect is None for record in pool.records] == [True, False] * PAIRS
    for pair in range(PAIRS):
        good, bad = pool.images[2 * pair], pool.images[2 * pair + 1]
        assert not pool.masks[2 * pair].any()
        assert pool.masks[2 * pair + 1].any()
        changed = (good != bad).any(2).reshape(64, 4, 64, 4).any((1, 3))
        assert not (changed & (pool.masks[2 * pair + 1] == 0)).any(), "outside the mask nothing differs"


def test_records_say_where_a_part_is_seen_and_how_plainly_its_defect_shows(pool: LinePool) -> None:
    for good, bad in zip(pool.records[::2], pool.records[1::2], strict=True):
        assert (good.family, good.noun, good.station) == (bad.family, bad.noun, bad.station)
        assert good.station in STATIONS
        assert good.visibility is None
        assert bad.visibility is not None
        assert bad.visibility > 0
        assert len(good.captions) == len(bad.captions) == linepool.CAPTIONS


def test_the_pool_depends_neither_on_the_number_of_processes_nor_on_how_many_pairs_are_drawn(
    pool: LinePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_in_this_process(monkeypatch)
    fewer = PAIRS - 1
    alone = line_pool(tmp_path / "line", fewer)
    assert alone.records == pool.records[: 2 * fewer]
    assert np.array_equal(alone.images, pool.images[: 2 * fewer])
    assert np.array_equal(alone.masks, pool.masks[: 2 * fewer])


def test_a_pool_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_in_this_process(monkeypatch)
    first = line_pool(tmp_path / "line", 1)
    monkeypatch.setattr(linepool, "draw", lambda *_, **__: pytest.fail("drawn again"))
    again = line_pool(tmp_path / "line", 1)
    assert again.records == first.records
    assert np.array_equal(again.images, first.images)
    assert np.array_equal(again.masks, first.masks)


def test_groups_show_parts_of_one_product_at_one_station(
    sketched: tuple[LinePool, list[Drawn]],
) -> None:
    pool, asked = sketched
    groups = pool.groups()
    assert len(groups) == SOME // PARTS - 1, "the last five pairs begin five products"
    products = set()
    for pairs in groups:
        assert len(set(pairs)) == PARTS
        shown = [asked[row] for pair in pairs for row in (2 * pair, 2 * pair + 1)]
        assert len({(product.family, product.seed, station) for product, station, _ in shown}) == 1
        assert len({seed for _, _, seed in shown}) == PARTS, "twins are one part, and the parts differ"
        product, station, _ = shown[0]
        assert {pool.records[2 * pair].family for pair in pairs} == {product.family}
        assert {pool.records[2 * pair].station for pair in pairs} == {station.mode}
        products.add((product.family, product.seed))
    assert len(products) == len(groups), "no product has two groups"
    assert len({asked[2 * pairs[0]][1].seed for pairs in groups}) == len(groups), "nor a station two products"


def test_every_mode_of_station_occurs_with_every_family(sketched: tuple[LinePool, list[Drawn]]) -> None:
    pool, _ = sketched
    modes = Counter(pool.records[2 * pairs[0]].station for pairs in pool.groups())
    assert modes.keys() == set(STATIONS)
    assert {mode: 2 * len(TRAINED) * STATIONS.count(mode) for mode in modes} == modes
    met = {(record.family, record.station) for record in pool.records}
    assert met == {(family, mode) for family in TRAINED for mode in STATIONS}
    by_mode = {mode: pool.groups(mode) for mode in modes}
    assert sorted(group for groups in by_mode.values() for group in groups) == sorted(pool.groups())
    for mode, groups in by_mode.items():
        assert {pool.records[2 * pair].station for pairs in groups for pair in pairs} == {mode}


def test_training_never_draws_what_is_held_out(sketched: tuple[LinePool, list[Drawn]]) -> None:
    pool, asked = sketched
    assert HELD_OUT
    assert not HELD_OUT & set(TRAINED)
    assert {record.family for record in pool.records} == {product.family for product, _, _ in asked}
    assert {product.family for product, _, _ in asked} == set(TRAINED)
    assert max(max(product.seed, station.seed, seed) for product, station, seed in asked) < RESERVED_SEED


def test_the_toy_line_of_the_other_tests_has_groups_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert toy_line(monkeypatch, 3).groups() == [
        (0, 2, 4), (1, 3, 5), (6, 8, 10), (7, 9, 11), (12, 14, 16), (13, 15, 17)
    ]  # fmt: skip
