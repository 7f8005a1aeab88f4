"""Circuit board: a laminate with traces, vias and soldered components."""

from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers
from adapters.simulator.colour import RGB, mix, pick, vary
from adapters.simulator.family import Change, Design, Family

Box = tuple[float, float, float, float]  # middle x and y, half width, half height

_DARK = (0.05, 0.05, 0.055)
_BLACK: RGB = (0.11, 0.11, 0.12)
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


def _overlaps(box: Box, boxes: list[Box]) -> bool:
    x, y, w, h = box
    return any(abs(x - a) < w + c + 0.03 and abs(y - b) < h + d + 0.03 for a, b, c, d in boxes)


def _board_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, tuple(_MASKS))
    w, h = float(rng.uniform(0.68, 0.84)), float(rng.uniform(0.58, 0.82))
    boxes: list[Box] = [(sx * (w - 0.08), sy * (h - 0.08), 0.06, 0.06) for sx in (-1, 1) for sy in (-1, 1)]
    parts: list[dict[str, Any]] = []
    kinds = (
        ["chip"] * int(rng.integers(1, 4))
        + ["can"] * int(rng.integers(0, 4))
        + ["row"] * int(rng.integers(0, 2))
    )
    kinds += ["resistor"] * int(rng.integers(10, 22)) + ["led"] * int(rng.integers(0, 4))
    for kind in kinds:
        upright = bool(rng.random() < 0.5)
        sizes = {
            "chip": (rng.uniform(0.1, 0.2), rng.uniform(0.1, 0.2)),
            "can": (0.085, 0.085),
            "row": (0.3, 0.05),
            "resistor": (0.05, 0.026),
            "led": (0.045, 0.03),
        }
        a, b = (float(v) for v in sizes[kind])
        a, b = (b, a) if upright and kind != "chip" else (a, b)
        for _ in range(14):
            box = (
                float(rng.uniform(-w + a + 0.06, w - a - 0.06)),
                float(rng.uniform(-h + b + 0.06, h - b - 0.06)),
                a,
                b,
            )
            if not _overlaps((box[0], box[1], a + 0.03, b + 0.03), boxes):
                boxes.append((box[0], box[1], a + 0.03, b + 0.03))
                parts.append(
                    {
                        "kind": kind,
                        "box": box,
                        "tone": int(rng.integers(3)),
                        "name": f"{kind[0].upper()}{len(parts) + 1}",
                    }
                )
                break
    return {
        "colour": colour,
        "material": "epoxy laminate",
        "mask": vary(rng, _MASKS[colour], 0.03),
        "size": (w, h),
        "parts": parts,
        "traces": _traces(rng, w, h),
        "gloss": float(rng.uniform(0.15, 0.45)),
        "text": f"REV {'ABCDEF'[int(rng.integers(6))]}{int(rng.integers(1, 9))}",
    }


def _traces(rng: np.random.Generator, w: float, h: float) -> list[list[tuple[float, float]]]:
    """Paths that turn by 45 degrees, as a router lays them."""
    traces = []
    for _ in range(int(rng.integers(14, 30))):
        x, y = rng.uniform(-w, w) * 0.9, rng.uniform(-h, h) * 0.9
        points = [(x, y)]
        heading = int(rng.integers(8))
        for _ in range(int(rng.integers(2, 5))):
            length = rng.uniform(0.1, 0.45)
            x = float(np.clip(x + np.cos(heading * np.pi / 4) * length, -w * 0.94, w * 0.94))
            y = float(np.clip(y + np.sin(heading * np.pi / 4) * length, -h * 0.94, h * 0.94))
            points.append((x, y))
            heading += int(rng.choice((-1, 1)))
        traces.append(points)
    return traces


def _solder(board: Canvas, x: float, y: float, w: float, h: float) -> None:
    pad = shapes.moved(shapes.rectangle(w, h, min(w, h) * 0.4), (x, y))
    board.polygon(pad, _TIN, relief=FLAT + 14, gloss=0.7)


def _pads(part: dict[str, Any]) -> list[Box]:
    """Where a component is soldered: (x, y, half width, half height) each."""
    x, y, a, b = part["box"]
    kind, wide = part["kind"], a >= b
    if kind in ("resistor", "led"):
        if wide:
            return [(x + side * a * 0.85, y, a * 0.36, b * 0.95) for side in (-1, 1)]
        return [(x, y + side * b * 0.85, a * 0.95, b * 0.36) for side in (-1, 1)]
    if kind == "chip":
        places = [(k - 2) / 2.5 for k in range(5)]
        return [
            (x + f * a * 0.9, y + side * (b + 0.012), a * 0.09, 0.028) for f in places for side in (-1, 1)
        ]
    count = 8 if kind == "row" else 2
    places = [(k - (count - 1) / 2) / (count / 2) for k in range(count)]
    return [(x + f * a * 0.95 * wide, y + f * b * 0.95 * (not wide), 0.025, 0.025) for f in places]


