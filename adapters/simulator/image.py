"""``draw``: one image of one part, with or without a defect and its exact mask."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from adapters.simulator.canvas import Layers
from adapters.simulator.defects import DEFECTS, Damage
from adapters.simulator.family import Change, Family
from adapters.simulator.render import Pixels, Window, develop, margin, pose, render, sensor_noise, warp
from adapters.simulator.seeds import generator

if TYPE_CHECKING:
    from adapters.simulator.product import Product
    from adapters.simulator.station import Exposure, Station

AREA = (0.001, 0.05)  # share of the silhouette that a defect aims at, log-uniform
STRENGTH = (0.22, 1.0)  # contrast of a defect, log-uniform: hardly to plainly visible
SEEN_LEVELS = 4.0  # a pixel has changed when a channel moved by this much of 255, noise apart
SEEN_PEAK = 0.15  # and by this share of the defect's strongest change
SEEN_MOST = 10.0  # but at most by this: what stays out of the mask stays out of the image
VISIBLE_LAB = 7.0  # mean Lab distance under the mask that counts as visible, from 1 % of the part upwards
VISIBLE_NOISE = 1.5  # the same, in deviations of the fine texture and the sensor's noise around it
TRIES = 7
_FINE = 7  # pixels: texture of this size and finer hides a defect of any family
_RIM = np.ones((5, 5), np.uint8)  # around the silhouette: what the lens blurs beyond it

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Image:
    """One drawn part.

    image: (H, W, 3) uint8 RGB. mask: (H, W) bool, the pixels that the defect changed; outside them the image
    equals the good image of the same arguments. silhouette: (H, W) bool, where the part is or should be.
    visibility: how plainly the defect shows, as a share of what `draw` requires (1 and more: it passed); None
    for a good part.
    """

    image: npt.NDArray[np.uint8]
    mask: Mask
    silhouette: Mask
    product: "Product"
    defect: str | None
    attributes: dict[str, str]
    visibility: float | None = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try at a defect: the window it lies in, the new levels there, what changed, how visible it is."""

    window: Window
    after: Pixels
    mask: Mask
    alpha: npt.NDArray[np.float32]
    visibility: float
    share: float


def random_defect(product: "Product", seed: int) -> str:
    """One of the kinds of defect that make sense for the product, each as likely."""
    kinds = product.kind.defects
    return kinds[int(generator("defect", product.family, product.seed, seed).integers(len(kinds)))]


def draw(
    product: "Product", station: "Station", seed: int, *, defect: str | None = None, size: int = 256
) -> Image:
    """The image of part number `seed` of a product at a station, `size` pixels square.

    The same arguments give the same image. A defective image is the good one of the same seed with the
    defect added. Its area aims at 0.1 % to 5 % of the silhouette and its strength at 0.22 to 1 of what its
    kind allows, both log-uniformly. The mean Lab distance under the mask must reach `VISIBLE_LAB` (twice as
    much for the smallest) and `VISIBLE_NOISE` deviations of the fine texture and the noise around it;
    otherwise it is drawn again, elsewhere and stronger, up to `TRIES` times; the most visible try is kept.
    The image's `visibility` states the result.

    Raises:
        ValueError: the family does not have the defect.
    """
    family = product.kind
    if defect is not None and defect not in family.defects:
        raise ValueError(
            f"a {family.noun} has no defect {defect!r}; it may have: {', '.join(family.defects)}"
        )
    exposure = station.exposure(seed, family)
    layers = family.draw(product.design, generator("part", product.family, product.seed, seed), size, None)
    whole = Window(0, 0, size, size)
    clean, alpha = render(layers, exposure, size, whole)
    grain = sensor_noise(generator("noise", station.seed, product.seed, seed), size)
    image = develop(clean, grain, exposure)
    mask = np.zeros((size, size), np.bool_)
    silhouette = alpha > 0.5
    visibility = None
    if defect is not None:
        best = _best(product, layers, exposure, seed, defect, clean, silhouette)
        rows, columns = best.window.slices
        changed = clean.copy()
        changed[rows, columns] = best.after
        mask[rows, columns] = best.mask
        image = np.where(mask[..., None], develop(changed, grain, exposure), image)
        silhouette[rows, columns] |= best.alpha > 0.5
        visibility = best.visibility
    return Image(image, mask, silhouette, product, defect, product.attributes, visibility)


