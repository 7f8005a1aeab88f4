"""``CIRCUIT_BOARD``: a laminate with traces, vias and soldered components."""

from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers
from adapters.simulator.colour import RGB, mix, pick, vary
from adapters.simulator.families.routing import CELL, STEP, Lattice, connect
from adapters.simulator.family import Change, Design, Family

Box = tuple[float, float, float, float]  # middle x and y, half width, half height

_DARK = (0.05, 0.05, 0.055)
_BLACK: RGB = (0.16, 0.16, 0.17)  # lighter than black solder mask, so that it stands out from it
_BODIES: dict[str, tuple[RGB, RGB, RGB]] = {
    "chip": (_BLACK, _BLACK, _BLACK),
    "row": (_BLACK, _BLACK, _BLACK),
    "led": ((0.9, 0.85, 0.6), (0.8, 0.2, 0.2), (0.85, 0.9, 0.85)),
    "resistor": ((0.12, 0.12, 0.13), (0.62, 0.50, 0.36), (0.25, 0.28, 0.40)),
}
_MASKS = {
    "green": (0.07, 0.33, 0.18),
    "blue": (0.07, 0.18, 0.44),
    "red": (0.52, 0.09, 0.10),
    "black": (0.09, 0.10, 0.11),
}
_PAD = (0.80, 0.68, 0.36)
_TIN = (0.74, 0.75, 0.77)
_SILK: RGB = (0.84, 0.84, 0.82)
_PRINT = 0.028  # height of the components' names


# Places a component takes, and how far its body and solder reach, in lattice steps.
_SPANS: dict[str, tuple[int, int]] = {"row": (3, 1), "can": (1, 2), "resistor": (1, 1), "led": (1, 1)}
_REACH: dict[str, tuple[int, int]] = {"row": (8, 1), "can": (2, 3), "resistor": (2, 1), "led": (2, 1)}
_LETTERS = {"chip": "U", "row": "J", "can": "C", "resistor": "R", "led": "D"}


def _board_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, tuple(_MASKS))
    w, h = float(rng.uniform(0.68, 0.84)), float(rng.uniform(0.58, 0.82))
    columns, rows = int((2 * w - 0.08) / (CELL[0] * STEP)), int((2 * h - 0.2) / (CELL[1] * STEP))
    # The strip below the lattice is for the board's name.
    lattice = Lattice(columns, rows, (-columns * CELL[0] * STEP / 2, -0.06 - rows * CELL[1] * STEP / 2))
    for place in ((0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)):
        lattice.keep_out(place)
    parts = _large_parts(rng, lattice) + _small_parts(rng, lattice)
    for k, part in enumerate(parts):
        part["name"] = f"{_LETTERS[part['kind']]}{k + 1}"
    pins = [pin for part in parts for pin in part["pins"]]
    return {
        "colour": colour,
        "material": "epoxy laminate",
        "mask": vary(rng, _MASKS[colour], 0.03),
        "size": (w, h),
        "parts": parts,
        "traces": connect(lattice, rng, pins, int(rng.integers(10, 18))),
        "gloss": float(rng.uniform(0.1, 0.3)),
        "text": f"REV {'ABCDEF'[int(rng.integers(6))]}{int(rng.integers(1, 9))}",
    }


def _large_parts(rng: np.random.Generator, lattice: Lattice) -> list[dict[str, Any]]:
    """Chips, a row of pins, capacitors: each where there is room for it."""
    kinds = ["row"] * int(rng.integers(0, 2)) + ["chip"] * int(rng.integers(1, 3))
    kinds += ["can"] * int(rng.integers(0, 3))
    parts = []
    for kind in kinds:
        span = (int(rng.integers(2, 4)), int(rng.integers(2, 4))) if kind == "chip" else _SPANS[kind]
        places = lattice.room(span)
        if kind == "row":  # stands at an edge
            places = [place for place in places if place[1] in (0, lattice.rows - 1)]
        if places:
            place = places[int(rng.integers(len(places)))]
            parts.append(_placed(lattice, kind, place, span, 0))
    return parts


def _small_parts(rng: np.random.Generator, lattice: Lattice) -> list[dict[str, Any]]:
    """Resistors and diodes on the places left; those of one row are alike."""
    lamps = int(rng.integers(lattice.rows))
    parts = []
    for j in range(lattice.rows):
        kind, tone = "led" if j == lamps else "resistor", int(rng.integers(3))
        filled = rng.random(lattice.columns) < (0.4 if kind == "led" else 0.65)
        places = [(i, j) for i in range(lattice.columns) if filled[i] and (i, j) not in lattice.taken]
        parts += [_placed(lattice, kind, place, _SPANS[kind], tone) for place in places]
    return parts


