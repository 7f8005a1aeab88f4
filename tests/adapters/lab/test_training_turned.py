"""References turned in training: the same images that enrollment memorises, and for loose parts only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from adapters.lab.training.alike import (
    FROZEN,
    AlikeSettings,
    cache_tables,
    depths_of,
    early,
    teach_alike,
    turned_places,
)
from adapters.lab.training.linepool import LinePool
from adapters.lab.training.networks import ARCHITECTURE, Twin
from adapters.lab.training.textures import dead_leaves
from agent.methods.memory import join_depths
from agent.methods.variants import variants
from tests.adapters.lab.toy_products import toy_line


@pytest.fixture(scope="module")
def trunk() -> Any:
    torch.manual_seed(3)
    return timm.create_model(ARCHITECTURE, num_classes=0).eval()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> LinePool:
    return toy_line(monkeypatch)


def test_the_places_are_those_of_the_images_that_enrollment_turns(trunk: Any, line: LinePool) -> None:
    found = turned_places(
        lambda batch: depths_of(trunk, early(trunk, batch)), line, [2, 0], lambda images: images, 4
    )
    for row, places in zip((2, 0), found, strict=True):
        images = np.stack(list(variants(line.images[row], (90.0, 180.0, 270.0))))
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            depths = depths_of(trunk, early(trunk, batch))
        expected = join_depths([depth.permute(0, 2, 3, 1) for depth in depths], smoothing=1).flatten(0, 2)
        assert places.shape == expected.shape == (3 * 8 * 8, expected.shape[-1])
        assert torch.allclose(places, expected, atol=1e-4)
        assert not places.requires_grad


def test_the_colours_are_those_that_the_caller_gives(trunk: Any, line: LinePool) -> None:
    grey = turned_places(
        lambda batch: [batch[:, :, ::8, ::8]], line, [0], lambda images: torch.full_like(images, 0.75), 2
    )
    assert torch.allclose(grey[0], torch.full_like(grey[0], 3**-0.5), atol=1e-6), "unit vectors of grey"


def test_one_direction_is_the_image_as_it_is(trunk: Any, line: LinePool) -> None:
    found = turned_places(lambda batch: [batch], line, [0, 2], lambda images: images, 1)
    assert [len(places) for places in found] == [0, 0]


@pytest.mark.parametrize(("station", "differs"), [("loose", True), ("fixed", False), ("varied", False)])
def test_teaching_turns_the_references_of_loose_parts_alone(
    line: LinePool, tmp_path: Path, station: str, differs: bool
) -> None:
    line = replace(line, records=[replace(record, station=station) for record in line.records])
    leaves = np.stack([dead_leaves(index, 64) for index in range(4)])
    ends = []
    for directions in (1, 4):
        torch.manual_seed(3)
        trunk: Any = timm.create_model(ARCHITECTURE, num_classes=0).eval()
        tables = cache_tables(trunk, Twin(trunk), line, leaves, tmp_path / "early", 0)
        settings = AlikeSettings(steps=2, groups=2, leaves=3, directions=directions)
        teach_alike(trunk, line, tables, settings, folder=tmp_path / str(directions))
        ends.append(trunk.blocks[FROZEN][0].conv_pw.weight.detach().clone())
    assert torch.equal(ends[0], ends[1]) != differs
