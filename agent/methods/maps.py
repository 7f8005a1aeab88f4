"""``pool_map``, ``regions`` and others: anomaly maps from patches to pixels, to a score and to defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agent.domain.regions import Regions

FloatMap = NDArray[np.float32]


def average_maps(maps: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """Bring (B, h_i, w_i) maps of several scales to (B, size, size) and average them (METHODS 1.4).

    Bilinear with half-pixel centres, as cv2's INTER_LINEAR.
    """
    resized = [
        F.interpolate(m.unsqueeze(1), size=(size, size), mode="bilinear", align_corners=False).squeeze(1)
        for m in maps
    ]
    return torch.stack(resized).mean(dim=0)


def pool_map(maps: torch.Tensor, fraction: float, inspected: Sequence[Regions] = ()) -> torch.Tensor:
    """Image scores of (B, H, W) maps: the mean of the highest ``fraction`` of pixels, 0 the maximum.

    Args:
        inspected: of each map, which of its pixels count; none given: all.
    """
    if any(inspected):
        each = [inside(one, regions)[None] for one, regions in zip(maps, inspected, strict=True)]
        return torch.cat([highest_mean(values, round(fraction * values.shape[1])) for values in each])
    flat = maps.flatten(1)
    return highest_mean(flat, round(fraction * flat.shape[1]))


def inside(values: torch.Tensor, inspected: Regions) -> torch.Tensor:
    """(n,) the values of an (h, w) map that are inspected, in their order."""
    if not inspected:
        return values.flatten()
    return values[torch.from_numpy(inspected.cells(*values.shape).copy()).to(values.device)]


def highest_mean(values: torch.Tensor, count: int) -> torch.Tensor:
    """(B,) means of the ``count`` highest of (B, n) values, the maximum if ``count`` is below one."""
    return values.topk(max(1, count), dim=1).values.mean(dim=1)


def harmonic_mean(values: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """n over the sum of reciprocals along ``dim``; zero if one of the values is zero."""
    return values.shape[dim] / values.reciprocal().sum(dim=dim)


def window_map(values: torch.Tensor, covered: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Harmonic mean, for each patch, over the windows that cover it (WinCLIP, METHODS section 2).

    Args:
        values: (B, n) one non-negative value a window.
        covered: (n, k) which patches each window covers, counted row by row; each patch at least once.

    Returns:
        (B, h, w).
    """
    count = _covering(torch.ones_like(values[:1]), covered, grid)
    return count / _covering(values.reciprocal(), covered, grid)


def window_mean(vectors: torch.Tensor, covered: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, h, w, D) unit vectors: for each patch the mean of the (B, n, D) windows that cover it."""
    batch, _, channels = vectors.shape
    planes = _covering(vectors.permute(0, 2, 1).flatten(0, 1), covered, grid)
    return F.normalize(planes.view(batch, channels, *grid), dim=1).permute(0, 2, 3, 1)


def _covering(values: torch.Tensor, covered: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, h, w) sums of the (B, n) values of the windows that cover each patch."""
    sums = values.new_zeros(len(values), grid[0] * grid[1])
    sums.index_add_(1, covered.flatten(), values.repeat_interleave(covered.shape[1], dim=1))
    return sums.view(-1, *grid)


def to_pixels(anomaly_map: torch.Tensor, width: int, height: int) -> FloatMap:
    """An (h, w) map at the frame's (height, width), bilinear."""
    grid = np.ascontiguousarray(anomaly_map.detach().cpu().float().numpy())
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Region:
    """A connected region of a thresholded map, before it has a name."""

    score: float
    bbox: tuple[int, int, int, int]
    area_px: int


def regions(
    pixels: FloatMap, threshold: float, *, minimum_area: float, most: int, outline: float = 0.0
) -> tuple[NDArray[np.uint8], list[Region]]:
    """Connected regions (8 neighbours) above ``threshold``, the highest score first.

    Args:
        pixels: (H, W) anomaly map.
        minimum_area: smallest region, as a fraction of the frame; specks below it are left out.
        most: at most so many regions (and at most 255: the mask has 8 bits).
        outline: a region keeps its pixels above this share of its own highest one. A threshold set
            from good parts is low against a plain defect, whose halo would be outlined with it.

    Returns:
        (H, W) labels, i for the i-th region, and the regions.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (pixels > threshold).astype(np.uint8), connectivity=8
    )
    smallest = max(1.0, minimum_area * pixels.size)
    found: list[tuple[float, slice, slice, NDArray[np.bool_]]] = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        if area < smallest:
            continue
        rows, columns = slice(y, y + h), slice(x, x + w)
        window, inside = pixels[rows, columns], labels[rows, columns] == label
        peak = float(window[inside].max())
        found.append((peak, rows, columns, inside & (window >= outline * peak)))
    found.sort(key=lambda item: -item[0])
    mask = np.zeros(pixels.shape, dtype=np.uint8)
    kept: list[Region] = []
    for index, (peak, rows, columns, inside) in enumerate(found[: min(most, 255)], start=1):
        mask[rows, columns][inside] = index
        kept.append(Region(peak, _box(inside, rows.start, columns.start), int(inside.sum())))
    return mask, kept


def _box(inside: NDArray[np.bool_], top: int, left: int) -> tuple[int, int, int, int]:
    x, y, w, h = cv2.boundingRect(inside.astype(np.uint8))
    return left + x, top + y, w, h
