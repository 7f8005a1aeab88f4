"""``Lattice``: places of a circuit board's components and the routes of its traces, on one lattice.

A place is a cell of `CELL` lattice steps; the lattice lines between the cells stay free of components, so
that traces have channels to run in. Lattice points are (column, row) integers, from the upper left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

STEP = 0.04  # units from one lattice point to the next
CELL = (6, 4)  # lattice steps a place is wide and high

Node = tuple[int, int]
Path = list[tuple[float, float]]

_WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def _between(a: Node, b: Node) -> Iterator[Node]:
    """The lattice points of a straight piece, both ends included."""
    length = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    for k in range(length + 1):
        yield (a[0] + (b[0] - a[0]) * k // max(length, 1), a[1] + (b[1] - a[1]) * k // max(length, 1))


@dataclass(slots=True)
class Lattice:
    """Places and traces of a board with `columns` x `rows` places, its upper left corner at `origin` (units).

    `taken` are the places that have a component, `blocked` the lattice points where no trace may run.
    """

    columns: int
    rows: int
    origin: tuple[float, float]
    taken: set[Node] = field(default_factory=set)
    blocked: set[Node] = field(default_factory=set)

    def unit(self, node: Node) -> tuple[float, float]:
        """A lattice point in units."""
        return self.origin[0] + node[0] * STEP, self.origin[1] + node[1] * STEP

    def keep_out(self, place: Node) -> None:
        """Neither component nor trace on this place."""
        self.taken.add(place)
        self.block((place[0] * CELL[0] + 3, place[1] * CELL[1] + 2), (3, 2))

    def block(self, middle: Node, reach: Node) -> None:
        """No trace within `reach` steps of a point."""
        for i in range(-reach[0], reach[0] + 1):
            self.blocked.update((middle[0] + i, middle[1] + j) for j in range(-reach[1], reach[1] + 1))

    def put(self, place: Node, span: Node) -> Node:
        """Take `span` places from `place` on; returns the lattice point of their middle."""
        self.taken.update((place[0] + i, place[1] + j) for i in range(span[0]) for j in range(span[1]))
        return (
            place[0] * CELL[0] + span[0] * CELL[0] // 2,
            place[1] * CELL[1] + span[1] * CELL[1] // 2,
        )

    def room(self, span: Node) -> list[Node]:
        """The places from which `span` places are free."""
        return [
            (i, j)
            for i in range(self.columns - span[0] + 1)
            for j in range(self.rows - span[1] + 1)
            if not any((i + k, j + m) in self.taken for k in range(span[0]) for m in range(span[1]))
        ]

    def _open(self) -> set[Node]:
        wide, high = self.columns * CELL[0] + 1, self.rows * CELL[1] + 1
        return {(i, j) for i in range(wide) for j in range(high)} - self.blocked

    def route(self, start: Node, goals: list[Node]) -> tuple[Path, Node]:
        """Lay a trace with few bends to one of the goals; it crosses no other. Returns it and where it ends.

        If there is no way, the trace is empty and ends at the start.
        """
        free = self._open() | set(goals)
        came: dict[Node, Node | None] = {start: None}
        queue = [start]
        for node in queue:
            for across, down in _WAYS:
                ahead = (node[0] + across, node[1] + down)
                while ahead in free and ahead not in came:
                    came[ahead] = node
                    if ahead in goals:
                        return self._lay(came, ahead), ahead
                    queue.append(ahead)
                    ahead = (ahead[0] + across, ahead[1] + down)
        return [], start

    def _lay(self, came: dict[Node, Node | None], goal: Node) -> Path:
        corners = [goal]
        while (before := came[corners[-1]]) is not None:
            self.blocked.update(_between(before, corners[-1]))
            corners.append(before)
        return _mitred([self.unit(node) for node in corners])


def _mitred(points: Path) -> Path:
    """Bends of 90 degrees become two of 45, as a router lays them."""
    path = [points[0]]
    for k in range(1, len(points) - 1):
        here = np.array(points[k])
        for other in (points[k - 1], points[k + 1]):
            away = np.array(other) - here
            x, y = here + away / np.linalg.norm(away) * 0.75 * STEP
            path.append((float(x), float(y)))
    return [*path, points[-1]]


def connect(lattice: Lattice, rng: np.random.Generator, pins: list[Node], count: int) -> list[Path]:
    """Up to `count` traces, each from a pin to one of the nearest others that is still free."""
    free = [pins[int(k)] for k in rng.permutation(len(pins))]
    paths: list[Path] = []
    while len(free) > 1 and len(paths) < count:
        start = free.pop()
        near = sorted(free, key=lambda pin: abs(pin[0] - start[0]) + abs(pin[1] - start[1]))
        # Not the very next ones: these are the same component's.
        path, end = lattice.route(start, near[2:8])
        if path:
            free.remove(end)
            paths.append(path)
    return paths
