"""Protocols bring maps to their evaluation size as the authors did; maps wait in a file."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.evaluation.maps import MapStore
from adapters.evaluation.protocol import PROTOCOLS, protocol_for
from agent.domain.errors import ConfigurationError


def test_fades_maps_are_truncated_to_bytes_before_they_grow() -> None:
    fade = PROTOCOLS["fade"]
    kept = fade.shrink(np.array([[-0.2, 0.999], [0.5, 1.7]], np.float32))
    assert kept.dtype == np.uint8
    assert kept.tolist() == [[0, 254], [127, 255]]
    grown = fade.enlarge(kept)
    assert grown.shape == (448, 448)
    assert grown.dtype == np.uint8
    assert (grown[0, 0], grown[0, -1], grown[-1, -1]) == (0, 254, 255)


def test_small_maps_wait_small_and_large_ones_shrink_at_once() -> None:
    exact = PROTOCOLS["exact"]
    assert exact.shrink(np.zeros((56, 56), np.float32)).shape == (56, 56)
    assert exact.shrink(np.ones((600, 500), np.float32)).shape == (448, 448)
    ramp = np.linspace(0, 1, 56, dtype=np.float32)[None].repeat(56, axis=0)
    grown = exact.enlarge(ramp)
    assert grown.shape == (448, 448)
    assert grown.dtype == np.float32
    assert (np.diff(grown[0]) >= 0).all()


def test_iap_as_counts_good_images_where_its_authors_did() -> None:
    assert protocol_for("iap-as", "mvtec").good_pixels
    assert protocol_for("iap-as", "mtd").good_pixels
    assert not protocol_for("iap-as", "btad").good_pixels
    assert protocol_for("exact", "btad").good_pixels
    with pytest.raises(ConfigurationError, match="known are exact, fade, iap-as"):
        protocol_for("mine", "mvtec")


def test_maps_come_back_as_they_were() -> None:
    random = np.random.default_rng(0)
    floats = [random.normal(size=shape).astype(np.float32) for shape in ((3, 5), (1, 1), (56, 56))]
    with MapStore() as store:
        for one in floats:
            store.append(one)
        store.append(np.array([[1, 200]], np.uint8))
        assert len(store) == 4
        assert store[3].tolist() == [[1, 200]]
        for one, back in zip(floats, store, strict=False):
            assert back.dtype == np.float32
            assert (back == one).all()
        low = min(float(one.min()) for one in floats)
        assert store.extremes(range(4)) == pytest.approx((low, 200))
        assert store.extremes([1]) == pytest.approx((floats[1].item(), floats[1].item()))
        low, high = store.extremes([])
        assert low > high, "of no maps there are none"