def _component(board: Canvas, part: dict[str, Any], shift: tuple[float, float], turn: float) -> None:
    """The body of one component over its solder."""
    x, y, a, b = part["box"]
    kind = part["kind"]
    centre = (x + shift[0], y + shift[1])
    pads = _pads(part)
    for pad in pads:
        _solder(board, *pad)
    if kind == "can":
        board.disc(centre, a, _DARK, relief=FLAT + 20)
        board.disc(centre, a * 0.92, _TIN, relief=FLAT + 60, gloss=0.8)
        mark = np.clip(shapes.circle(a * 0.9, 40), (-1, -1), (-a * 0.35, 1))
        board.polygon(shapes.moved(mark, centre), (0.2, 0.2, 0.24), relief=FLAT + 60)
        return
    slim = (0.66, 0.9) if a >= b else (0.9, 0.66)
    if kind in ("chip", "row"):
        slim = (1.0, 1.0)
    outline = shapes.turned(shapes.rectangle(a * slim[0], b * slim[1]), turn, centre)
    body = _BODIES[kind][part["tone"]]
    board.polygon(outline, body, relief=FLAT + (46 if kind == "chip" else 32), gloss=0.25)
    if kind == "chip":
        board.disc((centre[0] - a * 0.7, centre[1] - b * 0.7), 0.014, (0.3, 0.3, 0.3), relief=FLAT + 40)
        board.text(part["name"] + "74", centre, 0.055, (0.55, 0.55, 0.55))
    elif kind == "row":
        for pad in pads:
            board.disc(pad[:2], 0.022, _PAD, relief=FLAT + 60, gloss=0.9)


def _bare_board(design: Design, n: int) -> Canvas:
    """The laminate with traces, vias, mounting holes and its name."""
    mask = design["mask"]
    w, h = design["size"]
    board = Canvas(n, mix(mask, _DARK, 0.3), design["gloss"])
    board.polygon(shapes.rectangle(w, h, 0.03), relief=FLAT - 12, alpha=255)
    board.polygon(shapes.rectangle(w - 0.012, h - 0.012, 0.03), mask, relief=FLAT)
    copper = mix(mask, (0.55, 0.75, 0.45), 0.22)
    for points in design["traces"]:
        board.stroke(points, 0.018, copper, relief=FLAT + 5)
        for end in (points[0], points[-1]):
            board.disc((float(end[0]), float(end[1])), 0.02, _PAD, relief=FLAT + 4, gloss=0.6)
            board.disc((float(end[0]), float(end[1])), 0.009, _DARK)
    for sx in (-1, 1):
        for sy in (-1, 1):
            board.disc((sx * (w - 0.08), sy * (h - 0.08)), 0.055, _PAD, relief=FLAT + 3, gloss=0.6)
            board.disc((sx * (w - 0.08), sy * (h - 0.08)), 0.036, _DARK, relief=FLAT - 60, gloss=0.0)
    board.text(design["text"], (0, h - 0.06), 0.05, (0.88, 0.88, 0.85))
    return board


def _bridge(board: Canvas, part: dict[str, Any], change: Change) -> None:
    """Solder that ran where it must not."""
    x, y, _, b = part["box"]
    count = 2 + int(4 * change.extent)
    drops = shapes.moved(change.rng.normal(0, 0.03, (count, 2)).cumsum(0), (x, y + b))
    for drop in drops:
        at = (float(drop[0]), float(drop[1]))
        board.disc(at, 0.02 + 0.025 * change.extent, _TIN, relief=FLAT + 40, gloss=0.9)


def _draw_board(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    board = _bare_board(design, n)
    parts = design["parts"]
    struck = int(change.rng.integers(len(parts))) if change is not None else -1
    play = rng.normal(0, 0.0025, (len(parts), 3))
    for k, part in enumerate(parts):
        x, y, a, b = part["box"]
        shift, turn = (float(play[k, 0]), float(play[k, 1])), float(play[k, 2]) * 4
        hit = change.kind if change is not None and k == struck else ""
        if hit == "bent" and change is not None:
            side = float(change.rng.choice((-1, 1)))
            turn += side * (0.25 + 0.9 * change.extent)
            shift = (shift[0] + side * min(a, b) * 0.5, shift[1] + min(a, b) * 0.4)
        if hit == "missing part":
            for px, py, pw, ph in _pads(part):
                pad = shapes.moved(shapes.rectangle(pw, ph), (px, py))
                board.polygon(pad, _PAD, relief=FLAT + 2, gloss=0.5)
        else:
            _component(board, part, shift, turn)
        board.text(part["name"], (x, y - b - 0.035), 0.035, (0.8, 0.8, 0.78), fade=0.8)
    if change is not None and change.kind == "solder bridge":
        _bridge(board, parts[struck], change)
    layers = board.layers(shine=24, thickness=0.03)
    grain = noise.white(rng, n) * np.float32(0.02) + noise.streaks(rng, n, 0.1, 0.006) * np.float32(0.012)
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
