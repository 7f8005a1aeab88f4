"""A family of products: what it is called, what can go wrong with it, how it is designed and drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from adapters.simulator.canvas import Layers

Design = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A defect of the build itself, which the family draws: a missing part, a misprint, something bent.

    `rng` decides where; `extent` (0 to 1) how much; `strength` (0 to 1) how plainly.
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
    part of it on an n x n canvas: what it takes from `rng` is the legitimate play between parts. `changes`
    are the defects that `draw` makes itself; the other ones of `defects` are drawn over the finished part.
    `turns`: how far a loose part may be turned, in degrees. `coarse`: the size, in canvases, of the patches
    that its texture is made of where they are so large that a defect may hide among them; it has to stand
    out from these too.
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
