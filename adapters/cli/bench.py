"""``sightline bench``: how fast a method is here, and how much memory it takes."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from adapters.cli import resident
from adapters.cli.bench_beside import Beside, beside
from adapters.cli.options import (
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
)
from adapters.cli.screen import plain, stderr, stdout, table
from adapters.models.weights.needs import ModelNames
from agent.domain.errors import ConfigurationError, SightlineError

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.domain.recipe import Recipe
    from agent.inference.inspector import Inspector
    from agent.methods.prepared import Prepared
    from config import Settings

MEANINGLESS = (
    "Random weights of the models' true sizes: times and memory are those of the real ones, scores and "
    "verdicts mean nothing."
)
FRAMES = 20
DISTINCT_FRAMES = 8
"""Images are drawn before timing starts, and used again in turn."""
_DEFECTIVE = 0.01
"""Share of the pixels that count as defective, so that outlines are drawn as for a small defect."""
_SEED = 7


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in megabytes; None if the system does not report it."""

    before: float | None
    """Libraries alone."""
    loaded: float | None
    """With the models."""
    peak: float | None
    """The most while the recipe was prepared and frames were inspected."""
    beyond_models: float | None
    """What inspection takes beside the models: peak less loaded."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run of ``bench`` measured."""

    machine: Mapping[str, Any]
    device: str
    precision: str
    runtime: str
    """Of convolutional networks."""
    profile: str
    method: str
    models: tuple[str, ...]
    random_weights: bool
    frames: int
    batch: int
    frame_size: tuple[int, int]
    shots: int
    load_s: float
    prepare_s: float
    warm_up_ms: float
    infer_ms: Mapping[str, float]
    frames_per_s: float
    memory_mb: Memory
    gpu_memory_mb: Mapping[str, float] | None
    beside: Beside | None
    note: str | None


