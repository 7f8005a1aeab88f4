"""``white``, ``clouds``, ``streaks``, ``fractal``: texture fields, (n, n) float32, mean 0, deviation 1.

Making noise is expensive and cutting it out is cheap. So each kind of field is made once, larger than any
image, and every part takes a window of it at a random place, mirrored at random. Lengths are fractions of the
canvas, so that a texture looks the same at every size.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from adapters.simulator.seeds import generator

Field = npt.NDArray[np.float32]

_POOL = 2.5  # side of a pool in canvases


def _unit(field: npt.NDArray[np.float32]) -> Field:
    field = field - np.float32(field.mean())
    return np.asarray(field / np.float32(field.std() + 1e-9), np.float32)


@lru_cache(maxsize=96)
def _pool(n: int, across: float, along: float) -> Field:
    """Noise with blobs `across` wide and `along` high, in fractions of the canvas; (0, 0): white noise."""
    side = int(n * _POOL)
    rng = generator("pool", n, int(across * 1e6), int(along * 1e6))
    cells_x = side if across * n < 1.5 else max(int(side / (across * n)), 4)
    cells_y = side if along * n < 1.5 else max(int(side / (along * n)), 4)
    seed = rng.standard_normal((cells_y, cells_x), np.float32)
    if (cells_x, cells_y) != (side, side):
        return _unit(np.asarray(cv2.resize(seed, (side, side), interpolation=cv2.INTER_CUBIC), np.float32))
    return _unit(seed)


def _cut(pool: Field, rng: np.random.Generator, n: int) -> Field:
    room = pool.shape[0] - n
    y, x, flips = (int(v) for v in rng.integers((room, room, 4)))
    window = pool[y : y + n, x : x + n]
    if flips & 1:
        window = window[::-1]
    if flips & 2:
        window = window[:, ::-1]
    return np.ascontiguousarray(window)


def white(rng: np.random.Generator, n: int) -> Field:
    """Independent pixels."""
    return _cut(_pool(n, 0.0, 0.0), rng, n)


def clouds(rng: np.random.Generator, n: int, cell: float) -> Field:
    """Smooth blobs of about `cell` canvases."""
    return _cut(_pool(n, cell, cell), rng, n)


def streaks(
    rng: np.random.Generator, n: int, length: float, width: float = 0.0, vertical: bool = False
) -> Field:
    """Noise drawn out along one axis, as brushing leaves it."""
    across, along = (width, length) if vertical else (length, width)
    return _cut(_pool(n, across, along), rng, n)


@lru_cache(maxsize=24)
def _fractal_pool(n: int, cell: float, octaves: int) -> Field:
    field = np.zeros((int(n * _POOL), int(n * _POOL)), np.float32)
    for octave in range(octaves):
        field += _pool(n, cell / 2**octave, cell / 2**octave) * np.float32(0.6**octave)
    return _unit(field)


def fractal(rng: np.random.Generator, n: int, cell: float, octaves: int = 4) -> Field:
    """Clouds of several sizes, each finer one weaker, the largest `cell` canvases."""
    return _cut(_fractal_pool(n, cell, octaves), rng, n)
