"""``sightline camera``: publishes images as a camera would."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.options import ConfigFile, Overrides, Profile, configure, name_of
from adapters.cli.screen import duration, plural, stderr, stdout
from agent.domain.errors import SightlineError
from agent.domain.frame import Camera
from agent.domain.names import name_from

if TYPE_CHECKING:
    from adapters.mqtt.camera_publisher import Shot
    from config import Settings

SIMULATED = "simulated"
_SIMULATED_SEED = 1_000_000
_SIMULATED_FRAMES = 100


class FrameForm(StrEnum):
    """How a frame travels."""

    RAW = "raw"
    JSON = "json"
    REF = "ref"


class Protocol(StrEnum):
    """MQTT versions."""

    AUTO = "auto"
    MQTT5 = "5"
    MQTT311 = "3.1.1"


def camera(
    source: Annotated[str, typer.Option(metavar="DIR|simulated", help="A folder of images, or drawn ones.")],
    name: Annotated[
        str, typer.Option("--camera", metavar="LINE/CAM", help="The camera, by its line and name.")
    ],
    sku: Annotated[
        str | None, typer.Option(metavar="S", parser=name_of, help="What the images show.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, metavar="HZ", help="Images a second; by default 2.")
    ] = 2.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as the broker accepts them; --rate is ignored.")
    ] = False,
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="mqtt://HOST:PORT; by default that of the configuration."),
    ] = None,
    site: Annotated[str | None, typer.Option(help="By default that of the configuration.")] = None,
    form: Annotated[
        FrameForm, typer.Option(help="The image itself, JSON with base64, or a path.")
    ] = FrameForm.RAW,
    protocol: Annotated[Protocol | None, typer.Option(help="MQTT version.")] = None,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end, with new frame ids.")] = False,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="Before every frame id: sends known images as new ones.")
    ] = "",
    announce_job: Annotated[
        bool, typer.Option("--announce-job", help="Publish --sku as the retained job first.")
    ] = False,
    family: Annotated[str, typer.Option(help="What to draw with --source simulated.")] = "gear",
    seed: Annotated[int, typer.Option(min=0, help="Of drawn parts.")] = 0,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Publish images as a camera would, with QoS 1 and at a steady rate.

    Frame ids come from the files' relative paths: an image published twice is inspected once, unless --prefix
    makes it another frame. Under MQTT 3.1.1 a raw image carries no identity: the agent derives the frame id
    from its bytes and takes the SKU from the job topic (--announce-job). Or use --form json.
    """
    from agent.app.broker import camera_publisher, reachable_url

    own = [*([f"agent.site={site}"] if site else []), *([f"broker.url={broker}"] if broker else [])]
    settings = configure(config, profile, [*(overrides or ()), *own]).settings
    if announce_job and sku is None:
        raise SightlineError("--announce-job needs --sku: the job is what the camera's line produces")
    shots, total = _source(source, sku, family, seed, count, loop, name, prefix)
    with camera_publisher(
        settings,
        reachable_url(settings),
        parse_camera(name, settings),
        form=form.value,
        version=protocol.value if protocol else None,
    ) as publisher:
        if announce_job and sku is not None:
            publisher.announce_job(sku, _noun(source, family))
        started = time.monotonic()
        done = publisher.run(_numbered(_with_progress(shots, total)), None if fast else rate)
        seconds = time.monotonic() - started
        stdout().print(
            f"{plural(done.sent, 'frame')} published, {done.acknowledged} acknowledged by "
            f"{settings.broker.host}:{settings.broker.port} (MQTT {publisher.version}) in {duration(seconds)}"
        )
    if done.acknowledged < done.sent:
        raise SightlineError(f"{plural(done.sent - done.acknowledged, 'frame')} never reached the broker")


def parse_camera(text: str, settings: Settings) -> Camera:
    """``LINE/CAM`` of the configured site. Raises SightlineError."""
    from adapters.mqtt.topics import DEFAULT_LINE, check_level

    line, slash, camera_name = text.partition("/")
    if not slash and "{line}" not in settings.topics.frame:
        line, slash, camera_name = DEFAULT_LINE, "/", text
    if not slash or not camera_name or "/" in camera_name:
        raise SightlineError(f"--camera is LINE/CAM, such as line-1/top, not {text!r}")
    try:
        return Camera(settings.agent.site, check_level(line, "line"), check_level(camera_name, "camera"))
    except ValueError as error:
        raise SightlineError(f"--camera: {error}") from None


def _source(
    source: str,
    sku: str | None,
    family: str,
    seed: int,
    count: int | None,
    loop: bool,
    name: str,
    prefix: str,
) -> tuple[Iterator[Shot], int | None]:
    """The images, and how many there will be; None if that is unknown."""
    if source == SIMULATED:
        total = count or (None if loop else _SIMULATED_FRAMES)
        shots: Iterator[Shot] = _drawn(sku, family, seed, name, prefix)
        return itertools.islice(shots, total), total
    return _from_files(Path(source), sku, count, loop, prefix)


def _from_files(
    folder: Path, sku: str | None, count: int | None, loop: bool, prefix: str
) -> tuple[Iterator[Shot], int | None]:
    from adapters.cli import images
    from adapters.mqtt.camera_publisher import Shot

    files = images.find([folder])

    def shots() -> Iterator[Shot]:
        for turn in itertools.count():
            for file in files:
                frame_id = f"{prefix}{file.name}" if turn == 0 else f"{prefix}{file.name}#{turn + 1}"
                yield Shot(
                    file.path.read_bytes(),
                    file.media_type,
                    sku=sku,
                    part_id=name_from(file.name.rpartition(".")[0]),
                    frame_id=name_from(frame_id),
                    reference=str(file.path.resolve()),
                )
            if not loop:
                return

    total = count if loop else min(count or len(files), len(files))
    return itertools.islice(shots(), total), total


def _drawn(sku: str | None, family: str, seed: int, name: str, prefix: str) -> Iterator[Shot]:
    """An endless run of drawn parts, one in ten defective."""
    from adapters.cli.demo.plan import encode_jpeg
    from adapters.mqtt.camera_publisher import Shot
    from adapters.simulator import FAMILIES, Product, Run, SimulatedCamera, Station

    if family not in FAMILIES:
        raise SightlineError(f"there is no family {family!r} to draw; there are {', '.join(FAMILIES)}")
    number = _SIMULATED_SEED + seed
    line, _, camera_name = name.partition("/")
    product, station = Product.create(family, number), Station.fixed(number)
    for shift in itertools.count():
        run = Run(sku or family, product, _SIMULATED_FRAMES)
        feed = SimulatedCamera(line, camera_name, station, (run,), seed=number + 1000 * shift, size=480)
        for part in feed:
            index = shift * _SIMULATED_FRAMES + part.index
            yield Shot(
                encode_jpeg(part.image.image),
                sku=sku or family,
                part_id=f"{number}-{index:06d}",
                frame_id=f"{prefix}{family}-{number}-{index:06d}",
            )


def _numbered(shots: Iterator[Shot]) -> Iterator[Shot]:
    """With sequence numbers from 0, as a camera counts since it was switched on."""
    return (replace(shot, sequence=number) for number, shot in enumerate(shots))


def _noun(source: str, family: str) -> str | None:
    return family.replace("_", " ") if source == SIMULATED else None


def _with_progress(shots: Iterator[Shot], total: int | None) -> Iterator[Shot]:
    """The same, with a progress bar on stderr if that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = stderr()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        for shot in shots:
            yield shot
            progress.update(task, advance=1, description=shot.frame_id or "")