def _placed(
    lattice: Lattice, kind: str, place: tuple[int, int], span: tuple[int, int], tone: int
) -> dict[str, Any]:
    """A component on its places, with the lattice points where traces reach its pads."""
    x, y = lattice.put(place, span)
    sizes = {"row": (0.32, 0.045), "can": (0.085, 0.085), "resistor": (0.068, 0.03), "led": (0.06, 0.03)}
    if kind == "chip":
        size = (0.08 * span[0], 0.08 * span[1] - 0.07)
        reach = (2 * span[0], 2 * span[1] - 1)
        pins = [(x + k, y + side * reach[1]) for k in range(1 - reach[0], reach[0], 2) for side in (-1, 1)]
    else:
        size, reach = sizes[kind], _REACH[kind]
        pins = [(x + side * 2, y) for side in (-1, 1)]
    if kind == "row":
        pins = [(x + k, y + 1) for k in range(-7, 8, 2)]
        lattice.block((x, y - 2), (1, 0))  # its name
    lattice.block((x, y), reach)
    return {"kind": kind, "box": (*lattice.unit((x, y)), *size), "tone": tone, "pins": pins}


def _solder(board: Canvas, box: Box, gloss: float) -> None:
    x, y, w, h = box
    pad = shapes.moved(shapes.rectangle(w, h, min(w, h) * 0.4), (x, y))
    board.polygon(pad, _TIN, relief=FLAT + 10, gloss=gloss)


def _pads(part: dict[str, Any]) -> list[Box]:
    """Where a component is soldered: (x, y, half width, half height) each."""
    x, y, a, b = part["box"]
    kind = part["kind"]
    if kind in ("resistor", "led"):
        return [(x + side * a * 0.85, y, a * 0.36, b * 0.95) for side in (-1, 1)]
    if kind == "chip":
        count = round(a / STEP)
        places = [(2 * k - count + 1) * STEP for k in range(count)]
        return [(x + f, y + side * (b + 0.012), 0.018, 0.028) for side in (-1, 1) for f in places]
    count = 8 if kind == "row" else 2
    return [(x + (2 * k - count + 1) * STEP, y, 0.025, 0.025) for k in range(count)]


def _component(
    board: Canvas, part: dict[str, Any], shift: tuple[float, float], turn: float, solder: float
) -> None:
    """The body of one component over its solder, which shines by `solder`."""
    x, y, a, b = part["box"]
    kind = part["kind"]
    centre = (x + shift[0], y + shift[1])
    pads = _pads(part)
    for pad in pads:
        _solder(board, pad, solder)
    if kind == "can":
        board.disc(centre, a, _DARK, relief=FLAT + 20)
        board.disc(centre, a * 0.92, _TIN, relief=FLAT + 40, gloss=0.4)
        mark = np.clip(shapes.circle(a * 0.9, 40), (-1, -1), (-a * 0.35, 1))
        board.polygon(shapes.moved(mark, centre), (0.2, 0.2, 0.24), relief=FLAT + 40)
        return
    slim = (1.0, 1.0) if kind in ("chip", "row") else (0.66, 0.9)
    outline = shapes.turned(shapes.rectangle(a * slim[0], b * slim[1]), turn, centre)
    body = _BODIES[kind][part["tone"]]
    board.polygon(outline, body, relief=FLAT + (40 if kind == "chip" else 28), gloss=0.15)
    if kind == "chip":
        notch = shapes.turned(np.array([(0.03 - a, 0.03 - b)]), turn, centre)[0]
        board.disc((float(notch[0]), float(notch[1])), 0.014, (0.3, 0.3, 0.3), relief=FLAT + 36)
        board.text(part["name"] + "74", centre, 0.05, (0.55, 0.55, 0.55))
    elif kind == "row":
        for pad in pads:
            board.disc(pad[:2], 0.022, _PAD, relief=FLAT + 44, gloss=0.5)


def _empty_place(board: Canvas, part: dict[str, Any]) -> None:
    """Bare pads and the printed outline that a component would hide."""
    x, y, a, b = part["box"]
    body = shapes.circle(a) if part["kind"] == "can" else shapes.rectangle(a, b)
    board.stroke(shapes.moved(body, (x, y)), 0.01, _SILK, closed=True)
    for px, py, pw, ph in _pads(part):
        board.polygon(shapes.moved(shapes.rectangle(pw, ph), (px, py)), _PAD, relief=FLAT + 2, gloss=0.4)


