"""``dead_leaves``: abstract drawn images of shapes, noise, stripes and glyphs under light, blur and grain.

Features of a photograph's backbone are learned from the statistics of edges, textures and shading, not from
objects; dead-leaves images have these statistics (Lee, Mumford & Huang 2001; Baradad et al. 2021,
"Learning to see by looking at noise"). They widen what the simulated line draws and need nothing but a
seed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_Field = NDArray[np.float32]

_SLOPE = 0.6
"""Of the power law of radii; nearer zero means more large leaves."""
_GLYPHS = "ABCDEFGHKLMNPRSTUVXYZabdefghkmnprstuwxyz0123456789#%&+=/"


def spectral_noise(size: int, rng: np.random.Generator) -> _Field:
    """(size, size) noise of unit deviation whose spectrum falls as 1/f^a, a in [0.3, 2.2], maybe
    stretched.
    """
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None, :]
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 2.0) * (rng.random() < 0.5))
    along = fx * np.cos(angle) + fy * np.sin(angle)
    across = -fx * np.sin(angle) + fy * np.cos(angle)
    radius = np.sqrt(along**2 * stretch + across**2 / stretch) + 1.0 / size
    spectrum = rng.standard_normal(radius.shape) + 1j * rng.standard_normal(radius.shape)
    field = np.fft.irfft2(spectrum * radius ** -rng.uniform(0.3, 2.2), s=(size, size))
    return ((field - field.mean()) / (field.std() + 1e-9)).astype(np.float32)


def stripes(size: int, rng: np.random.Generator) -> _Field:
    """(size, size) periodic pattern in [-1, 1]: stripes, weave or dots of one random period."""
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(48)))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    along = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period) + rng.uniform(0, 6.3))
    kind = rng.integers(3)
    if kind:
        across = np.sin((-x * np.sin(angle) + y * np.cos(angle)) * (2 * np.pi / period))
        along = along * across if kind == 1 else np.maximum(along, across)
    return np.tanh(along * rng.uniform(0.7, 6.0)).astype(np.float32)


def _colour(rng: np.random.Generator, palette: _Field) -> _Field:
    if rng.random() < 0.85:
        return palette[rng.integers(len(palette))] + rng.normal(0, 12, 3).astype(np.float32)
    return _palette(rng, 1)[0]


def _palette(rng: np.random.Generator, count: int) -> _Field:
    """(count, 3) colours, most of them muted, as the colours of things are."""
    chroma = rng.exponential(18) if rng.random() < 0.75 else 80.0
    grey = rng.uniform(10, 245, (count, 1))
    return np.clip(grey + rng.normal(0, chroma, (count, 3)), 0, 255).astype(np.float32)


def _fill(size: int, rng: np.random.Generator, palette: _Field) -> _Field:
    """(size, size, 3) one material: flat, gradient, noise or pattern."""
    base = np.broadcast_to(_colour(rng, palette), (size, size, 3)).astype(np.float32)
    if rng.random() < 0.65:
        pattern = spectral_noise(size, rng) * 0.5 if rng.random() < 0.7 else stripes(size, rng)
        contrast = np.exp(rng.uniform(np.log(2), np.log(60)))
        tint = rng.normal(1, 0.3, 3) if rng.random() < 0.5 else np.ones(3)
        base = base + pattern[..., None] * (contrast * tint).astype(np.float32)
    return base


def _shape(size: int, rng: np.random.Generator) -> Image:
    """(size, size) mask 0..255 of one antialiased leaf; radii follow a power law, as in dead leaves."""
    mask = np.zeros((size, size), np.uint8)
    low, high = size / 60, size / 1.8
    radius = (low**-_SLOPE + rng.random() * (high**-_SLOPE - low**-_SLOPE)) ** (-1 / _SLOPE)
    centre = rng.uniform(-0.1 * size, 1.1 * size, 2)
    kind = rng.integers(6)
    point = (int(centre[0]), int(centre[1]))
    if kind == 0:
        axes = (max(1, int(radius)), max(1, int(radius * rng.uniform(0.3, 1))))
        cv2.ellipse(mask, point, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
    elif kind == 1:
        corners = cv2.boxPoints(
            (tuple(centre), (radius * 2, radius * rng.uniform(0.3, 2)), rng.uniform(0, 90))
        )
        cv2.fillPoly(mask, [corners.astype(np.int32)], 255, cv2.LINE_AA)
    elif kind == 2:
        turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        reach = radius * rng.uniform(0.4, 1.3, len(turns))
        corners = centre + np.stack([np.cos(turns), np.sin(turns)], 1) * reach[:, None]
        cv2.fillPoly(mask, [corners.astype(np.int32)], 255, cv2.LINE_AA)
    elif kind == 3:
        path = np.cumsum(rng.normal(0, radius / 2, (rng.integers(2, 9), 2)), 0) + centre
        cv2.polylines(mask, [path.astype(np.int32)], False, 255, int(rng.integers(1, 6)), cv2.LINE_AA)
    elif kind == 4:
        text = "".join(rng.choice(list(_GLYPHS), rng.integers(1, 7)))
        face, thick = int(rng.choice([0, 1, 2, 3, 4])), int(rng.integers(1, 4))
        cv2.putText(mask, text, point, face, max(0.3, radius / 30), 255, thick, cv2.LINE_AA)
    else:
        cv2.circle(mask, point, max(1, int(radius)), 255, int(rng.integers(-1, 6)) or -1, cv2.LINE_AA)
    return mask


def _cast_shadow(canvas: _Field, mask: Image, rng: np.random.Generator) -> None:
    """Darken what lies beside a leaf, in place."""
    shift = tuple(int(step) for step in rng.integers(-5, 6, 2))
    soft = cv2.GaussianBlur(np.roll(mask, shift, (0, 1)), (0, 0), rng.uniform(0.8, 4))
    canvas *= 1 - soft[..., None].astype(np.float32) * np.float32(rng.uniform(0.1, 0.6) / 255)


def _finish(canvas: _Field, rng: np.random.Generator) -> Image:
    """Light, exposure, blur, grain and compression of a camera."""
    size = canvas.shape[0]
    if rng.random() < 0.6:
        y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
        fall = rng.normal(0, 0.3, 2)
        canvas = canvas * np.clip(1 + fall[0] * x + fall[1] * y, 0.2, 2)[..., None].astype(np.float32)
    if rng.random() < 0.5:
        blurred = cv2.GaussianBlur(canvas, (0, 0), np.exp(rng.uniform(np.log(0.4), np.log(2.5))))
        canvas = np.asarray(blurred, np.float32)
    if rng.random() < 0.25:
        grey = canvas.mean(2, keepdims=True)
        canvas = grey + (canvas - grey) * np.float32(rng.uniform(0, 0.5))
    if rng.random() < 0.5:
        canvas = canvas + rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.exponential(4))
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
        image = np.asarray(decoded, np.uint8)
    return np.ascontiguousarray(image)


def dead_leaves(seed: int, size: int = 192) -> Image:
    """(size, size, 3) RGB image of overlapping textured shapes, the same for the same seed."""
    rng = np.random.default_rng([seed, 0x1EAF])
    palette = _palette(rng, int(rng.integers(2, 7)))
    canvas = _fill(size, rng, palette)
    materials = [_fill(size, rng, palette) for _ in range(int(rng.integers(1, 5)))]
    for _ in range(int(np.exp(rng.uniform(np.log(3), np.log(90))))):
        mask = _shape(size, rng)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        if rng.random() < 0.3:
            _cast_shadow(canvas, mask, rng)
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        alpha = mask[box][..., None].astype(np.float32) / 255
        if rng.random() < 0.4:
            leaf = materials[rng.integers(len(materials))][box]
        else:
            leaf = _colour(rng, palette)
            if rng.random() < 0.3:
                leaf = leaf + (canvas[box] - canvas[box].mean((0, 1))) * np.float32(rng.uniform(0.3, 1))
        canvas[box] = canvas[box] * (1 - alpha) + leaf * alpha
    return _finish(canvas, rng)
