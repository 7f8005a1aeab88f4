"""``InspectionSettings`` and others: how frames are accepted and judged."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from agent.domain.limits import HIGHEST_FALSE_ALARM_RATE, LOWEST_REVIEW_FACTOR
from agent.domain.regions import Regions, polygon_of
from agent.domain.tiling import TileGrid
from config.sections.base import Matching, Section
from config.sections.units import ByteCount, Duration, PixelCount

Overload = Literal["wait", "latest"]
Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]
Parameter = bool | int | float | str | list[int] | list[float]

_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:0*[1-9]\d{0,4})?", re.ASCII)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("should be a time zone that this machine knows, such as Europe/Berlin") from None
    return name


def _polygon(numbers: list[float]) -> list[float]:
    polygon_of(numbers)  # raises ValueError
    return numbers


class InspectionSettings(Section):
    """Method, batching and decision."""

    method: str = Field(
        "sightline",
        title="Method",
        min_length=1,
        description='How frames are scored. "null" (in quotes) costs null_cost_ms and passes everything.',
    )
    backbone: Annotated[str, Matching(r"clip|timm:\S+", "clip or timm:NAME")] = Field(
        "clip",
        title="Few-shot backbone",
        description="clip (the image tower of models.clip) or timm:NAME.",
    )
    max_batch: int = Field(8, title="Batch", ge=1, le=256, description="Most frames in one pass.")
    max_wait_ms: float = Field(
        0,
        title="Wait, ms",
        ge=0,
        le=10_000,
        description="Longest wait for a batch to fill. 0: none waits; frames that come while others are "
        "inspected are the next batch.",
    )
    overload: Overload = Field(
        "wait",
        title="Overload",
        description="wait: the broker holds the frames, none is skipped. latest: only the newest frame of a "
        "camera, each skipped one counted and recorded.",
    )
    cycle_time_ms: float | None = Field(
        None, title="Cycle time, ms", gt=0, description="A later verdict is marked as late. null: never."
    )
    max_queue: int = Field(
        64,
        title="Queue",
        ge=1,
        description="Frames that wait before the agent takes no more from the broker.",
    )
    false_alarm_rate: float = Field(
        0.01,
        title="False-alarm rate",
        gt=0,
        lt=HIGHEST_FALSE_ALARM_RATE,
        description="Share of good parts allowed above the threshold.",
    )
    review_factor: float = Field(
        3.0,
        title="REVIEW margin",
        ge=LOWEST_REVIEW_FACTOR,
        description="Scores that this many times false_alarm_rate of good parts exceed go to a person.",
    )
    tiles: str | None = Field(
        None,
        title="Tiles",
        description="Columns x rows, such as 3x2: products that are enrolled from now on are judged tile by "
        "tile, so that small defects of large images are seen; a frame takes as many times longer. "
        "`recipe tiles` and `enroll --smallest-defect` set it for one product. null: the whole image.",
    )
    tile_memory: Literal["shared", "own"] = Field(
        "shared",
        title="Memory of tiles",
        description="shared: each tile is compared with all tiles of the references. own: with the same tile "
        "alone, for parts that lie at one place to within a few pixels.",
    )
    null_cost_ms: float = Field(
        0, title="Cost of null, ms", ge=0, description='What a frame costs under method "null".'
    )
    parameters: dict[str, dict[str, Parameter]] = Field(
        default_factory=dict,
        title="Method parameters",
        description="By method: values instead of its own defaults.",
    )

    @field_validator("tiles")
    @classmethod
    def _grid(cls, value: str | None) -> str | None:
        return None if value is None else str(TileGrid.parse(value))

    @field_validator("method", mode="before")
    @classmethod
    def _null_is_a_name(cls, value: Any) -> Any:
        # YAML reads an unquoted null as nothing at all; what the person meant is plain.
        return "null" if value is None else value


class RegionSettings(Section):
    """What is inspected of the frames of one camera, in fractions of the image."""

    inspect: list[Annotated[list[float], AfterValidator(_polygon)]] = Field(
        default_factory=list,
        title="Inspected regions",
        description="[x, y, width, height] from the upper left corner, or corners [x, y, x, y, ...]; all in "
        "fractions, 0 to 1. []: the whole image.",
    )
    ignore: list[Annotated[list[float], AfterValidator(_polygon)]] = Field(
        default_factory=list,
        title="Ignored regions",
        description="As inspect: what no verdict depends on, such as a clock in the image.",
    )

    @model_validator(mode="after")
    def _something_is_inspected(self) -> Self:
        self.regions()
        return self

    def regions(self) -> Regions:
        """As the agent works with them. Raises ValueError: they leave nothing to inspect."""
        return Regions.of({"inspect": self.inspect, "ignore": self.ignore})


class CameraSettings(Section):
    """What differs for one camera; null: as ``inspection``, ``agent`` and ``alerts`` have it."""

    overload: Overload | None = Field(None, title="Overload", description="As inspection.overload.")
    cycle_time_ms: float | None = Field(
        None, title="Cycle time, ms", gt=0, description="As inspection.cycle_time_ms."
    )
    shadow: bool | None = Field(None, title="Shadow mode", description="As agent.shadow.")
    silent_after: Duration | None = Field(
        None, title="Silent after", description="As alerts.silent_after; 0: this camera may pause."
    )
    timezone: Annotated[str, AfterValidator(_zone)] | None = Field(
        None,
        title="Time zone",
        description="Of its captured_at where that names none, such as Europe/Berlin. null: UTC.",
    )
    bits: int | None = Field(
        None,
        title="Bits",
        ge=8,
        le=16,
        description="Significant bits of its values in PNG with 16 bits a channel, such as 12. null: as the "
        "PNG states (sBIT), else by the highest value that the camera has sent.",
    )
    regions: RegionSettings = Field(
        default_factory=RegionSettings,
        title="Regions",
        description="Beside those of a recipe: what both inspect and neither ignores.",
    )


class FramesSettings(Section):
    """What a frame may be. Anything beyond becomes an ERROR row, before it is decoded."""

    max_bytes: ByteCount = Field(
        20_000_000, title="Largest file", gt=0, description="Bytes of an encoded image."
    )
    max_pixels: PixelCount = Field(
        100_000_000, title="Largest image", gt=0, description="Width times height."
    )
    allowed_roots: list[Path] = Field(
        default_factory=list,
        title="Allowed folders",
        description="Where image_ref may name files. []: nowhere.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        title="Allowed hosts",
        description="Where image_ref may fetch from: NAME, ADDRESS or NETWORK (192.168.10.0/24) for ports "
        "80 and 443, NAME:PORT or ADDRESS:PORT for that port alone. A NAME that leads to a private address "
        "needs that address or its network here too. []: nowhere.",
    )
    fetch_timeout_s: float = Field(
        5.0, title="Fetch timeout, s", gt=0, le=120, description="Longest wait for a frame given by URL."
    )
    decode_worker: bool = Field(
        True,
        title="Decoder process",
        description="Images are decoded in a process of their own, so that a malicious one cannot end the "
        "agent. On systems without such processes (Windows), and with false: in the agent itself.",
    )
    decode_timeout_s: float = Field(
        10.0,
        title="Decode timeout, s",
        gt=0,
        le=600,
        description="After which the decoder process is replaced, and the frame is an ERROR.",
    )

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for entry in value:
            try:
                ipaddress.ip_network(entry.strip())
            except ValueError:
                if _HOST.fullmatch(entry.strip()) is None:
                    raise ValueError(
                        f"{entry!r} should be NAME, NAME:PORT, ADDRESS or NETWORK such as 192.168.10.0/24"
                    ) from None
        return value


class ModelsSettings(Section):
    """Which weights, and on which device. Only `models pull` downloads anything."""

    path: Path = Field(Path("var/models"), title="Folder", description="Where `models pull` puts weights.")
    files: dict[str, Path] = Field(
        default_factory=dict, title="Local files", description="A model's name and its file on this machine."
    )
    clip: str = Field(
        "sightline-tiny", title="Vision-language model", description="sightline-tiny is bundled."
    )
    preprocessing: Literal["clip", "imagenet", "signed"] | None = Field(
        None,
        title="Preprocessing",
        description="How images are normalised for a file of your own for models.clip. null: by its name, "
        "else as for CLIP.",
    )
    detector: str | None = Field(
        None, title="Detector", description="Finds products and defects by their nouns. null: none."
    )
    segmenter: str | None = Field(
        None, title="Segmenter", description="Outlines what the detector or the map points at. null: none."
    )
    device: Annotated[str, Matching(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:N")] = Field(
        "auto",
        title="Device",
        description="auto (a GPU if there is one), cpu, cuda or cuda:N.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        title="Precision",
        description="Of the models' arithmetic: bf16 is faster on a GPU and moves scores a little. "
        "auto: bf16 on a GPU, fp32 on a CPU.",
    )
    runtime: Runtime = Field(
        "auto",
        title="Runtime",
        description="What computes convolutional networks on a CPU; all else is PyTorch's. Scores differ by "
        "less than 0.001. auto: onnxruntime on a CPU in fp32. openvino: install sightline[openvino].",
    )
    cache: Path = Field(
        Path("var/cache"),
        title="Cache",
        description="Where networks are kept as the runtime takes them, and what recipes memorise of their "
        "references. What is deleted there is made anew.",
    )
    threads: int | None = Field(
        None,
        title="CPU threads",
        ge=1,
        description="Threads of one pass. null: OMP_NUM_THREADS, else as many as there are cores; from three "
        "cores on, one less. `sightline check` reports both.",
    )