def bench(
    context: typer.Context,
    method: Method = None,
    frames: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Frames that are timed; by default 20, with --agent for 10 s."),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Of a frame, in pixels.")] = "640x480",
    batch: Annotated[int, typer.Option(metavar="B", min=1, help="Frames inspected together.")] = 1,
    shots: Annotated[
        int | None,
        typer.Option(metavar="K", min=0, help="References; by default the fewest that the method needs."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights",
            help="Models at their true size without a file: real times, no download, meaningless scores.",
        ),
    ] = False,
    busy: Annotated[
        int,
        typer.Option(
            "--beside",
            metavar="N",
            min=0,
            help="Time frames beside N busy processes, too, in turns with frames alone.",
        ),
    ] = 0,
    tiles: Annotated[
        str | None,
        typer.Option(
            metavar="GRIDS",
            help="Such as 1x1,3x2: the smallest defect found in these tiles, and the time of a frame.",
        ),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--agent",
            help="The whole agent instead: images through a mosquitto of its own into SQLite and back as "
            "verdicts, at full and at half load, beside the bare model.",
        ),
    ] = False,
    photographs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --tiles: trays of these good parts instead of drawn boards. With --agent: JPEG files "
            "to publish instead of drawn parts.",
        ),
    ] = None,
    runtimes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Such as torch,onnxruntime: these runtimes on the same frames in turn, by stage.",
        ),
    ] = None,
    history: Annotated[
        int | None,
        typer.Option(metavar="ROWS", min=1, help="Instead: queries and insertion of so long a history."),
    ] = None,
    history_database: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="With --history: an empty database instead of a file to throw away."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.", dir_okay=False)
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Time the configured method on drawn frames: milliseconds, frames a second, memory.

    Each frame takes the expensive path: it counts as defective, so it is located, scored and outlined.
    """
    if history is not None:
        from adapters.cli.bench_history import bench_history

        where = f"{_processor()}, {_cores()} cores"
        _write(json_file, bench_history(context, history, history_database, where))
        return
    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    width, height = parse_size(size)
    if whole:
        from adapters.cli.bench_agent import Options, bench_agent

        options = Options(
            frames=frames,
            size=(width, height),
            shots=_fewest(settings) if shots is None else shots,
            photographs=photographs,
            configuration=_configuration(config, profile, overrides),
        )
        _write(json_file, bench_agent(context, settings, options))
        return
    frames = frames or FRAMES
    if tiles is not None:
        uncut = (width, height)
        _write(json_file, _compare_tiles(context, settings, tiles, photographs, uncut, shots, frames))
        return
    if runtimes is not None:
        _write(json_file, _compare_runtimes(settings, runtimes, (width, height), shots, frames))
        return
    if shots is None:
        shots = _fewest(settings)
    composition = composition_of(context)
    build = composition.untrained_inspector if random_weights else composition.inspector
    console = stderr()
    with console.status("[dim]drawing frames ...[/]") as status:
        # The segmenter caches the last image, so the first timed frame is not that of the warm-up.
        images = drawn(max(2, min(DISTINCT_FRAMES, max(frames, batch))) + shots, width, height)
        device, precision, runtime = _where(settings)  # loads PyTorch, whose memory is not the models'
        before = resident.resident_mb()
        status.update("[dim]loading the models ...[/]")
        started = time.perf_counter()
        inspector = build(settings)
        load_s = time.perf_counter() - started
        loaded = resident.resident_mb()
        resident.forget_peak()
        gpu_loaded = _forget_gpu_peak(device)
        status.update("[dim]preparing the recipe ...[/]")
        started = time.perf_counter()
        prepared = inspector.prepare(drawn_recipe(settings.inspection.method, shots), images[:shots])
        prepare_s = time.perf_counter() - started
        status.update("[dim]warming up ...[/]")
        started = time.perf_counter()
        prepared = _failing(inspector, images[-1], prepared)
        warm_up_ms = (time.perf_counter() - started) * 1000.0
        status.update(f"[dim]inspecting {frames} frames ...[/]")
        times, elapsed = _inspect(inspector, images[shots:], prepared, frames, batch)
        crowd = None
        if busy:
            status.update(f"[dim]inspecting {frames} frames alone and beside busy processes ...[/]")
            crowd = beside(inspector, prepared, images[shots:], busy, frames)
    figures = Figures(
        machine=machine(),
        device=device,
        precision=precision,
        runtime=runtime,
        profile=settings.agent.profile,
        method=settings.inspection.method,
        models=models_of(settings),
        random_weights=random_weights,
        frames=frames,
        batch=batch,
        frame_size=(width, height),
        shots=shots,
        load_s=round(load_s, 2),
        prepare_s=round(prepare_s, 2),
        warm_up_ms=round(warm_up_ms, 1),
        infer_ms=percentiles(times),
        frames_per_s=float(f"{frames / elapsed:.4g}"),
        memory_mb=_memory(before, loaded),
        gpu_memory_mb=_gpu_memory(device, gpu_loaded),
        beside=crowd,
        note=MEANINGLESS if random_weights else None,
    )
    _show(figures)
    _write(json_file, asdict(figures))


def _fewest(settings: Settings) -> int:
    from agent.methods import find_method

    return find_method(settings.inspection.method).fewest_references


def _configuration(config: Path | None, profile: str | None, given: list[str] | None) -> tuple[str, ...]:
    """The options as another process takes them."""
    found = [] if config is None else ["--config", str(config)]
    found += [] if profile is None else ["--profile", profile]
    return (*found, *(part for one in given or () for part in ("--set", one)))


def _write(file: Path | None, content: dict[str, Any]) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _compare_tiles(
    context: typer.Context,
    settings: Settings,
    tiles: str,
    photographs: Path | None,
    size: tuple[int, int],
    shots: int | None,
    frames: int,
) -> dict[str, Any]:
    """The figures, shown as a table. Raises SightlineError."""
    from adapters.cli import bench_tiles

    count, grids = shots or bench_tiles.SHOTS, bench_tiles.parse_grids(tiles)
    with stderr().status("[dim]drawing images ...[/]"):
        if photographs is None:
            images, what = bench_tiles.boards(count, *size), "drawn circuit boards"
        else:
            images, what = bench_tiles.trays(photographs, count, *size), "trays of photographs"
    inspector = composition_of(context).inspector(settings)
    rows = bench_tiles.bench_tiles(inspector, settings, images, grids, frames)
    where = machine()
    title = (
        f"{count} {what} of {size[0]:,} x {size[1]:,}, {settings.inspection.method}, profile "
        f"{settings.agent.profile}; {where['processor']}, {where['cores']} cores, {where['threads']} threads"
    )
    bench_tiles.show(rows, title)
    return {"machine": where, "images": what, "size": size, "rows": [asdict(row) for row in rows]}


def _compare_runtimes(
    settings: Settings, runtimes: str, size: tuple[int, int], shots: int | None, frames: int
) -> dict[str, Any]:
    """The figures, shown as a table. Raises SightlineError."""
    from adapters.cli import bench_runtimes

    names, count = bench_runtimes.parse_runtimes(runtimes), bench_runtimes.SHOTS if shots is None else shots
    with stderr().status("[dim]drawing frames ...[/]") as status:
        images = drawn(DISTINCT_FRAMES + count, *size)
        _where(settings)  # the number of threads
        status.update(f"[dim]inspecting {frames} frames by {', '.join(names)} ...[/]")
        rows = bench_runtimes.bench_runtimes(settings, images, count, frames, names)
    where = machine()
    title = (
        f"processor time, {frames} frames of {size[0]} x {size[1]}, {count} references, "
        f"{settings.inspection.method}, profile {settings.agent.profile}; {where['processor']}, "
        f"{where['cores']} cores, {where['threads']} threads"
    )
    bench_runtimes.show(rows, title)
    return {"machine": where, "size": size, "shots": count, "rows": [asdict(row) for row in rows]}


def parse_size(text: str) -> tuple[int, int]:
    """``640x480`` as (width, height). Raises ConfigurationError."""
    width, times, height = text.lower().partition("x")
    if not (times and width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise ConfigurationError(f"--size is written like 640x480, at least 16 pixels a side, not {text!r}")
    return int(width), int(height)


def drawn(count: int, width: int, height: int) -> list[Image]:
    """Good parts of one simulated product, in frames of (height, width)."""
    import cv2
    import numpy as np

    from adapters.simulator import Product, Station, draw

    product, station = Product.create("gear", _SEED), Station.fixed(_SEED)
    side = max(width, height)
    squares = (draw(product, station, _SEED + index, size=side).image for index in range(count))
    return [
        np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for one in squares
    ]


def models_of(settings: Settings) -> tuple[str, ...]:
    """Names of the models that take part in the configured method."""
    from agent.methods import find_method

    spec = find_method(settings.inspection.method)
    return ModelNames.of(settings).taking_part(spec.needs, spec.takes)


def machine() -> dict[str, Any]:
    """The machine that the figures were measured on."""
    import torch

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def percentiles(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and mean of milliseconds."""
    import numpy as np

    p50, p95 = np.percentile(times, (50, 95))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "mean": round(float(np.mean(times)), 2)}


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _where(settings: Settings) -> tuple[str, str, str]:
    """Device, precision and runtime in force."""
    import torch

    from adapters.models.device import PRECISIONS, pick_device, pick_precision, use_threads
    from adapters.models.runtimes.compiler import pick_runtime

    use_threads(settings.models.threads)
    device = pick_device(settings.models.device)
    dtype = pick_precision(settings.models.precision, device)
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    precision = next(known for known, each in PRECISIONS.items() if each == dtype)
    return name, precision, pick_runtime(settings.models.runtime, device, dtype)


