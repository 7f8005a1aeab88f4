"""Maps: resizing as cv2 does, pooling, and connected regions on hand-made maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from agent.methods.maps import (
    Region,
    average_maps,
    harmonic_mean,
    pool_map,
    regions,
    to_pixels,
    window_map,
    window_mean,
)


@pytest.mark.parametrize(("side", "size"), [(15, 56), (28, 56), (7, 56), (5, 5)])
def test_a_map_is_resized_with_half_pixel_centres_as_cv2_does(side: int, size: int) -> None:
    grid = np.random.default_rng(side).random((side, side), dtype=np.float32)
    expected = cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR)
    actual = average_maps([torch.from_numpy(grid)[None]], size)[0]
    np.testing.assert_allclose(actual.numpy(), expected, atol=2e-6)


def test_two_pixels_at_four_by_hand() -> None:
    # Half-pixel centres: targets lie at -0.25, 0.25, 0.75 and 1.25 of the source.
    resized = average_maps([torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])], 4)
    torch.testing.assert_close(resized[0, 0], torch.tensor([0.0, 0.25, 0.75, 1.0]))


def test_scales_are_averaged_with_equal_weight() -> None:
    maps = [torch.full((2, 3, 3), 1.0), torch.full((2, 6, 6), 4.0)]
    torch.testing.assert_close(average_maps(maps, 8), torch.full((2, 8, 8), 2.5))


def test_a_map_at_the_frames_size_keeps_width_and_height_apart() -> None:
    pixels = to_pixels(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), 6, 3)
    assert pixels.shape == (3, 6)
    assert pixels.dtype == np.float32
    assert pixels[0, 0] == 0.0
    assert pixels[0, -1] == 1.0


def test_pooling_is_the_maximum_or_the_mean_of_the_highest_share() -> None:
    maps = torch.arange(200.0).reshape(2, 10, 10)
    torch.testing.assert_close(pool_map(maps, 0.0), torch.tensor([99.0, 199.0]))
    torch.testing.assert_close(pool_map(maps, 0.01), torch.tensor([99.0, 199.0]))
    torch.testing.assert_close(pool_map(maps, 0.03), torch.tensor([98.0, 198.0]))
    torch.testing.assert_close(pool_map(maps, 1.0), maps.flatten(1).mean(dim=1))


def test_regions_have_box_area_and_score_and_the_highest_comes_first() -> None:
    pixels = np.zeros((10, 12), np.float32)
    pixels[1:3, 1:4] = 0.6
    pixels[5:9, 7:9] = 0.7
    pixels[6, 7] = 0.9
    mask, found = regions(pixels, 0.5, minimum_area=0.0, most=10)
    assert [(r.bbox, r.area_px) for r in found] == [((7, 5, 2, 4), 8), ((1, 1, 3, 2), 6)]
    assert [r.score for r in found] == pytest.approx([0.9, 0.6])
    assert mask.dtype == np.uint8
    assert mask.tolist() == ((pixels > 0.65) * 1 + ((pixels > 0.55) & (pixels < 0.65)) * 2).tolist()


def test_a_pixel_at_the_threshold_is_not_above_it() -> None:
    mask, found = regions(np.full((4, 4), 0.5, np.float32), 0.5, minimum_area=0.0, most=10)
    assert not found
    assert not mask.any()


def test_corners_connect() -> None:
    _mask, found = regions(np.eye(5, dtype=np.float32), 0.5, minimum_area=0.0, most=10)
    assert [(r.bbox, r.area_px) for r in found] == [((0, 0, 5, 5), 5)]


def test_the_score_of_a_region_is_its_own_where_boxes_overlap() -> None:
    pixels = np.zeros((7, 7), np.float32)
    pixels[0, :] = pixels[:, 0] = 0.6  # an angle, whose box holds the spot
    pixels[4, 4] = 0.9
    _mask, found = regions(pixels, 0.5, minimum_area=0.0, most=10)
    assert [r.area_px for r in found] == [1, 13]
    assert [r.score for r in found] == pytest.approx([0.9, 0.6])


def test_specks_are_left_out_and_the_smallest_allowed_is_kept() -> None:
    pixels = np.zeros((10, 10), np.float32)
    pixels[0, 0:3] = 1.0
    pixels[5, 0:4] = 0.8
    mask, found = regions(pixels, 0.5, minimum_area=0.04, most=10)
    assert [r.area_px for r in found] == [4]
    assert int((mask == 1).sum()) == 4
    assert int(mask.max()) == 1


def test_more_regions_than_eight_bits_hold() -> None:
    pixels = np.zeros((60, 60), np.float32)
    pixels[::2, ::2] = np.linspace(0.6, 1.0, 900, dtype=np.float32).reshape(30, 30)
    mask, found = regions(pixels, 0.5, minimum_area=0.0, most=1000)
    assert len(found) == 255
    assert sorted(np.unique(mask).tolist()) == list(range(256))
    assert found[0].score == pytest.approx(1.0)
    assert mask[58, 58] == 1
    assert mask[0, 0] == 0, "the lowest are the ones left out"


@given(st.integers(0, 10_000), st.floats(0.0, 0.9), st.integers(1, 300))
@settings(max_examples=40)
def test_regions_agree_with_another_labelling(seed: int, threshold: float, most: int) -> None:
    pixels = np.random.default_rng(seed).random((13, 17), dtype=np.float32)
    mask, found = regions(pixels, threshold, minimum_area=0.0, most=most)
    labels, count = ndimage.label(pixels > threshold, structure=np.ones((3, 3)))
    assert len(found) == min(count, most, 255)
    scores = [r.score for r in found]
    assert scores == sorted(scores, reverse=True)
    for index, region in enumerate(found, start=1):
        inside = mask == index
        others = np.unique(labels[inside])
        assert len(others) == 1
        assert np.array_equal(inside, labels == others[0])
        ys, xs = np.nonzero(inside)
        assert region.bbox == (int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1)
        assert region.area_px == inside.sum()
        assert region.score == pixels[inside].max()


def test_a_plain_defect_is_outlined_without_its_halo() -> None:
    pixels = np.zeros((5, 7), np.float32)
    pixels[1:4, 1:6] = 0.3
    pixels[2, 2:4] = (1.0, 0.6)
    mask, found = regions(pixels, 0.2, minimum_area=0.0, most=10, outline=0.5)
    assert found == [Region(1.0, (2, 2, 2, 1), 2)]
    assert np.argwhere(mask).tolist() == [[2, 2], [2, 3]]


def test_harmonic_means_of_plain_numbers() -> None:
    stacked = torch.tensor([[1.0, 0.5], [0.25, 0.0]])
    assert harmonic_mean(stacked).tolist() == pytest.approx([2 / (1 + 4), 0.0])


@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 2), st.integers(0, 1000))
def test_windows_to_patches_by_brute_force(height: int, width: int, side: int, seed: int) -> None:
    starts = [(y, x) for y in range(height - side + 1) for x in range(width - side + 1)]
    covered = torch.tensor(
        [[(y + i) * width + x + j for i in range(side) for j in range(side)] for y, x in starts]
    )
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(2, len(starts), generator=generator, dtype=torch.float64)
    vectors = torch.randn(2, len(starts), 3, generator=generator, dtype=torch.float64)
    found = window_map(values, covered, (height, width))
    means = window_mean(vectors, covered, (height, width))
    for y in range(height):
        for x in range(width):
            held = [n for n, (a, b) in enumerate(starts) if a <= y < a + side and b <= x < b + side]
            expected = len(held) / (1.0 / values[:, held]).sum(dim=1)
            torch.testing.assert_close(found[:, y, x], expected)
            mean = torch.nn.functional.normalize(vectors[:, held].mean(dim=1), dim=1)
            torch.testing.assert_close(means[:, y, x], mean)