def _silk(board: Canvas, part: dict[str, Any]) -> None:
    """The component's name, printed in the gap above it; chips bear theirs."""
    x, y, _, b = part["box"]
    # A letter of less than about three pixels would be drawn larger and run into its neighbours.
    if part["kind"] != "chip" and board.n * _PRINT >= 5:
        board.text(part["name"], (x, y - b - 0.028), _PRINT, _SILK, fade=0.7)


def _bare_board(design: Design, n: int) -> Canvas:
    """The laminate with traces, vias, mounting holes and its name."""
    mask = design["mask"]
    w, h = design["size"]
    board = Canvas(n, mix(mask, _DARK, 0.3), design["gloss"])
    board.polygon(shapes.rectangle(w, h, 0.03), relief=FLAT - 12, alpha=255)
    board.polygon(shapes.rectangle(w - 0.012, h - 0.012, 0.03), mask, relief=FLAT)
    copper = mix(mask, (0.55, 0.75, 0.45), 0.22)
    for points in design["traces"]:
        board.stroke(points, 0.014, copper, relief=FLAT + 3)
    for sx in (-1, 1):
        for sy in (-1, 1):
            board.disc((sx * (w - 0.08), sy * (h - 0.08)), 0.055, _PAD, relief=FLAT + 3, gloss=0.6)
            board.disc((sx * (w - 0.08), sy * (h - 0.08)), 0.036, _DARK, relief=FLAT - 60, gloss=0.0)
    board.text(design["text"], (0, h - 0.07), 0.05, _SILK)
    return board


def _bridge(board: Canvas, part: dict[str, Any], change: Change) -> None:
    """Solder that ran from one pad to the next ones."""
    pads = _pads(part)
    side = int(change.rng.integers(2)) * len(pads) // 2 if part["kind"] == "chip" else 0
    last = len(pads) // 2 if part["kind"] == "chip" else len(pads)
    reach = min(1 + int(2.5 * change.extent), last - 1)
    first = side + int(change.rng.integers(last - reach))
    # Past the body of a small part, where two pads are all there is.
    below = part["box"][3] * 0.9 if last == 2 else 0.0
    start, end = np.array(pads[first][:2]), np.array(pads[first + reach][:2])
    for along in np.linspace(0.0, 1.0, 2 + 2 * reach):
        x, y = start + (end - start) * along + (0.0, below) + change.rng.normal(0, 0.006, 2)
        size = (0.024 + 0.014 * change.extent) * float(change.rng.uniform(0.85, 1.2))
        board.disc((float(x), float(y)), size, _TIN, relief=FLAT + 34, gloss=0.7)


def _struck(parts: list[dict[str, Any]], change: Change | None) -> int:
    """The component that a defect hits; -1 without one. Solder under a capacitor would not be seen."""
    if change is None:
        return -1
    fit = [k for k, part in enumerate(parts) if change.kind != "solder bridge" or part["kind"] != "can"]
    return fit[int(change.rng.integers(len(fit)))]


def _draw_board(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    board = _bare_board(design, n)
    parts = design["parts"]
    struck = _struck(parts, change)
    # Good parts differ only in placement tolerance and solder.
    play = rng.normal(0, 0.0008, (len(parts), 3))
    solder = float(rng.uniform(0.4, 0.55))
    for part in parts:
        _silk(board, part)
    for k, part in enumerate(parts):
        a, b = part["box"][2:]
        shift, turn = (float(play[k, 0]), float(play[k, 1])), float(play[k, 2]) * 4
        hit = change.kind if change is not None and k == struck else ""
        if hit == "bent" and change is not None:
            side = float(change.rng.choice((-1, 1)))
            turn += side * (0.25 + 0.9 * change.extent)
            shift = (shift[0] + side * (0.015 + min(a, b) * 0.4), shift[1] + 0.012 + min(a, b) * 0.3)
        if hit == "missing part":
            _empty_place(board, part)
        else:
            _component(board, part, shift, turn, solder)
    if change is not None and change.kind == "solder bridge":
        _bridge(board, parts[struck], change)
    layers = board.layers(shine=24, thickness=0.03)
    grain = noise.white(rng, n) * np.float32(0.012) + noise.streaks(rng, n, 0.1, 0.006) * np.float32(0.008)
    layers.albedo[:] = np.clip(layers.albedo * (1 + grain[..., None]), 0, 1)
    return layers


CIRCUIT_BOARD = Family(
    "circuit_board",
    "circuit board",
    "object",
    (
        "missing part",
        "bent",
        "solder bridge",
        "scratch",
        "contamination",
        "crack",
        "stain",
        "discolouration",
        "chipped edge",
    ),
    _board_design,
    _draw_board,
    ("printed circuit board", "PCB", "electronic board"),
    frozenset({"missing part", "bent", "solder bridge"}),
)
