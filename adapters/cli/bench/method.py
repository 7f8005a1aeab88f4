"""``bench_method``: how fast a method is here, and how much memory it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from adapters.cli import resident
from adapters.cli.bench.beside import Beside, beside
from adapters.cli.bench.frames import DISTINCT_FRAMES, drawn, drawn_recipe
from adapters.cli.bench.machine import in_force, machine
from adapters.cli.options import composition_of
from adapters.cli.screen import plain, stderr, stdout, table
from adapters.models.weights.needs import ModelNames
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.inference.inspector import Inspector
    from agent.methods.prepared import Prepared
    from config import Settings

MEANINGLESS = (
    "Random weights of the models' true sizes: times and memory are those of the real ones, scores and "
    "verdicts mean nothing."
)
_DEFECTIVE = 0.01
"""Share of the pixels that count as defective, so that outlines are drawn as for a small defect."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured."""

    frames: int
    batch: int
    """Frames inspected together."""
    size: tuple[int, int]
    """Width and height."""
    shots: int
    random_weights: bool
    busy: int
    """So many busy processes, beside which frames are timed once more."""


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


def bench_method(context: typer.Context, settings: Settings, run: Run) -> dict[str, Any]:
    """The figures, shown as a table. Raises SightlineError."""
    frames, batch, shots = run.frames, run.batch, run.shots
    composition = composition_of(context)
    build = composition.untrained_inspector if run.random_weights else composition.inspector
    console = stderr()
    with console.status("[dim]drawing frames ...[/]") as status:
        # The segmenter caches the last image, so the first timed frame is not that of the warm-up.
        images = drawn(max(2, min(DISTINCT_FRAMES, max(frames, batch))) + shots, *run.size)
        device, precision, runtime = in_force(settings)  # loads PyTorch, whose memory is not the models'
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
        if run.busy:
            status.update(f"[dim]inspecting {frames} frames alone and beside busy processes ...[/]")
            crowd = beside(inspector, prepared, images[shots:], run.busy, frames)
    figures = Figures(
        machine=machine(),
        device=device,
        precision=precision,
        runtime=runtime,
        profile=settings.agent.profile,
        method=settings.inspection.method,
        models=models_of(settings),
        random_weights=run.random_weights,
        frames=frames,
        batch=batch,
        frame_size=run.size,
        shots=shots,
        load_s=round(load_s, 2),
        prepare_s=round(prepare_s, 2),
        warm_up_ms=round(warm_up_ms, 1),
        infer_ms=percentiles(times),
        frames_per_s=float(f"{frames / elapsed:.4g}"),
        memory_mb=_memory(before, loaded),
        gpu_memory_mb=_gpu_memory(device, gpu_loaded),
        beside=crowd,
        note=MEANINGLESS if run.random_weights else None,
    )
    _show(figures)
    return asdict(figures)


def models_of(settings: Settings) -> tuple[str, ...]:
    """Names of the models that take part in the configured method."""
    from agent.methods import find_method

    spec = find_method(settings.inspection.method)
    return ModelNames.of(settings).taking_part(spec.needs, spec.takes)


def percentiles(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and mean of milliseconds."""
    import numpy as np

    p50, p95 = np.percentile(times, (50, 95))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "mean": round(float(np.mean(times)), 2)}


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
