"""``Plan``: the cameras, products and jobs of the demonstration, and which products are enrolled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.simulator import Part, Product, Run, SimulatedCamera, Station

FIRST_SEED = 1_000_000
"""Training uses seeds below it: no training run has seen what the demonstration shows."""

IMAGE_SIZE = 480
REJECT_FRACTION = 0.28
SHOTS = 12
LEAST_FRAMES = 24
JPEG_QUALITY = 93


Key = tuple[str, str]
"""A frame: (line/camera, frame id)."""


@dataclass(frozen=True, slots=True)
class Article:
    """One SKU of the demonstration."""

    sku: str
    family: str
    enrolled: bool
    """Whether its references are enrolled before it runs; otherwise its first frame shows that it is new."""
    share: float
    """Of all frames."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One image as its camera publishes it, with what the simulator knows about it."""

    index: int
    sku: str
    part_id: str
    encoded: bytes
    """JPEG."""
    truth: str
    """``good`` or ``defective``."""
    defect: str | None
    mask: bytes
    """PNG, 255 where the defect is."""


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """What one camera sees, job after job."""

    line: str
    camera: str
    articles: tuple[Article, ...]
    feed: SimulatedCamera

    @property
    def name(self) -> str:
        """``line/camera``."""
        return f"{self.line}/{self.camera}"

    def noun(self, sku: str) -> str:
        """The noun of a SKU of this camera."""
        return next(run.product.noun for run in self.feed.runs if run.sku == sku)

    def references(self, sku: str, count: int = SHOTS) -> list[bytes]:
        """JPEG images of good parts that do not pass the camera."""
        product = next(run.product for run in self.feed.runs if run.sku == sku)
        return [encode_jpeg(image.image) for image in self.feed.references(product, count)]

    def shots(self) -> Iterator[Shot]:
        """The images in the order in which the parts come."""
        for part in self.feed:
            yield _shot(part)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole factory for one demonstration."""

    seed: int
    cameras: tuple[CameraPlan, ...]

    @property
    def frames(self) -> int:
        return sum(len(camera.feed) for camera in self.cameras)

    @property
    def articles(self) -> tuple[Article, ...]:
        return tuple(article for camera in self.cameras for article in camera.articles)


LINES: tuple[tuple[str, str, tuple[Article, ...]], ...] = (
    (
        "line-1",
        "top",
        (Article("GR-2041", "gear", True, 0.25), Article("CAP-28", "bottle_cap", True, 0.25)),
    ),
    ("line-2", "top", (Article("OAK-19", "wood_board", False, 0.5),)),
)
"""Line 1 changes over from one enrolled product to another; line 2 runs one that is not enrolled."""


def make_plan(frames: int, seed: int) -> Plan:
    """Share ``frames`` out over the cameras. Raises ValueError below ``LEAST_FRAMES``."""
    if frames < LEAST_FRAMES:
        raise ValueError(f"a demonstration needs at least {LEAST_FRAMES} frames, not {frames}")
    base = FIRST_SEED + 1000 * seed
    counts = share_out(frames, [article.share for _, _, articles in LINES for article in articles])
    remaining = iter(counts)
    cameras = []
    for number, (line, camera, articles) in enumerate(LINES):
        runs = tuple(
            Run(article.sku, Product.create(article.family, base + number), next(remaining), REJECT_FRACTION)
            for article in articles
        )
        station = Station.fixed(base + number)
        feed = SimulatedCamera(line, camera, station, runs, seed=base + number, size=IMAGE_SIZE)
        cameras.append(CameraPlan(line, camera, articles, feed))
    return Plan(seed, tuple(cameras))


def share_out(total: int, shares: list[float]) -> list[int]:
    """Whole numbers in proportion to ``shares`` whose sum is ``total`` (largest remainders)."""
    exact = [total * share / sum(shares) for share in shares]
    counts = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda index: counts[index] - exact[index])
    for index in order[: total - sum(counts)]:
        counts[index] += 1
    return counts


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """An RGB image as a camera's JPEG."""
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def _shot(part: Part) -> Shot:
    _, mask = cv2.imencode(".png", part.image.mask.astype(np.uint8) * 255)
    return Shot(
        index=part.index,
        sku=part.sku,
        part_id=part.part_id,
        encoded=encode_jpeg(part.image.image),
        truth=part.truth,
        defect=part.image.defect,
        mask=mask.tobytes(),
    )