def _best(
    product: "Product",
    layers: Layers,
    exposure: "Exposure",
    seed: int,
    defect: str,
    clean: Pixels,
    silhouette: Mask,
) -> _Attempt:
    """Try until the defect is visible and of the intended size; otherwise keep the most visible try."""
    rng = generator("aim", product.family, product.seed, seed, defect)
    size = clean.shape[0]
    least = max(6.0 * (size / 128) ** 2 / max(int(silhouette.sum()), 1), AREA[0] * 0.6)
    target = float(np.exp(rng.uniform(*np.log(AREA))))
    strength = float(np.exp(rng.uniform(*np.log(STRENGTH))))
    share = target
    best: tuple[float, _Attempt] = (-1.0, _nothing(clean, silhouette))
    for attempt in range(TRIES):
        stream = generator("try", product.family, product.seed, seed, defect, attempt)
        after, box = _damage(product, layers, exposure, seed, defect, stream, share, min(strength, 1.0))
        window = _in_image(box, layers, after, exposure, size)
        reach = None if defect in product.kind.changes else cv2.dilate(silhouette.astype(np.uint8), _RIM) > 0
        tried = _look(after, exposure, clean, silhouette, window, reach, product.kind.coarse)
        fits = least <= tried.share <= AREA[1] * 1.6
        if tried.visibility >= 1 and fits:
            return tried
        # Too large is better than invisible, but not by any amount.
        excess = max(tried.share / (AREA[1] * 1.6), 1.0)
        rank = min(tried.visibility, 1.0) * (0.3 if tried.share < least else 1.0) / excess**0.5
        if rank > best[0]:
            best = (rank, tried)
        if tried.visibility < 1:
            strength = min(strength * 1.45, 1.0)
            share = min(share * 1.15, AREA[1])
        if tried.share > AREA[1] * 1.6:
            share *= 0.5
        elif tried.share < least:
            share = min(max(share, AREA[0]) * 1.8, AREA[1])
    return best[1]


def _nothing(clean: Pixels, silhouette: Mask) -> _Attempt:
    """The attempt that changes nothing, which every real one outranks."""
    corner = Window(0, 0, 1, 1)
    alpha = silhouette[:1, :1].astype(np.float32)
    return _Attempt(corner, clean[:1, :1], np.zeros((1, 1), np.bool_), alpha, 0.0, 0.0)


def _damage(
    product: "Product",
    layers: Layers,
    exposure: "Exposure",
    seed: int,
    defect: str,
    rng: np.random.Generator,
    share: float,
    strength: float,
) -> tuple[Layers, Window]:
    """The part with the defect, and the canvas window that it touched."""
    family: Family = product.kind
    n = layers.alpha.shape[0]
    if defect in family.changes:
        # How much is missing, bent or misprinted follows from the area aimed at, on a scale from 0 to 1.
        extent = float(np.clip(np.log(share / AREA[0]) / np.log(AREA[1] / AREA[0]), 0, 1))
        change = Change(defect, rng, extent, strength)
        part = generator("part", product.family, product.seed, seed)
        return family.draw(product.design, part, n, change), Window(0, 0, n, n)
    angle = np.radians(exposure.angle)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    light = (
        cos * exposure.light[0] + sin * exposure.light[1],
        cos * exposure.light[1] - sin * exposure.light[0],
    )
    damage = Damage(layers.copy(), rng, share, strength, light, seen=_seen(exposure, n, family))
    DEFECTS[defect](damage)
    return damage.layers, damage.touched


def _seen(exposure: "Exposure", n: int, family: Family) -> Window:
    """The window of the canvas that the camera sees; a loose surface lies partly outside the image."""
    if family.kind == "object":
        return Window(0, 0, n, n)
    half = n / 2 / exposure.scale * 0.72
    x = n / 2 - exposure.shift[0] * n
    y = n / 2 - exposure.shift[1] * n
    return Window(max(int(x - half), 0), max(int(y - half), 0), min(int(x + half), n), min(int(y + half), n))


