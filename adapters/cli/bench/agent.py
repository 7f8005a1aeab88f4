"""``bench_agent``: the whole agent beside its bare model, for ``bench --agent``."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adapters.cli.bench.machine import machine
from adapters.cli.bench.plant import SKU, Load, Plant, command, overrides
from adapters.cli.options import composition_of
from adapters.cli.screen import stderr, stdout, table
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.inference.inspector import Inspector
    from agent.methods.prepared import Prepared
    from config import Settings

SECONDS = 10.0
"""How long images are published at each rate."""
DEFECTIVE = 10
"""One in so many drawn parts is defective."""
_DISTINCT = 20
_WARM_UP = 16
_MOST = 1_000_000
_SEED = 7
_BARE_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured."""

    frames: int | None
    """The most at each rate; None: as many as fit into :data:`SECONDS`."""
    size: tuple[int, int]
    shots: int
    photographs: Path | None
    """A folder of JPEG files to publish; None: drawn parts."""
    configuration: tuple[str, ...]
    """Options of the command line that name the configuration."""


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """What ``bench --agent`` measured."""

    method: str
    shots: int
    images: str
    bare_per_s: float
    """Frames a second of the inspector alone, in this process, before and after the agent ran."""
    full: Load
    full_per_s: float
    of_bare: float
    """The agent's frames a second as a share of those."""
    half: Load
    half_per_s: float


def bench_agent(context: typer.Context, settings: Settings, options: Options) -> dict[str, Any]:
    """Run an agent with a broker and a camera at full and at half load; show the figures and return them.

    Raises SightlineError: mosquitto is missing, or the agent does not answer.
    """

    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as name, stderr().status("") as status:
        folder = Path(name)
        status.update("[dim]drawing frames ...[/]")
        encoded, what = _photographs(options.photographs) if options.photographs else _drawn(options.size)
        own = [
            "ollama.enabled=false",
            f"database.url=sqlite:///{folder / 'history.db'}",
            f"media.path={folder / 'media'}",
            "logging.level=WARNING",
            f"inspection.method={settings.inspection.method}",
        ]
        arguments = [*options.configuration, *overrides(own)]
        if options.shots:
            status.update(f"[dim]enrolling {options.shots} references ...[/]")
            _enroll(folder / "references", encoded, options, arguments)
        status.update("[dim]loading the models ...[/]")
        settings = _at(settings, folder)
        inspector = composition_of(context).inspector(settings)
        bare = _Bare(context, settings, inspector, encoded, options.frames)
        status.update("[dim]inspecting without the agent ...[/]")
        rates = [bare.rate()]
        status.update("[dim]starting the agent ...[/]")
        most = options.frames or _MOST
        with Plant(settings, arguments, folder) as plant:
            plant.run(encoded, SECONDS, _WARM_UP)
            status.update("[dim]publishing as fast as the agent takes it ...[/]")
            full = plant.run(encoded, SECONDS, most)
            full_per_s = full.frames / full.seconds
            status.update("[dim]publishing at half of that rate ...[/]")
            half = plant.run(encoded, SECONDS, most, full_per_s / 2.0)
        status.update("[dim]inspecting without the agent ...[/]")
        rates.append(bare.rate())
    rate = statistics.mean(rates)
    figures = AgentFigures(
        method=settings.inspection.method,
        shots=options.shots,
        images=what,
        bare_per_s=rate,
        full=full,
        full_per_s=full_per_s,
        of_bare=full_per_s / rate,
        half=half,
        half_per_s=half.frames / half.seconds,
    )
    where = machine()
    _show(figures, where)
    return {"machine": where, **_as_json(figures)}


class _Bare:
    """The inspector alone, on the same images with the same recipe."""

    def __init__(
        self,
        context: typer.Context,
        settings: Settings,
        inspector: Inspector,
        encoded: Sequence[bytes],
        most: int | None,
    ) -> None:
        codec = composition_of(context).codec()
        self._inspector = inspector
        self._most = most or _MOST
        self._batch = settings.inspection.max_batch
        self._images: list[Image] = [codec.decode(one) for one in encoded]
        self._prepared: Prepared = self._recipe(context, settings)

    def _recipe(self, context: typer.Context, settings: Settings) -> Prepared:
        from agent.domain.recipe import template_recipe

        composition = composition_of(context)
        codec = composition.codec()
        with composition.store(settings) as store:
            recipe = store.book.active(SKU) or template_recipe(SKU, settings.inspection.method)
            references = [codec.decode(store.media.get(one.path)) for one in recipe.references]
        return self._inspector.prepare(recipe, references)

    def rate(self) -> float:
        """Frames a second. Raises SightlineError if a frame fails."""
        self._inspect(0)
        done, started = 0, time.perf_counter()
        while done < self._most and time.perf_counter() - started < _BARE_S:
            self._inspect(done)
            done += self._batch
        return done / (time.perf_counter() - started)

    def _inspect(self, first: int) -> None:
        count = len(self._images)
        images = [self._images[(first + index) % count] for index in range(self._batch)]
        for result in self._inspector.inspect(images, [self._prepared] * len(images)):
            if result.verdict == "ERROR":
                raise SightlineError(result.reason)


