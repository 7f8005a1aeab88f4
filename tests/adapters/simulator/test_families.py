"""What single families promise: a tidy circuit board, a plainly empty pocket, wood without streaks."""

from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
import pytest

from adapters.simulator import Product, Station, draw
from adapters.simulator.family import Change

SIZE = 128


@pytest.mark.parametrize("number", range(12))
def test_components_of_a_circuit_board_do_not_overlap(number: int) -> None:
    design = Product.create("circuit_board", number).design
    boxes = [part["box"] for part in design["parts"]]
    assert len(boxes) > 5
    for (x, y, a, b), (u, v, c, d) in combinations(boxes, 2):
        assert abs(x - u) > a + c or abs(y - v) > b + d
    for x, y, a, b in boxes:
        assert abs(x) + a < design["size"][0]
        assert abs(y) + b < design["size"][1]


@pytest.mark.parametrize("number", range(12))
def test_traces_of_a_circuit_board_lead_to_components_and_cross_none_other(number: int) -> None:
    design = Product.create("circuit_board", number).design
    assert design["traces"]
    seen: set[tuple[int, int]] = set()
    for trace in design["traces"]:
        for x, y in (trace[0], trace[-1]):
            assert any(
                abs(x - u) <= a + 0.05 and abs(y - v) <= b + 0.05
                for u, v, a, b in (part["box"] for part in design["parts"])
            )
        points = np.concatenate([np.linspace(start, end, 60) for start, end in pairwise(trace)])
        own = {(round(x / 0.02), round(y / 0.02)) for x, y in points}
        assert not own & seen
        seen |= own


@pytest.mark.parametrize("number", range(6))
def test_good_circuit_boards_of_one_product_are_alike(number: int) -> None:
    product = Product.create("circuit_board", number)

    def colours(seed: int, change: Change | None = None) -> npt.NDArray[np.float32]:
        return product.kind.draw(product.design, np.random.default_rng(seed), SIZE, change).albedo

    good = colours(0)
    alike = [np.mean(np.abs(colours(seed) - good).max(2) > 0.15) for seed in range(1, 5)]
    missing = Change("missing part", np.random.default_rng(1), 1.0, 1.0)
    assert max(alike) < np.mean(np.abs(colours(0, missing) - good).max(2) > 0.15)


@pytest.mark.parametrize("number", range(10))
def test_an_empty_pocket_differs_plainly_from_its_tablet(number: int) -> None:
    product = Product.create("blister_pack", number)
    for station in (Station.fixed(number), Station.loose(number)):
        good = draw(product, station, 3, size=SIZE)
        bad = draw(product, station, 3, defect="missing part", size=SIZE)
        assert np.abs(bad.image.astype(float) - good.image).mean(2)[bad.mask].mean() > 20


@pytest.mark.parametrize("number", range(8))
def test_the_grain_of_wood_has_no_streaks_that_look_like_scratches(number: int) -> None:
    image = draw(Product.create("wood_board", number), Station.fixed(number), 1, size=SIZE)
    grey = image.image.astype(float).mean(2)
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis))
        assert np.percentile(steps, 99) < 14
