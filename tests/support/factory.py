"""``Rooms``: the real storage of one agent on SQLite; ``wait_until``: the clock of tests that wait."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
from sqlalchemy import text

from adapters.images.codec import CvImageCodec
from agent.domain.frame import Image
from agent.domain.regions import EVERYWHERE, Regions
from agent.methods.fade import FadeParameters
from agent.methods.prepared import Prepared
from agent.recipes.cache import RecipeCache
from storage import (
    Database,
    MediaFolder,
    SqlHistory,
    SqlOnboardingClaims,
    SqlOutbox,
    SqlRecipeBook,
    SqlSamples,
)

PARAMETERS = FadeParameters(
    scales=(64,), map_size=16, pool_fraction=0.01, few_shot_image_vision=0.85, clip=False, wrap_prompt=False
)
"""Small and quick, otherwise as the default method."""

PATIENCE_S = 20.0


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Return as soon as ``condition`` holds; fail with ``what`` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.005)


def in_use(cache: RecipeCache, sku: str, regions: Regions = EVERYWHERE) -> Prepared:
    """The recipe of the next frame, once it is prepared. Raises what keeps it from being prepared."""
    found: list[Prepared] = []

    def is_ready() -> bool:
        prepared = cache.current(sku, regions)
        found.extend(() if prepared is None else (prepared,))
        return bool(found)

    wait_until(is_ready, f"the recipe of {sku}")
    return found[0]


def encoded(image: Image, suffix: str = ".png") -> bytes:
    """An image as a camera sends it."""
    done, content = cv2.imencode(suffix, image[..., ::-1])
    assert done
    return content.tobytes()


def fill_disk(file: Path) -> None:
    """Let ``file`` take what is left of its disk, to the last byte."""
    with file.open("ab", buffering=0) as handle:
        for size in (65_536, 4_096, 1):
            try:
                while handle.write(bytes(size)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


class Rooms:
    """History, outbox, recipe book and media folder of one agent."""

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        """``path``: of the database, by default beside the media."""
        self.folder = folder
        self.path = path or folder / "history.db"
        self.database = Database(f"sqlite:///{self.path}", busy_timeout_s=0.05)
        self.history = SqlHistory(self.database, agent_id="cell-7", agent_version="1")
        self.outbox = SqlOutbox(self.database, agent_id="cell-7")
        self.book = SqlRecipeBook(self.database)
        self.claims = SqlOnboardingClaims(self.database)
        self.media = MediaFolder(folder / "media")
        self.samples = SqlSamples(self.database, self.media)
        self.codec = CvImageCodec()

    def rows(self, table: str, order: str = "rowid") -> Sequence[Mapping[str, Any]]:
        """All rows of a table or view."""
        with self.database.read() as connection:
            found = connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}"))  # noqa: S608
            return [dict(row) for row in found.mappings()]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(self.rows(table))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()
