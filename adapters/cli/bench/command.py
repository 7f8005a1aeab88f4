"""``sightline bench``: the measures, one of which an option chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.options import ConfigFile, Method, Overrides, Profile, chosen_method, configure

if TYPE_CHECKING:
    from config import Settings

FRAMES = 20


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
        from adapters.cli.bench.history import bench_history

        _write(json_file, bench_history(context, history, history_database))
        return
    from adapters.cli.bench.frames import parse_size
    from adapters.cli.bench.method import Run, bench_method

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    width, height = parse_size(size)
    if whole:
        from adapters.cli.bench.agent import Options, bench_agent

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
        from adapters.cli.bench.tiles import compare_tiles

        uncut = (width, height)
        _write(json_file, compare_tiles(context, settings, tiles, photographs, uncut, shots, frames))
        return
    if runtimes is not None:
        from adapters.cli.bench.runtimes import compare_runtimes

        _write(json_file, compare_runtimes(settings, runtimes, (width, height), shots, frames))
        return
    run = Run(
        frames=frames,
        batch=batch,
        size=(width, height),
        shots=_fewest(settings) if shots is None else shots,
        random_weights=random_weights,
        busy=busy,
    )
    _write(json_file, bench_method(context, settings, run))


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
