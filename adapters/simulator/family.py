"""``Family``: one kind of product, with its names, its defects, its design and its drawing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from adapters.simulator.canvas import Layers

Design = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A defect of the build itself, which the family draws: a missing part, a misprint, something bent.

    `rng` decides the place, `extent` (0 to 1) the amount and `strength` (0 to 1) the contrast.
    """

    kind: str
    rng: np.random.Generator
    extent: float
    strength: float


Designer = Callable[[np.random.Generator], dict[str, Any]]
Drawer = Callable[[Design, np.random.Generator, int, Change | None], Layers]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of product.

    `design` fixes a variant (SKU); its result must hold the words "colour" and "material". `draw` draws one
    part of it on an n x n canvas; `rng` gives the legitimate play between parts. `changes` are the defects
    that `draw` makes itself; the other `defects` are drawn over the finished part. `turns`: how far a loose
    part may be turned, in degrees. `coarse`: the size, in canvases, of the patches of a texture if a defect
    may hide among them; the defect must stand out from these too.
    """

    name: str
    noun: str
    kind: Literal["object", "surface"]
    defects: tuple[str, ...]
    design: Designer
    draw: Drawer
    synonyms: tuple[str, ...] = ()
    changes: frozenset[str] = frozenset()
    turns: float = 180.0
    coarse: float = 0.0
