"""``statistics``: areas, contrast and visibility of the drawn defects, measured on fresh images."""

from typing import Any

import cv2
import numpy as np

from adapters.simulator.captions import CLAIMED
from adapters.simulator.families import FAMILIES
from adapters.simulator.image import draw
from adapters.simulator.product import Product
from adapters.simulator.seeds import generator
from adapters.simulator.station import Station

BINS = (0.0, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0)


def statistics(n: int, seed: int, size: int = 256) -> dict[str, Any]:
    """Draw `n` defective images at fixed stations, every family in turn, and describe their defects.

    Returns `images, size, area_fraction {p5, p25, p50, p75, p95, within_0.1_to_5_percent}`, `histogram`
    (upper edges of the area fraction's bins and shares), `contrast_lab {p5, ..., p95}` (mean CIE Lab distance
    under the mask between the defective image and the good one), `invisible` (share with a distance below
    3), `failed` and `unclaimed` (shares whose visibility stays below what `draw` requires and below what a
    caption mentions) and `defects` (name -> {count, median_area_fraction, median_contrast}).
    """
    areas, contrasts, visibility = np.zeros(n), np.zeros(n), np.zeros(n)
    kinds: list[str] = []
    families = list(FAMILIES)
    for k in range(n):
        rng = generator("statistics", seed, k)
        product = Product.create(families[k % len(families)], int(rng.integers(1 << 31)))
        station = Station.fixed(int(rng.integers(1 << 31)))
        kind = product.kind.defects[int(rng.integers(len(product.kind.defects)))]
        good = draw(product, station, k, size=size)
        bad = draw(product, station, k, defect=kind, size=size)
        areas[k] = bad.mask.sum() / max(int(bad.silhouette.sum()), 1)
        before, after = (
            cv2.cvtColor(image.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for image in (good, bad)
        )
        distance = np.sqrt(np.square(after - before).sum(axis=2))
        contrasts[k] = distance[bad.mask].mean() if bad.mask.any() else 0.0
        visibility[k] = bad.visibility or 0.0
        kinds.append(kind)
    names = np.array(kinds)
    counts, _ = np.histogram(areas, BINS)
    return {
        "images": n,
        "size": size,
        "area_fraction": {
            **_percentiles(areas),
            "within_0.1_to_5_percent": float(((areas >= 0.001) & (areas <= 0.05)).mean()),
        },
        "histogram": {"upper_edges": list(BINS[1:]), "shares": [float(c) / max(n, 1) for c in counts]},
        "contrast_lab": _percentiles(contrasts),
        "invisible": float((contrasts < 3).mean()),
        "failed": float((visibility < 1).mean()),
        "unclaimed": float((visibility < CLAIMED).mean()),
        "defects": {
            kind: {
                "count": int((names == kind).sum()),
                "median_area_fraction": float(np.median(areas[names == kind])),
                "median_contrast": float(np.median(contrasts[names == kind])),
            }
            for kind in sorted(set(kinds))
        },
    }


def _percentiles(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(values, q)) for q in (5, 25, 50, 75, 95)}
