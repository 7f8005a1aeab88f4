"""A command line with real parts; only the models are replaced by a method that compares pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from adapters.cli.commands import application
from adapters.cli.demo.plan import encode_jpeg
from adapters.simulator import Product, Station, draw
from agent.app import Application
from agent.domain.errors import ModelError
from agent.inference.inspector import Inspector
from config import Settings
from tests.adapters.cli.pixel_method import PixelMethod

SEED = 1_000_000


class QuickApplication(Application):
    """The application as it is, without weights."""

    def inspector(self, settings: Settings) -> Inspector:
        """A method that compares pixels. As with real ones, some methods lack a model or references."""
        method = settings.inspection.method
        if method in ("apg-gd", "iap-as"):
            raise ModelError("there are no weights of grounding-dino-tiny")
        return Inspector(PixelMethod(references_only=method == "anomaly-dino"))


@dataclass(frozen=True)
class CommandLine:
    """Runs commands in this process, in a folder of the test's own."""

    folder: Path

    def __call__(self, *arguments: str, code: int | None = 0) -> Result:
        """Run one command; its exit code must be ``code`` (None: any)."""
        result = CliRunner().invoke(application(), list(arguments), obj=QuickApplication())
        if code is not None:
            assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
        return result


@pytest.fixture
def sightline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line; the working directory is ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIGHTLINE_BROKER__URL", "SIGHTLINE_DATABASE__URL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return CommandLine(tmp_path)


def gear(seed: int, defect: str | None = None) -> NDArray[np.uint8]:
    """One gear of a fixed station, 128 pixels square."""
    product, station = Product.create("gear", SEED), Station.fixed(SEED)
    return draw(product, station, SEED + seed, defect=defect, size=128).image


@pytest.fixture
def gears(tmp_path: Path) -> Callable[[str, int], Path]:
    """Write a folder of good gears: ``gears("good", 10)``."""

    def write(name: str, count: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index in range(count):
            (folder / f"{index:03d}.jpg").write_bytes(encode_jpeg(gear(index)))
        return folder

    return write


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command sets up logging on its own stderr, which is closed when its test ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