def _at(settings: Settings, folder: Path) -> Settings:
    """The settings with the history of this run."""
    database = settings.database.model_copy(update={"url": f"sqlite:///{folder / 'history.db'}"})
    media = settings.media.model_copy(update={"path": folder / "media"})
    return settings.model_copy(update={"database": database, "media": media})


def _enroll(folder: Path, encoded: Sequence[bytes], options: Options, arguments: Sequence[str]) -> None:
    """Enroll references with the command for it, as a person would. Raises SightlineError."""
    folder.mkdir()
    good = [one for number, one in enumerate(encoded, start=1) if number % DEFECTIVE]
    if options.photographs is None:
        good = _draw(options.size, options.shots, _SEED + 1_000, defective=False)
    if len(good) < options.shots:
        raise SightlineError(f"{options.shots} references need as many good images; there are {len(good)}")
    for number, one in enumerate(good[: options.shots]):
        (folder / f"{number:03d}.jpg").write_bytes(one)
    done = subprocess.run(
        command("enroll", "--sku", SKU, "--references", str(folder), *arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SightlineError(f"the references cannot be enrolled: {done.stderr.strip()[-500:]}")


def _photographs(folder: Path) -> tuple[list[bytes], str]:
    files = sorted(one for one in folder.rglob("*") if one.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise SightlineError(f"there is no JPEG file in {folder}")
    return [one.read_bytes() for one in files[:_DISTINCT]], f"photographs of {folder.name}"


def _drawn(size: tuple[int, int]) -> tuple[list[bytes], str]:
    return _draw(size, _DISTINCT, _SEED, defective=True), f"drawn parts of {size[0]} x {size[1]}"


def _draw(size: tuple[int, int], count: int, seed: int, *, defective: bool) -> list[bytes]:
    """JPEG files of one product; if ``defective``, one in :data:`DEFECTIVE` has a defect."""
    import cv2
    import numpy as np

    from adapters.cli.demo.plan import encode_jpeg
    from adapters.simulator import Product, Station, draw

    product, station = Product.create("gear", _SEED), Station.fixed(_SEED)
    found = []
    for index in range(count):
        defect = product.kind.defects[0] if defective and index % DEFECTIVE == DEFECTIVE - 1 else None
        image = draw(product, station, seed + index, size=max(size), defect=defect).image
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        found.append(encode_jpeg(np.asarray(resized, dtype=np.uint8)))
    return found


def _percentile(load: Load, percent: float) -> float:
    import numpy as np

    return float(np.percentile(load.latency_ms, percent))


def _as_json(figures: AgentFigures) -> dict[str, Any]:
    content = asdict(figures)
    for name in ("full", "half"):
        load: Load = getattr(figures, name)
        del content[name]["latency_ms"]
        content[name] |= {"p50_ms": _percentile(load, 50), "p99_ms": _percentile(load, 99)}
    return content


def _show(figures: AgentFigures, where: dict[str, Any]) -> None:
    title = (
        f"{figures.method} with {figures.shots} references, {figures.images}; "
        f"{where['processor']}, {where['cores']} cores, {where['threads']} threads"
    )
    shown = table("", "full load", "half load", title=title)
    loads = (figures.full, figures.half)
    shown.add_row("frames", *(f"{one.frames:,}" for one in loads))
    shown.add_row("frames a second", f"{figures.full_per_s:,.1f}", f"{figures.half_per_s:,.1f}")
    shown.add_row("of the bare model", f"{figures.of_bare:.2f} ({figures.bare_per_s:,.1f} a second)", "")
    for percent in (50, 99):
        row = (f"{_percentile(one, percent):,.1f}" for one in loads)
        shown.add_row(f"image to verdict, ms, p{percent}", *row)
    for stage in figures.full.stages_ms:
        shown.add_row(f"{stage}, ms", *(f"{one.stages_ms[stage]:,.2f}" for one in loads))
    for process in figures.full.cpu_ms:
        row = (f"{one.cpu_ms.get(process, 0.0):,.2f}" for one in loads)
        shown.add_row(f"processor time of {process}, ms a frame", *row)
    for name in ("commits", "syncs", "messages"):
        shown.add_row(f"{name} a frame", *(f"{getattr(one, name):,.2f}" for one in loads))
    stdout().print(shown)