def drawn_recipe(method: str, shots: int) -> Recipe:
    """Of so many drawn references."""
    from agent.domain.recipe import Reference, template_recipe

    names = [f"drawn {index}" for index in range(shots)]
    return replace(
        template_recipe("bench", method, "gear"),
        references=tuple(Reference(name, name, name) for name in names),
    )


def _failing(inspector: Inspector, image: Image, prepared: Prepared) -> Prepared:
    """The recipe with thresholds that every frame is above, and a hundredth of its pixels."""
    from agent.domain.calibration import Calibration

    scored = inspector.score([image], [prepared])[0]
    place = scored.anomaly_map
    level = None if place is None else float(place.float().flatten().quantile(1.0 - _DEFECTIVE))
    calibration = Calibration(-1e9, -1e9, 0, 0.5, "set so that every frame fails", level)
    return prepared.with_recipe(replace(prepared.recipe, calibration=calibration))


def _inspect(
    inspector: Inspector, images: list[Image], prepared: Prepared, frames: int, batch: int
) -> tuple[list[float], float]:
    """Milliseconds of each frame, and seconds of all. Raises SightlineError if a frame fails."""
    times: list[float] = []
    started = time.perf_counter()
    for first in range(0, frames, batch):
        together = [images[i % len(images)] for i in range(first, min(first + batch, frames))]
        for result in inspector.inspect(together, [prepared] * len(together)):
            if result.verdict == "ERROR":
                raise SightlineError(result.reason)
            times.append(result.infer_ms)
    return times, time.perf_counter() - started


