"""Qualitative sheets: some images of a category as image, truth, map and mask, for people to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

if TYPE_CHECKING:
    from adapters.evaluation.dataset import Sample
    from adapters.evaluation.evaluate import Run
    from agent.domain.frame import Image

TILE = 200
"""Width of a tile in pixels; its height follows the category's first image."""
GAP, MARGIN, CAPTION, FOOT = 4, 14, 20, 62
COLUMNS = 2
GOOD, DEFECTIVE = 4, 12
"""Images of each sort on a sheet, at most."""
AT_THRESHOLD = 0.4
"""Where on the colour scale the threshold lies: there is room above it for plain defects."""
ROBUST = 0.995
"""Without masks the threshold is this quantile of the good images' pixels."""
INK, PALE, PAPER, ALARM = (24, 26, 30), (112, 118, 126), (255, 255, 255), (196, 40, 40)

Tile = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ColourScale:
    """One scale for a whole sheet: a quiet map looks quiet, whatever its own extremes."""

    low: float
    """The median of the good images' pixels: the dark end."""
    threshold: float
    origin: str
    """Where the threshold comes from, in words."""

    @property
    def high(self) -> float:
        """The bright end; what is higher looks the same."""
        return self.low + max(self.threshold - self.low, 1e-12) / AT_THRESHOLD

    def paint(self, values: NDArray[np.float64]) -> Tile:
        """(H, W) values as (H, W, 3) RGB."""
        share = ((values - self.low) / (self.high - self.low)).clip(0.0, 1.0)
        painted = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        return np.asarray(painted[..., ::-1], dtype=np.uint8)


def colour_scale(run: Run) -> ColourScale:
    """Anchored at the threshold of the highest pixel F1 if there are masks, robustly otherwise."""
    values = _quiet_pixels(run)
    low = float(np.median(values))
    if run.pixel_threshold is not None and run.pixel_threshold > low:
        return ColourScale(low, run.pixel_threshold, "the highest pixel F1 on these images")
    threshold = float(np.quantile(values, ROBUST))
    return ColourScale(low, threshold, f"{ROBUST:.1%} of the pixels of good images lie below")


def chosen(run: Run) -> list[int]:
    """Indices of the images to show: good ones first, of each sort the hardest and an even choice.

    Hard are good images with high scores and defective ones with low scores.
    """
    good = [i for i, sample in enumerate(run.samples) if sample.defect is None]
    bad = [i for i, sample in enumerate(run.samples) if sample.defect is not None]
    good.sort(key=lambda i: -run.scores[i])
    bad.sort(key=lambda i: run.scores[i])
    return [*_hardest_and_even(good, GOOD), *_hardest_and_even(bad, DEFECTIVE)]