def _in_image(box: Window, before: Layers, after: Layers, exposure: "Exposure", size: int) -> Window:
    """The window of the image that a change in a canvas window can reach."""
    n = before.alpha.shape[0]
    corners = np.array([(x, y, 1.0) for x in (box.left, box.right) for y in (box.top, box.bottom)])
    placed = corners @ pose(exposure, n, size).T
    low, high = np.floor(placed.min(0)).astype(int), np.ceil(placed.max(0)).astype(int)
    window = Window(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1)
    shape_kept = before.alpha is after.alpha or box.right - box.left < n
    reach = 8 if shape_kept else margin(exposure, before.thickness, size)
    window = Window(
        min(max(window.left, 0), size - 1),
        min(max(window.top, 0), size - 1),
        max(min(window.right, size), 1),
        max(min(window.bottom, size), 1),
    )
    return window.grown(reach, size)


def _largest(three: Pixels) -> npt.NDArray[np.float32]:
    """The largest of the three channels of every pixel."""
    red, green, blue = cv2.split(three)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def _lab(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(count, 3) levels 0-255 as CIE Lab."""
    fractions = np.minimum(levels[None] / np.float32(255), 1)
    return np.asarray(cv2.cvtColor(fractions, cv2.COLOR_RGB2LAB)[0], np.float32)


def _look(
    after: Layers,
    exposure: "Exposure",
    clean: Pixels,
    silhouette: Mask,
    window: Window,
    reach: Mask | None,
    coarse: float,
) -> _Attempt:
    """Render the window with the defect and compare it with the good image, within `reach`.

    A piece broken out of an edge is missing from the part's shadow too, but that is not the defect.
    """
    size = clean.shape[0]
    wide = window.grown(margin(exposure, after.thickness, size), size)
    levels, alpha = render(after, exposure, size, wide)
    inner = (
        slice(window.top - wide.top, window.bottom - wide.top),
        slice(window.left - wide.left, window.right - wide.left),
    )
    levels, alpha = levels[inner], alpha[inner]
    before = clean[window.slices]
    moved = np.asarray(_largest(np.abs(levels - before)), np.float32)
    peak = float(moved.max())
    mask = moved >= max(SEEN_LEVELS, min(SEEN_PEAK * peak, SEEN_MOST))
    if reach is not None:
        mask &= reach[window.slices]
    count = int(mask.sum())
    share = count / max(int(silhouette.sum()), 1)
    if count == 0:
        return _Attempt(window, levels, mask, alpha, 0.0, 0.0)
    change = _lab(levels[mask]) - _lab(before[mask])
    distance = float(np.sqrt(np.square(change).sum(1)).mean())
    texture = _texture(before, mask, _FINE)
    if coarse:
        placed = np.zeros((size, size), np.bool_)
        placed[window.slices] = mask
        texture = max(texture, _texture(clean, placed, 2 * round(coarse * size) + 1))
    read, shot = exposure.noise
    grain = (read + shot * float(np.sqrt(before.mean()))) * 100 / 255
    texture = float(np.hypot(texture, grain))
    # The eye asks for more contrast where there is less area: twice as much at a tenth of a percent.
    small = float(np.clip(-np.log10(max(share, 1e-6) / 0.01), 0, 1))
    needed = max(VISIBLE_LAB * (1 + small), VISIBLE_NOISE * texture)
    return _Attempt(window, levels, mask, alpha, distance / needed, share)


def _texture(levels: Pixels, mask: Mask, side: int) -> float:
    """Deviation of lightness in and around the mask, of all that is finer than `side` pixels."""
    lightness = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY) * np.float32(100 / 255)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    fine = (lightness - cv2.blur(lightness, (side, side)))[near]
    return float(np.sqrt(np.square(fine).mean()))


__all__ = ["Image", "draw", "random_defect", "warp"]
