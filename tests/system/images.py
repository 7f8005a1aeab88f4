"""Images that the tests publish: drawn ones, and real photographs if they lie beside the checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from adapters.mqtt.camera_publisher import Shot
from adapters.simulator import Product, Station, draw, random_defect

SHARED = Path(__file__).resolve().parents[3] / "shared"
FIRST_SEED = 1_000_000
"""Seeds from here on are never trained on."""


def encode(image: object, suffix: str = ".jpg") -> bytes:
    """An RGB image as a file's bytes."""
    ok, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))  # type: ignore[call-overload]
    assert ok
    return bytes(data)


def drawn(family: str, count: int, *, every_nth_defective: int = 4, prefix: str = "part") -> Iterator[Shot]:
    """Parts of one drawn product at one fixed station."""
    product, station = Product.create(family, FIRST_SEED), Station.fixed(FIRST_SEED)
    for index in range(count):
        seed = FIRST_SEED + index
        defective = every_nth_defective and index % every_nth_defective == every_nth_defective - 1
        image = draw(
            product, station, seed, defect=random_defect(product, seed) if defective else None, size=192
        )
        yield Shot(
            encoded=encode(image.image),
            media_type="image/jpeg",
            sku=family,
            part_id=f"{prefix}-{index:04d}",
            frame_id=f"{prefix}-{index:04d}",
        )


def photographs(name: str) -> Path:
    """The folder of one set of real photographs; the test is skipped if it is missing."""
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the photographs {name!r} are not beside this checkout (shared/data/{name})")
    return folder