def write_sheet(run: Run, load: Callable[[Path], Image], path: Path) -> None:
    """Draw the sheet of a run whose method has maps, as PNG. Raises OSError, and what ``load`` raises."""
    indices, scale = chosen(run), colour_scale(run)
    first = load(run.samples[indices[0]].path)
    height = max(40, min(2 * TILE, round(TILE * first.shape[0] / first.shape[1])))
    block = (4 * TILE + 3 * GAP, CAPTION + height)
    rows = -(-len(indices) // COLUMNS)
    size = (
        MARGIN + COLUMNS * (block[0] + MARGIN),
        MARGIN + rows * (block[1] + MARGIN) + FOOT,
    )
    sheet = Pillow.new("RGB", size, PAPER)
    for place, index in enumerate(indices):
        left = MARGIN + (place % COLUMNS) * (block[0] + MARGIN)
        top = MARGIN + (place // COLUMNS) * (block[1] + MARGIN)
        tiles = _tiles(run, index, load(run.samples[index].path), scale, (TILE, height))
        _draw_row(sheet, (left, top), _caption(run.samples[index], run.scores[index]), tiles)
    _draw_foot(sheet, run, scale, size[1] - FOOT)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _hardest_and_even(indices: Sequence[int], most: int) -> list[int]:
    """The first half of ``most`` and the rest spread over what follows; all if they are few."""
    if len(indices) <= most:
        return list(indices)
    head = most // 2
    spread = np.linspace(head, len(indices) - 1, most - head).round().astype(int)
    return [*indices[:head], *(indices[i] for i in spread)]


def _quiet_pixels(run: Run) -> NDArray[np.float64]:
    """Pixels of good images (of all, where none is good), some thousand of each."""
    good = [i for i, sample in enumerate(run.samples) if sample.defect is None]
    taken = []
    for index in good or range(len(run.samples)):
        flat = _map(run, index).ravel()
        taken.append(flat[:: max(1, flat.size // 4096)].astype(np.float64))
    return np.concatenate(taken)


def _tiles(run: Run, index: int, image: Image, scale: ColourScale, size: tuple[int, int]) -> list[Tile]:
    small = cv2.resize(_map(run, index), size, interpolation=cv2.INTER_LINEAR)
    truth = run.truth(index)
    known = None if truth is None else cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    return [
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8),
        _unknown(size) if known is None else _black_and_white(known > 0),
        scale.paint(np.asarray(small, dtype=np.float64)),
        _black_and_white(small >= scale.threshold),
    ]


def _map(run: Run, index: int) -> NDArray[np.float64]:
    values = run.map(index)
    if values is None:
        raise ValueError("a sheet needs a method with maps")
    return values.astype(np.float64)


def _black_and_white(mask: NDArray[np.bool_]) -> Tile:
    return np.repeat((mask.astype(np.uint8) * 255)[..., None], 3, axis=2)


def _unknown(size: tuple[int, int]) -> Tile:
    tile = Pillow.new("RGB", size, (226, 228, 232))
    words = "no mask given"
    ImageDraw.Draw(tile).text(
        (size[0] / 2, size[1] / 2), words, PALE, ImageFont.load_default(13), anchor="mm"
    )
    return np.asarray(tile)


def _caption(sample: Sample, score: float) -> tuple[str, bool]:
    kind = sample.defect or "good"
    return f"{kind} · {sample.path.name} · score {score:.4f}", sample.defect is not None


def _draw_row(
    sheet: Pillow.Image, corner: tuple[int, int], caption: tuple[str, bool], tiles: Sequence[Tile]
) -> None:
    left, top = corner
    words, defective = caption
    colour = ALARM if defective else INK
    ImageDraw.Draw(sheet).text(
        (left, top + CAPTION - 4), words, colour, ImageFont.load_default(14), anchor="ls"
    )
    for column, tile in enumerate(tiles):
        sheet.paste(Pillow.fromarray(tile), (left + column * (TILE + GAP), top + CAPTION))


def _draw_foot(sheet: Pillow.Image, run: Run, scale: ColourScale, top: int) -> None:
    """The colour scale with its three anchors, and what is to be seen."""
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    width, height = 2 * TILE, 14
    ramp = np.linspace(scale.low, scale.high, width)[None].repeat(height, axis=0)
    sheet.paste(Pillow.fromarray(scale.paint(ramp)), (MARGIN, top))
    for share, value, anchor in (
        (0.0, scale.low, "la"),
        (AT_THRESHOLD, scale.threshold, "ma"),
        (1.0, scale.high, "ra"),
    ):
        x = MARGIN + round(share * (width - 1))
        pen.line((x, top, x, top + height + 3), INK)
        pen.text((x, top + height + 5), f"{value:.4g}", INK, font, anchor=anchor)
    pen.text(
        (MARGIN + width + 16, top),
        f"{run.category.name}: image, truth, map, mask. Left end: median of good pixels. "
        f"Tick: threshold of the masks,\n{scale.origin}. Good images with the highest scores first, "
        "then defective ones with the lowest.",
        PALE,
        font,
    )
