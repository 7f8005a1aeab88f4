"""The simulated production line: runs in order, exact rejects, changeovers, the same parts every time."""

import numpy as np
import pytest

from adapters.simulator import Product, Run, SimulatedCamera, Station


def _camera(seed: int = 0) -> SimulatedCamera:
    runs = [
        Run("GEAR-1", Product.create("gear", 1), 10, 0.3),
        Run("CAP-7", Product.create("bottle_cap", 7), 7, 0.25),
        Run("GEAR-1", Product.create("gear", 1), 3, 0.0),
    ]
    return SimulatedCamera("line-1", "top", Station.fixed(5), runs, seed=seed, size=64)


def test_runs_follow_one_another_with_the_fraction_rejected() -> None:
    camera = _camera()
    parts = list(camera)
    assert len(parts) == len(camera) == 20
    assert [part.index for part in parts] == list(range(20))
    assert [part.sku for part in parts] == ["GEAR-1"] * 10 + ["CAP-7"] * 7 + ["GEAR-1"] * 3
    assert [part.index for part in parts if part.changeover] == [10, 17]
    assert len({part.part_id for part in parts}) == 20
    truths = [part.truth == "defective" for part in parts]
    assert (sum(truths[:10]), sum(truths[10:17]), sum(truths[17:])) == (3, 2, 0)
    for part in parts:
        assert (part.image.defect is not None) == (part.truth == "defective")
        assert part.image.mask.any() == (part.truth == "defective")


def test_the_feed_repeats_itself_and_another_seed_does_not() -> None:
    first, again, other = list(_camera()), list(_camera()), list(_camera(seed=1))
    assert all(np.array_equal(a.image.image, b.image.image) for a, b in zip(first, again, strict=True))
    assert [part.truth for part in first] != [part.truth for part in other] or not np.array_equal(
        first[0].image.image, other[0].image.image
    )


def test_references_are_good_parts_that_are_not_produced() -> None:
    camera = _camera()
    references = camera.references(camera.runs[0].product, 4)
    assert all(image.defect is None for image in references)
    produced = {part.image.image.tobytes() for part in camera}
    assert produced.isdisjoint(image.image.tobytes() for image in references)


@pytest.mark.parametrize(("frames", "fraction"), [(-1, 0.1), (5, 1.5), (5, -0.1)])
def test_a_run_that_cannot_be_is_refused(frames: int, fraction: float) -> None:
    with pytest.raises(ValueError, match=r"needs|fraction"):
        Run("X", Product.create("gear", 0), frames, fraction)
