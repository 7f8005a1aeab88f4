"""The cache of references' features: never more bytes than its limit, never another's tensor."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.methods.feature_cache import FeatureCache, content_key


def full(count: int, value: float) -> tuple[torch.Tensor, ...]:
    return (torch.full((count,), value),)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 6)), max_size=60), st.integers(0, 64))
def test_it_stays_within_its_limit_and_gives_what_was_asked_for(
    asked: list[tuple[int, int]], limit: int
) -> None:
    cache = FeatureCache(limit)
    for value, count in asked:
        (given_back,) = cache.get((value, count), partial(full, count, float(value)))
        assert given_back.tolist() == [float(value)] * count
        assert cache.held_bytes <= limit


def test_what_is_at_hand_is_not_computed_again() -> None:
    cache, computed = FeatureCache(1000), []

    def compute() -> tuple[torch.Tensor, ...]:
        computed.append(1)
        return (torch.zeros(4),)

    for _ in range(3):
        cache.get("a", compute)
    assert len(computed) == 1


def test_a_scan_over_more_than_fits_still_finds_some() -> None:
    cache, computed = FeatureCache(4 * 50), []

    def compute() -> tuple[torch.Tensor, ...]:
        computed.append(1)
        return (torch.zeros(1),)

    for _ in range(4):
        for key in range(60):
            cache.get(key, compute)
    assert len(computed) < 4 * 60 - 60


def test_images_of_equal_bytes_and_other_shapes_differ() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert content_key(pixels) == content_key(pixels.copy())
    assert content_key(pixels) != content_key(pixels.reshape(6, 4, 3))
