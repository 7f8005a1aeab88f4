"""``bench --runtimes``: the same frames through PyTorch and the other runtimes, taking turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from adapters.cli.bench.frames import DISTINCT_FRAMES, drawn, drawn_recipe
from adapters.cli.bench.machine import in_force, machine
from adapters.cli.screen import stderr, stdout, table
from agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.app.models import JudgedSide, Models
    from agent.domain.frame import Image
    from agent.inference.inspector import Inspector
    from agent.methods.prepared import Prepared
    from agent.ports import ImageSize
    from config import Settings

SHOTS = 4
"""References by default."""


@dataclass(frozen=True, slots=True)
class Row:
    """Processor time of one runtime in milliseconds a frame, medians; it does not depend on what else the
    machine does.
    """

    runtime: str
    depths_ms: float | None
    """Of the few-shot features; None if the method has none."""
    words_ms: float | None
    """Of what the comparison with words needs beside the depths; None if the method has no words."""
    frame_ms: float
    ratio: float
    """Of the whole frame, to the first runtime."""
    score_off: float
    """The largest difference of a score to the first runtime's."""


@dataclass(slots=True)
class Contender:
    """One runtime with its models, and what was measured of it."""

    runtime: str
    models: Models
    inspector: Inspector
    prepared: Prepared
    side: JudgedSide | None
    """None: its models scale images by rules of their own, and no stage is measured."""
    depths: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def take(self, image: Image) -> None:
        """One frame, by stage and as a whole."""
        from agent.methods.parameters import KEEP, SQUARE, size_of

        if self.side is not None:
            aspect = KEEP if self.side.keeps_area else SQUARE
            self._stages(image, size_of(image, self.side.side, aspect))
        started = time.process_time()
        (scored,) = self.inspector.score([image], [self.prepared])
        self.frames.append(_since(started))
        self.scores.append(scored.score)

    def _stages(self, image: Image, size: ImageSize) -> None:
        encoder, own = self.models.encoder, self.models.names.own_backbone
        if own:
            started = time.process_time()
            self.models.backbone.encode_patches([image], size)
            self.depths.append(_since(started))
        started = time.process_time()
        begun = encoder.start_pass([image], size)
        if not own:
            self.depths.append(_since(started))
            started = time.process_time()
        begun.finish()
        self.words.append(_since(started))


def parse_runtimes(text: str) -> list[str]:
    """``torch,onnxruntime``. Raises ConfigurationError."""
    from config.sections.inspection import Runtime

    known = [name for name in get_args(Runtime) if name != "auto"]
    names = [piece.strip() for piece in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationError(f"--runtimes takes {', '.join(known)}, not {unknown[0] or 'nothing'}")
    return list(dict.fromkeys(names))


def compare_runtimes(
    settings: Settings, runtimes: str, size: tuple[int, int], shots: int | None, frames: int
) -> dict[str, Any]:
    """The figures, shown as a table. Raises SightlineError."""
    names, count = parse_runtimes(runtimes), SHOTS if shots is None else shots
    with stderr().status("[dim]drawing frames ...[/]") as status:
        images = drawn(DISTINCT_FRAMES + count, *size)
        in_force(settings)  # the number of threads
        status.update(f"[dim]inspecting {frames} frames by {', '.join(names)} ...[/]")
        rows = bench_runtimes(settings, images, count, frames, names)
    where = machine()
    title = (
        f"processor time, {frames} frames of {size[0]} x {size[1]}, {count} references, "
        f"{settings.inspection.method}, profile {settings.agent.profile}; {where['processor']}, "
        f"{where['cores']} cores, {where['threads']} threads"
    )
    show(rows, title)
    return {"machine": where, "size": size, "shots": count, "rows": [asdict(row) for row in rows]}


def bench_runtimes(
    settings: Settings, images: Sequence[Image], shots: int, frames: int, runtimes: Sequence[str]
) -> list[Row]:
    """Frames with a recipe of the first ``shots`` images as references, each through all runtimes in turn.

    Raises SightlineError.
    """
    contenders = [_contender(settings, images[:shots], runtime) for runtime in runtimes]
    shown = images[shots:]
    for contender in contenders:  # not counted: what a first pass allocates
        contender.take(shown[0])
        for measured in (contender.depths, contender.words, contender.frames, contender.scores):
            measured.clear()
    for index in range(frames):
        for place in range(len(contenders)):
            contenders[(index + place) % len(contenders)].take(shown[index % len(shown)])
    first = contenders[0]
    whole = statistics.median(first.frames)
    return [
        Row(
            each.runtime,
            _median(each.depths),
            _median(each.words),
            round(statistics.median(each.frames), 1),
            round(statistics.median(each.frames) / whole, 2),
            max(abs(one - other) for one, other in zip(each.scores, first.scores, strict=True)),
        )
        for each in contenders
    ]


def _contender(settings: Settings, references: Sequence[Image], runtime: str) -> Contender:
    from agent.app.models import Models, build_inspector, judged_side

    own = settings.model_copy(update={"models": settings.models.model_copy(update={"runtime": runtime})})
    models = Models(own)
    inspector = build_inspector(own, models)
    recipe = drawn_recipe(settings.inspection.method, len(references))
    prepared = inspector.prepare(recipe, references)
    return Contender(runtime, models, inspector, prepared, judged_side(own, recipe))


def _since(started: float) -> float:
    return (time.process_time() - started) * 1000.0


def _median(measured: list[float]) -> float | None:
    return round(statistics.median(measured), 1) if measured else None


def show(rows: Sequence[Row], title: str) -> None:
    """The table, on stdout."""
    columns = ("depths", "words", "a frame", "ratio", "scores differ by")
    shown = table("runtime", *columns, title=title, right=columns)
    for row in rows:
        shown.add_row(
            row.runtime,
            _ms(row.depths_ms),
            _ms(row.words_ms),
            _ms(row.frame_ms),
            f"{row.ratio:.2f}",
            f"{row.score_off:.1e}",
        )
    stdout().print(shown)


def _ms(value: Any) -> str:
    return "none" if value is None else f"{value:,.1f} ms"
