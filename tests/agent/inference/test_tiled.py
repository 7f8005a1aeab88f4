"""Tiles of one frame: judged one by one, one score, one map, one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe, Reference, template_recipe
from agent.domain.regions import Regions
from agent.domain.tiling import TileGrid, Tiling
from agent.domain.verdict import Verdict
from agent.enrollment.enroll import enroll
from agent.inference.inspector import Inspector
from agent.inference.tiled import MOST_GAIN, TiledPrepared, TiledScored, blended, gains, levelled
from agent.methods import build_method
from agent.methods.anomaly_dino import AnomalyDino, AnomalyDinoParameters
from agent.methods.fade import Fade
from agent.methods.prepared import Groups, Method, Prepared, Scored
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS

POLICY = CalibrationPolicy(0.01)
WIDTH, HEIGHT = 192, 128


def recipe(shots: int, method: str = "fade", **parameters: Parameter) -> Recipe:
    references = tuple(Reference(f"{i:064x}", f"{i}.png", str(i)) for i in range(shots))
    return replace(template_recipe("A", method), references=references, parameters=parameters)


def board(seed: int, spot: tuple[int, int, int] | None = None) -> Image:
    """A good part, plain on the left, motley on the right. ``spot``: x, y and side of a red square."""
    rng = np.random.default_rng(seed)
    patches = rng.normal(0.0, 1.0, (HEIGHT // 8, WIDTH // 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    noise = patches * np.linspace(0.0, 40.0, WIDTH)[None, :, None] + rng.normal(0.0, 2.0, patches.shape)
    image = np.clip(128.0 + noise, 0, 255).astype(np.uint8)
    if spot is not None:
        x, y, side = spot
        image[y : y + side, x : x + side] = (200, 60, 60)
    return image


def boards(count: int, first: int = 0) -> list[Image]:
    return [board(first + index) for index in range(count)]


def crops(image: Image, grid: TileGrid, overlap: float = 0.1) -> list[Image]:
    boxes = grid.boxes(image.shape[1], image.shape[0], overlap)
    return [image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]


def score(inspector: Inspector, image: Image, prepared: Prepared) -> TiledScored:
    scored = inspector.score([image], [prepared])[0]
    assert isinstance(scored, TiledScored)
    return scored


def test_each_tile_is_scored_as_an_image_of_its_own(inspector: Inspector) -> None:
    """Position-bound: a tile is compared with the same tile of the references."""
    grid, images = TileGrid(3, 2), boards(4)
    prepared = inspector.prepare(recipe(4, tiles="3x2", tile_memory="own"), images)
    scored = score(inspector, board(9), prepared)
    for index, tile in enumerate(crops(board(9), grid)):
        alone = inspector.prepare(recipe(4), [crops(image, grid)[index] for image in images])
        assert scored.tiles[index] == pytest.approx(inspector.score([tile], [alone])[0].score, abs=1e-6)
    assert scored.score == max(scored.tiles), "before enrollment has measured levels"


def test_one_shared_memory_knows_the_tiles_of_every_place(inspector: Inspector) -> None:
    def turned(image: Image) -> Image:
        return np.ascontiguousarray(image[::-1, ::-1])

    images = boards(4)
    own = inspector.prepare(recipe(4, tiles="3x2", tile_memory="own"), images)
    shared = inspector.prepare(recipe(4, tiles="3x2"), images)
    assert score(inspector, turned(board(9)), own).score > 1.8 * score(inspector, board(9), own).score
    assert score(inspector, turned(board(9)), shared).score < 1.2 * score(inspector, board(9), shared).score


@pytest.mark.parametrize("tiles", ["1x1", None])
@pytest.mark.parametrize("method", ["fade", "anomaly-dino"])
def test_one_tile_is_bit_equal_to_none(method: str, tiles: str | None) -> None:
    chosen: dict[str, Parameter] = {} if tiles is None else {"tiles": tiles, "tile_overlap": 0.2}
    made = built(method)
    prepared = Inspector(made).prepare(replace(recipe(3, method), parameters=chosen), boards(3))
    plain = made.prepare(recipe(3, method), boards(3))
    frames = boards(2, 7)
    ours, theirs = Inspector(made).score(frames, [prepared] * 2), made.score(frames, [plain] * 2)
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == other.score
        assert one.anomaly_map is not None
        assert other.anomaly_map is not None
        assert torch.equal(one.anomaly_map, other.anomaly_map)
    assert prepared.recipe.parameters == chosen


def test_frames_with_and_without_tiles_share_a_batch(inspector: Inspector) -> None:
    plain, tiled, finer = (
        inspector.prepare(recipe(3, tiles=tiles), boards(3)) for tiles in ("1x1", "2x2", "3x2")
    )
    order, frames = [tiled, plain, finer, tiled], boards(4, 20)
    together = inspector.score(frames, order)
    for frame, prepared, scored in zip(frames, order, together, strict=True):
        alone = inspector.score([frame], [prepared])[0]
        assert scored.score == pytest.approx(alone.score, rel=1e-5)
        assert isinstance(scored, TiledScored) is (prepared is not plain)


def test_a_frame_of_another_size_is_divided_in_the_same_shares(inspector: Inspector) -> None:
    prepared = inspector.prepare(recipe(3, tiles="3x2"), boards(3))
    larger = np.repeat(np.repeat(board(9), 2, axis=0), 2, axis=1)
    ours, theirs = score(inspector, larger, prepared).tiles, score(inspector, board(9), prepared).tiles
    assert ours == pytest.approx(theirs, rel=0.3)


def test_references_are_reduced_to_what_tiles_need(inspector: Inspector) -> None:
    assert inspector.reference_side(recipe(2)) == 64
    assert inspector.reference_side(recipe(2, tiles="3x2", tile_overlap=0.0)) == 3 * 64


def test_a_frame_unlike_its_references_is_said_to_be_in_tiles_too(inspector: Inspector) -> None:
    enrolled = enroll(inspector, recipe(9, tiles="2x2"), boards(9), policy=POLICY)
    whole = enroll(inspector, recipe(9), boards(9), policy=POLICY)
    grey = np.repeat(board(50).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    tiled, plain = inspector.inspect([grey] * 2, [enrolled.prepared, whole.prepared])
    assert tiled.unlike == plain.unlike
    assert tiled.unlike is not None


def test_what_is_ignored_is_ignored_in_tiles_too(inspector: Inspector) -> None:
    corner = ((0.0, 0.0), (0.25, 0.0), (0.25, 0.25), (0.0, 0.25))
    recipe_with_zone = replace(recipe(9, tiles="3x2"), regions=Regions(ignore=(corner,)))
    made = enroll(inspector, recipe_with_zone, boards(9), policy=POLICY)
    clean, inside, outside = (
        inspector.score([image], [made.prepared])[0].score
        for image in (board(50), board(50, (4, 4, 20)), board(50, (100, 60, 20)))
    )
    assert inside == pytest.approx(clean, abs=1e-6)
    assert outside > 1.5 * clean
    assert made.recipe.calibration is not None
    assert made.recipe.parameters["tiles"] == "3x2"


# ---------------------------------------------------------------------------------- enrollment


def test_tiles_are_brought_to_one_scale_by_what_good_parts_score() -> None:
    """The motley side scores many times the plain one; a defect on the plain side is found all the same."""
    inspector = Inspector(built("anomaly-dino"))
    enrolled = enroll(
        inspector, recipe(10, "anomaly-dino", tiles="3x1", tile_memory="own"), boards(10), policy=POLICY
    )
    levels = enrolled.recipe.parameters["tile_levels"]
    assert isinstance(levels, list)
    assert len(levels) == 3
    assert levels[2] > 2.0 * levels[0]
    assert isinstance(enrolled.prepared, TiledPrepared)
    left, _, right = (
        np.mean([score(inspector, image, enrolled.prepared).tiles[index] for image in boards(6, 50)])
        for index in range(3)
    )
    factors = enrolled.prepared.gains
    assert right * factors[2] == pytest.approx(left * factors[0], rel=0.35)
    results = inspector.inspect([board(60), board(61, (20, 60, 6))], [enrolled.prepared] * 2)
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.FAIL]
    x, y, width, height = results[1].defects[0].bbox
    assert x <= 23 <= x + width
    assert y <= 63 <= y + height


def test_references_score_like_good_parts_to_come(inspector: Inspector) -> None:
    enrolled = enroll(inspector, recipe(12, tiles="3x2"), boards(12), policy=POLICY)
    new = [score(inspector, image, enrolled.prepared).score for image in boards(40, 100)]
    assert np.mean(enrolled.scores) == pytest.approx(np.mean(new), rel=0.1)
    calibration = enrolled.recipe.calibration
    assert calibration is not None
    assert calibration.samples == 12
    assert sum(one > calibration.threshold for one in new) <= 2


def test_leaving_a_reference_out_is_as_if_it_had_never_been_enrolled(inspector: Inspector) -> None:
    images = boards(5)
    for memory in ("own", "shared"):
        whole = inspector.prepare(recipe(5, tiles="2x2", tile_memory=memory), images)
        rest = inspector.prepare(recipe(4, tiles="2x2", tile_memory=memory), images[:2] + images[3:])
        without = whole.without({2})
        assert score(inspector, images[2], without).tiles == pytest.approx(
            score(inspector, images[2], rest).tiles, abs=1e-6
        )
        assert whole.complete is (memory == "own")


def test_a_shared_memory_is_calibrated_with_references_left_out_in_groups(inspector: Inspector) -> None:
    enrolled = enroll(inspector, recipe(10, tiles="2x2", tile_memory="shared"), boards(10), policy=POLICY)
    assert enrolled.recipe.calibration is not None
    verdicts = [one.verdict for one in inspector.inspect(boards(4, 50), [enrolled.prepared] * 4)]
    assert Verdict.FAIL not in verdicts


def test_enrolling_again_measures_the_levels_again(inspector: Inspector) -> None:
    stale = recipe(9, tiles="2x1", tile_levels=[5.0, 0.001])
    again = enroll(inspector, stale, boards(9), policy=POLICY)
    fresh = enroll(inspector, recipe(9, tiles="2x1"), boards(9), policy=POLICY)
    assert again.recipe.parameters == fresh.recipe.parameters
    assert again.recipe.calibration == fresh.recipe.calibration
    one = enroll(inspector, recipe(1, tiles="2x1", tile_levels=[5.0, 0.001]), boards(1), policy=POLICY)
    assert one.recipe.parameters == {"tiles": "2x1"}, "one reference has no others to be compared with"


def test_references_are_memorised_rotated_in_tiles_too(inspector: Inspector) -> None:
    turned = np.ascontiguousarray(np.rot90(boards(2)[0][:, :HEIGHT], 1))
    for memory in ("own", "shared"):
        fixed, rotated = (
            inspector.prepare(recipe(2, tiles="1x2", tile_memory=memory, angles=angles), boards(2))
            for angles in ([0.0], [0.0, 90.0, 180.0, 270.0])
        )
        assert score(inspector, turned, rotated).score <= score(inspector, turned, fixed).score
        assert rotated.recipe.parameters["angles"] == [0.0, 90.0, 180.0, 270.0]


def test_thresholds_reach_methods_at_the_scale_of_each_tile(inspector: Inspector) -> None:
    """A method that outlines only suspicious images compares its own score of a tile with them."""
    enrolled = enroll(inspector, recipe(9, tiles="2x1"), boards(9), policy=POLICY)
    prepared, calibration = enrolled.prepared, enrolled.recipe.calibration
    assert isinstance(prepared, TiledPrepared)
    assert calibration is not None
    for tile, gain in zip(prepared.tiles, prepared.gains, strict=True):
        own = tile.recipe.calibration
        assert own is not None
        assert own.threshold * gain == pytest.approx(calibration.threshold)
        assert own.review_below * gain == pytest.approx(calibration.review_below)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=12))
def test_gains_lift_no_tile_beyond_the_limit(levels: list[float]) -> None:
    factors = gains(levels)
    assert len(factors) == len(levels)
    assert all(0.0 < factor <= MOST_GAIN * (1.0 + 1e-9) for factor in factors)
    middle = float(np.median(levels))
    for level, factor in zip(levels, factors, strict=True):
        assert level * factor <= middle * (1.0 + 1e-6) or middle == 0.0


def test_a_score_that_is_not_a_number_does_not_hide_behind_other_tiles() -> None:
    found = levelled([TiledScored(0.0, tiles=(0.1, 0.2)), TiledScored(0.0, tiles=(0.2, 0.1))])
    assert all(np.isfinite(found.scores))
    images = boards(1)
    method = Answering([0.3, float("nan"), 0.2, 0.1])
    result = Inspector(method).inspect(images, [Inspector(method).prepare(recipe(1, tiles="2x2"), images)])[0]
    assert result.verdict is Verdict.ERROR


# ------------------------------------------------------------------------------------- methods


def built(name: str) -> Method:
    if name == "fade":
        return Fade(ColourEncoder(), defaults=PARAMETERS)
    if name == "anomaly-dino":
        return AnomalyDino(ColourEncoder(), AnomalyDinoParameters(size=64, rotations=1))
    return build_method(name, ColourEncoder())


class Answering:
    """A method that gives scores in turn and remembers how many images it was shown at once."""

    digest = fingerprint = "answers"

    def __init__(self, scores: Sequence[float] = (), most: int = 1000) -> None:
        self._scores, self._most = list(scores), most
        self.shown: list[int] = []
        self._inner = Fade(ColourEncoder(), defaults=PARAMETERS)

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> Prepared:
        return self._inner.prepare(recipe, references)

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        if len(images) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.shown.append(len(images))
        return [Scored(self._scores.pop(0) if self._scores else 0.1) for _ in images]


def test_memory_bounds_how_many_tiles_are_judged_at_once() -> None:
    method = Answering()
    inspector = Inspector(method)
    prepared = inspector.prepare(recipe(1, tiles="6x4"), boards(1))
    inspector.score(boards(2), [prepared] * 2)
    assert method.shown == [8] * 6


@pytest.mark.slow
def test_tiles_are_halved_if_memory_runs_out_and_the_frame_is_judged() -> None:
    method = Answering(most=3)
    inspector = Inspector(method)
    prepared = inspector.prepare(recipe(1, tiles="3x2"), boards(1))
    assert len(inspector.score(boards(2), [prepared] * 2)) == 2
    assert method.shown == [2] * 6
    assert inspector.inspect(boards(1), [prepared])[0].verdict is Verdict.REVIEW


def test_a_method_without_a_map_has_tiles_too() -> None:
    method = Answering([0.1, 0.4, 0.2, 0.3])
    inspector = Inspector(method)
    scored = inspector.score(boards(1), [inspector.prepare(recipe(1, tiles="2x2"), boards(1))])[0]
    assert scored.score == 0.4
    assert scored.anomaly_map is None


def test_what_a_tile_lacks_the_frame_lacks() -> None:
    inspector = Inspector(built("anomaly-dino"))
    prepared = inspector.prepare(recipe(0, "anomaly-dino", tiles="2x2"), ())
    result = inspector.inspect(boards(1), [prepared])[0]
    assert result.verdict is Verdict.REVIEW
    assert "enroll images of good parts" in result.reason


def test_the_null_method_costs_one_frame_and_passes_it() -> None:
    inspector = Inspector(build_method("null"))
    prepared = inspector.prepare(recipe(2, "null", tiles="3x2", tile_levels=[0.1] * 6), boards(2))
    assert inspector.inspect(boards(1), [prepared])[0].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tiles": 3}, "'tiles' is a str"),
        ({"tiles": "3"}, "columns x rows"),
        ({"tile": "3x2"}, "no parameter"),
    ],
)
def test_wrong_tiles_are_refused_with_a_sentence(
    inspector: Inspector, parameters: dict[str, Parameter], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        inspector.prepare(replace(recipe(1), parameters=parameters), boards(1))
    with pytest.raises(RecipeError, match="names 3 references, 2 were read"):
        inspector.prepare(recipe(3, tiles="2x2"), boards(2))


# ---------------------------------------------------------------------------------------- maps


@settings(max_examples=60)
@given(
    st.integers(1, 5), st.integers(1, 5), st.floats(0.0, 0.5), st.integers(1, 9), st.integers(20, 300),
    st.integers(20, 300),
)  # fmt: skip
def test_equal_maps_merge_without_a_seam(
    columns: int, rows: int, overlap: float, cells: int, width: int, height: int
) -> None:
    tiling = Tiling(f"{columns}x{rows}", tile_overlap=overlap)
    planes = [torch.full((2, cells, cells), 0.7)] * tiling.grid.count
    merged = blended(planes, tiling, width, height)
    assert torch.allclose(merged, torch.full_like(merged, 0.7), atol=1e-5)


def test_a_merged_map_shows_a_place_where_it_is_and_falls_smoothly() -> None:
    tiling = Tiling("2x1", tile_overlap=0.5)
    low, high = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    row = blended([low, high], tiling, 300, 200)[0, 0]
    assert row[0] == 0.0
    assert row[-1] == 1.0
    assert torch.all(row.diff() >= 0.0)
    assert float(row.diff().max()) < 0.4