def _memory(before: float | None, loaded: float | None) -> Memory:
    peak = resident.peak_mb()
    beyond = None if peak is None or loaded is None else peak - loaded
    return Memory(_rounded(before), _rounded(loaded), _rounded(peak), _rounded(beyond))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _forget_gpu_peak(device: str) -> float:
    if not device.startswith("cuda"):
        return 0.0
    import torch

    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() / 1e6


def _gpu_memory(device: str, loaded: float) -> dict[str, float] | None:
    if not device.startswith("cuda"):
        return None
    import torch

    peak = torch.cuda.max_memory_allocated() / 1e6
    return {"loaded": round(loaded, 1), "peak": round(peak, 1), "beyond_models": round(peak - loaded, 1)}


def _show(figures: Figures) -> None:
    where, infer, memory = figures.machine, figures.infer_ms, figures.memory_mb
    shown = table("", "", title=f"{figures.method}, profile {figures.profile}")
    rows = [
        ("machine", f"{where['processor']}, {where['cores']} cores, {where['system']}"),
        ("device", f"{figures.device}, {figures.precision}, {where['threads']} threads on the CPU, "
         f"convolutions by {figures.runtime}"),
        ("models", ", ".join(figures.models) or "none"),
        ("frames", f"{figures.frames} of {figures.frame_size[0]} x {figures.frame_size[1]}, "
         f"{figures.batch} at a time, {figures.shots} references"),
        ("loaded in", f"{figures.load_s:.1f} s; the recipe prepared in {figures.prepare_s:.1f} s; "
         f"the first frame scored in {figures.warm_up_ms:,.0f} ms"),
        ("a frame", f"{infer['p50']:,.1f} ms p50, {infer['p95']:,.1f} ms p95"),
        ("rate", f"{figures.frames_per_s:.3g} frames/s"),
        ("memory", f"{_mb(memory.before)} before, {_mb(memory.loaded)} with the models, {_mb(memory.peak)} "
         f"at most: {_mb(memory.beyond_models)} beyond the models"),
    ]  # fmt: skip
    if figures.gpu_memory_mb is not None:
        gpu = figures.gpu_memory_mb
        rows.append(("GPU memory", f"{_mb(gpu['loaded'])} with the models, {_mb(gpu['peak'])} at most"))
    if (crowd := figures.beside) is not None:
        rows.append(
            (
                f"beside {crowd.processes} busy",
                f"{crowd.beside_ms:,.1f} ms p50, {crowd.factor:.2f} times the {crowd.alone_ms:,.1f} ms "
                f"alone; threads wait {crowd.waiting}",
            )
        )
    for name, value in rows:
        shown.add_row(Text(name, style="dim"), value)
    console = stdout()
    console.print(shown)
    if figures.note is not None:
        console.print(f"[yellow]{plain(figures.note)}[/]")


def _mb(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f} MB"
