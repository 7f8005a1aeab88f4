"""Coordinates of a canvas, made once for each size; nobody may write into them."""

from functools import lru_cache

import numpy as np

from adapters.simulator.canvas import Plane


@lru_cache(maxsize=4)
def units(n: int) -> tuple[Plane, Plane]:
    """x and y in units, each (n, n), from -1 to 1."""
    line = np.linspace(-1, 1, n, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    for plane in (x, y):
        plane.flags.writeable = False
    return x, y


@lru_cache(maxsize=4)
def polar(n: int) -> tuple[Plane, Plane]:
    """Distance from the middle in units and angle in radians (-pi to pi), each (n, n)."""
    x, y = units(n)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    for plane in (radius, angle):
        plane.flags.writeable = False
    return radius, angle
