"""``bench --tiles``: the smallest defect that is found in large images, by tiles, and the time of a frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adapters.cli.bench.machine import machine
from adapters.cli.options import composition_of
from adapters.cli.screen import number, stderr, stdout, table
from agent.domain.errors import ConfigurationError
from agent.domain.tiling import TileGrid, Tiling

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.inference.inspector import Inspector
    from config import Settings

SHOTS = 12
"""References by default. A threshold needs eight, and those unlike the others are left out."""

FAMILY = "circuit_board"
_SEED = 7
_NOISE = 2.0
"""Deviation of the camera's noise, in levels."""
_ACROSS = 6
"""Photographs side by side in one large image."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one layout of tiles gives."""

    tiles: str
    tile_px: int
    smallest_px: int | None
    found: int
    tried: int
    threshold: float
    enroll_s: float
    frame_ms: float
    frame_cpu_ms: float
    """Processor time, which does not depend on what else the machine does."""


def compare_tiles(
    context: typer.Context,
    settings: Settings,
    tiles: str,
    photographs: Path | None,
    size: tuple[int, int],
    shots: int | None,
    frames: int,
) -> dict[str, Any]:
    """The figures, shown as a table. Raises SightlineError."""
    count, grids = shots or SHOTS, parse_grids(tiles)
    with stderr().status("[dim]drawing images ...[/]"):
        if photographs is None:
            images, what = boards(count, *size), "drawn circuit boards"
        else:
            images, what = trays(photographs, count, *size), "trays of photographs"
    inspector = composition_of(context).inspector(settings)
    rows = bench_tiles(inspector, settings, images, grids, frames)
    where = machine()
    title = (
        f"{count} {what} of {size[0]:,} x {size[1]:,}, {settings.inspection.method}, profile "
        f"{settings.agent.profile}; {where['processor']}, {where['cores']} cores, {where['threads']} threads"
    )
    show(rows, title)
    return {"machine": where, "images": what, "size": size, "rows": [asdict(row) for row in rows]}


def bench_tiles(
    inspector: Inspector, settings: Settings, images: Sequence[Image], grids: Sequence[TileGrid], frames: int
) -> list[Row]:
    """Enroll the images in each layout, look for synthetic defects, and time ``frames`` of them.

    Raises SightlineError.
    """
    from adapters.cli.references import enroll_stored
    from adapters.cli.smallest_defect import measure
    from agent.app.options import selection_policy
    from agent.domain.recipe import Reference, template_recipe
    from agent.inference.tiled import with_tiles

    names = tuple(Reference(str(index), str(index), f"image {index}") for index in range(len(images)))
    template = template_recipe("bench", settings.inspection.method)
    unnamed = replace(template.prompts, defects=())  # names of defects take time and are not asked for
    plain = replace(template, prompts=unnamed, references=names)
    rows = []
    for grid in grids:
        memory = settings.inspection.tile_memory
        started = time.perf_counter()
        made = enroll_stored(
            inspector,
            with_tiles(plain, Tiling(str(grid), tile_memory=memory)),
            images,
            settings,
            selection=selection_policy(settings),
        )
        enroll_s = time.perf_counter() - started
        kept = images if made.selection is None else [images[index] for index in made.selection.kept]
        seen = measure(inspector, made.prepared, kept)
        if seen is None or made.recipe.calibration is None:
            raise ConfigurationError(f"{len(kept)} references set no threshold; --shots {SHOTS} would")
        inspector.inspect([images[0]], [made.prepared])
        wall, processor = time.perf_counter(), time.process_time()
        for index in range(frames):
            inspector.inspect([images[index % len(images)]], [made.prepared])
        rows.append(
            Row(
                str(grid),
                seen.side,
                seen.size,
                seen.found,
                seen.tried,
                round(made.recipe.calibration.threshold, 4),
                round(enroll_s, 1),
                round((time.perf_counter() - wall) * 1000.0 / frames, 1),
                round((time.process_time() - processor) * 1000.0 / frames, 1),
            )
        )
        stderr().print(f"[dim]{grid}: {seen.size} px, {rows[-1].frame_cpu_ms} ms[/]")
    return rows


def parse_grids(text: str) -> list[TileGrid]:
    """``1x1,3x2``. Raises ConfigurationError."""
    try:
        return [TileGrid.parse(piece) for piece in text.split(",")]
    except ValueError as error:
        raise ConfigurationError(f"--tiles: {error}") from error


def boards(count: int, width: int, height: int) -> list[Image]:
    """Good parts of a simulated circuit board that fill large images.

    They are drawn at half the size and enlarged, with a camera's noise: drawing at full size takes minutes.
    """
    import cv2
    import numpy as np

    from adapters.simulator import Product, Station, draw

    product, station = Product.create(FAMILY, _SEED), Station.fixed(_SEED)
    images = []
    for index in range(count):
        small = draw(product, station, _SEED + index, size=max(64, max(width, height) // 2)).image
        images.append(_noisy(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), index))
    return [np.ascontiguousarray(image) for image in images]


def trays(folder: Path, count: int, width: int, height: int) -> list[Image]:
    """Trays of photographs: each large image shows so many of a folder, drawn anew, enlarged, with noise.

    Raises SightlineError: the folder holds too few images.
    """
    import cv2
    import numpy as np

    from adapters.cli.images import find
    from adapters.images.codec import CvImageCodec

    codec = CvImageCodec()
    photographs = [codec.decode(file.path.read_bytes()) for file in find([folder])]
    shape = photographs[0].shape
    side = width // _ACROSS
    high = max(1, round(side * shape[0] / shape[1]))
    down = -(-height // high)
    if len(photographs) < _ACROSS * down:
        raise ConfigurationError(
            f"a tray shows {_ACROSS * down} photographs, {folder} has {len(photographs)}"
        )
    images = []
    for index in range(count):
        chosen = np.random.default_rng([_SEED, index]).permutation(len(photographs))
        cells = [
            cv2.resize(photographs[each], (side, high), interpolation=cv2.INTER_CUBIC)
            for each in chosen[: _ACROSS * down]
        ]
        rows = [np.hstack(cells[row * _ACROSS : (row + 1) * _ACROSS]) for row in range(down)]
        images.append(_noisy(np.vstack(rows)[:height], index))
    return images


def _noisy(image: Any, seed: int) -> Image:
    import cv2
    import numpy as np

    noise = np.empty(image.shape, np.int16)
    cv2.setRNGSeed(seed)
    cv2.randn(noise, 0, _NOISE)  # type: ignore[call-overload]
    return np.clip(image.astype(np.int16) + noise, 0, 255).astype(np.uint8)


def show(rows: Sequence[Row], title: str) -> None:
    """The table, on stdout."""
    shown = table(
        "tiles", "of", "smallest found", "found", "threshold", "enrolled in", "a frame", "processor time",
        title=title,
        right=("of", "smallest found", "found", "threshold", "enrolled in", "a frame", "processor time"),
    )  # fmt: skip
    for row in rows:
        shown.add_row(
            row.tiles,
            f"{row.tile_px:,} px",
            "none" if row.smallest_px is None else f"{row.smallest_px} px",
            f"{row.found} of {row.tried}",
            number(row.threshold),
            f"{row.enroll_s:,.0f} s",
            f"{row.frame_ms:,.0f} ms",
            f"{row.frame_cpu_ms:,.0f} ms",
        )
    stdout().print(shown)
