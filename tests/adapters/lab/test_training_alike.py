"""Few-shot features: what counts as odd, what the loss asks for, and what teaching it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from adapters.lab.training import alike, progress
from adapters.lab.training.alike import (
    FROZEN,
    AlikeSettings,
    Oddness,
    alike_loss,
    cache_tables,
    depths_of,
    early,
    oddness,
    teach_alike,
)
from adapters.lab.training.linepool import LinePool
from adapters.lab.training.networks import ARCHITECTURE, COMPARED, Twin
from adapters.lab.training.textures import dead_leaves
from adapters.lab.training.train import RESULT, started, trunk_of
from adapters.models.registry import bundled_folder
from tests.adapters.lab.toy_products import toy_line

NOTHING = float(np.log(1e-3))
"""Log distance of a place to itself."""


def _far(cosine: float) -> float:
    return float(np.log((1 - cosine) / 2 + 1e-3))


def _map(side: int = 5, **places: tuple[int, int, float]) -> torch.Tensor:
    """(side, side, 2) unit vectors: along the first axis, but where a place has another cosine with it."""
    query = torch.zeros(side, side, 2)
    query[..., 0] = 1
    for row, column, cosine in places.values():
        query[row, column] = torch.tensor([cosine, (1 - cosine**2) ** 0.5])
    return query


AXIS = torch.tensor([[1.0, 0.0]])


# ---------------------------------------------------------------------------------------- oddness


def test_a_place_is_as_odd_as_its_nearest_reference_is_far() -> None:
    query = _map(a=(0, 0, 0.6), b=(4, 4, -1.0))
    alone = oddness(query, AXIS, torch.zeros(5, 5))
    assert len(alone.defect) == 0
    odd = alone.good.reshape(5, 5)
    assert float(odd[0, 0]) == pytest.approx(_far(0.6), abs=1e-5)
    assert float(odd[4, 4]) == pytest.approx(_far(-1.0), abs=1e-5)
    assert float(odd[2, 2]) == pytest.approx(NOTHING, abs=1e-5)
    more = torch.cat([AXIS, query[0, 0][None]])  # the first odd place is a reference now
    nearer = oddness(query, more, torch.zeros(5, 5)).good.reshape(5, 5)
    assert float(nearer[0, 0]) == pytest.approx(NOTHING, abs=1e-3)
    assert float(nearer[4, 4]) == pytest.approx(_far(-0.6), abs=1e-5)


def test_the_nearest_is_the_nearest_of_many() -> None:
    """Also on maps of more places than are compared at once."""
    generator = torch.Generator().manual_seed(0)
    query = F.normalize(torch.randn(20, 20, 6, generator=generator), dim=-1)
    references = F.normalize(torch.randn(50, 6, generator=generator), dim=-1)
    found = oddness(query, references, torch.zeros(20, 20)).good
    expected = torch.log(0.5 * (1 - (query.flatten(0, 1) @ references.T).amax(1)) + 1e-3)
    assert torch.allclose(found, expected, atol=1e-4)


def test_places_next_to_a_defect_count_as_neither() -> None:
    query = _map(7, defect=(3, 3, 0.0), beside=(2, 3, -1.0), corner=(4, 4, -1.0), away=(3, 5, 0.6))
    coverage = torch.zeros(7, 7)
    coverage[3, 3] = 0.9
    parts = oddness(query, AXIS, coverage)
    assert len(parts.good) == 49 - 9
    assert parts.defect.tolist() == pytest.approx([_far(0.0)], abs=1e-5)
    assert float(parts.good.max()) == pytest.approx(_far(0.6), abs=1e-5)


def test_hardly_covered_places_count_as_neither_unless_none_is_covered_more() -> None:
    query = _map(7, strong=(3, 3, 0.0), weak=(3, 4, 0.6))
    coverage = torch.zeros(7, 7)
    coverage[3, 3], coverage[3, 4] = 0.3, 0.29
    parts = oddness(query, AXIS, coverage)
    assert parts.defect.tolist() == pytest.approx([_far(0.0)], abs=1e-5)
    assert len(parts.good) == 49 - 12
    coverage[3, 3] = 0.02
    parts = oddness(query, AXIS, coverage)
    assert parts.defect.tolist() == pytest.approx([_far(0.6)], abs=1e-5), "the place with most of a small one"
    coverage[3, 3] = 0.31
    coverage[3, 4] = 0.8
    assert len(oddness(query, AXIS, coverage).defect) == 2


def test_defects_that_nobody_sees_ask_for_nothing_and_are_not_good_either() -> None:
    query = _map(7, defect=(3, 3, 0.0))
    coverage = torch.zeros(7, 7)
    coverage[3, 3] = 1
    parts = oddness(query, AXIS, coverage, visible=False)
    assert len(parts.defect) == 0
    assert len(parts.good) == 49 - 9
    assert float(parts.good.max()) == pytest.approx(NOTHING, abs=1e-5)
    asked = alike_loss([parts], AlikeSettings())
    assert float(asked) == 0.0


def test_a_image_is_as_odd_as_its_three_oddest_places() -> None:
    parts = Oddness(torch.tensor([-6.0, -1.0, -5.0, -2.0, -3.0]), torch.tensor([-0.5, -1.5]))
    assert float(parts.oddest_good) == pytest.approx(-2.0)
    assert float(parts.oddest_defect) == pytest.approx(-1.0)


# ----------------------------------------------------------------------------------------- the loss


def _parts(good: float, defect: float) -> list[Oddness]:
    return [Oddness(torch.full((20,), good), torch.full((2,), defect)) for _ in range(3)]


def test_the_loss_is_small_where_defects_are_far_and_large_where_they_are_near() -> None:
    settings = AlikeSettings()
    far, level, near = (float(alike_loss(_parts(-4.0, defect), settings)) for defect in (-1.0, -4.0, -6.0))
    assert 0 <= far < 1e-4
    assert far < level < near
    # The softplus is nearly linear there: the margin and the difference, and half of the difference again.
    assert near == pytest.approx((2 + settings.margin) + 0.5 * 2, abs=1e-3)


def test_a_defect_is_compared_with_the_good_places_of_all_images_of_the_product() -> None:
    calm, restless = _parts(-4.0, -1.0), _parts(-4.0, -1.0)
    restless[2] = replace(restless[2], good=torch.full((20,), -1.0), defect=torch.zeros(0))
    assert float(alike_loss(restless, AlikeSettings())) > float(alike_loss(calm, AlikeSettings())) + 0.05


def test_images_without_a_visible_defect_are_left_out_of_the_mean() -> None:
    parts = _parts(-4.0, -4.0)
    some = [replace(parts[0], defect=torch.zeros(0)), *parts[1:]]
    assert float(alike_loss(some, AlikeSettings())) == pytest.approx(
        float(alike_loss(parts, AlikeSettings()))
    )


def test_the_loss_moves_queries_and_references() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(7, 7, 4, generator=generator).requires_grad_()
    bank = torch.randn(30, 4, generator=generator).requires_grad_()
    coverage = torch.zeros(7, 7)
    coverage[3, 3] = 1
    parts = oddness(F.normalize(raw, dim=-1), F.normalize(bank, dim=-1), coverage)
    alike_loss([parts], AlikeSettings()).backward()
    assert raw.grad is not None
    assert bank.grad is not None
    moved = raw.grad.abs().sum(-1) > 0
    assert moved[3, 3]
    assert moved.sum() == 1 + 3, "the defect, and the three oddest good places"
    assert not moved[2:5, 2:5].flatten()[[0, 1, 2, 3, 5, 6, 7, 8]].any()
    assert 1 <= int((bank.grad.abs().sum(-1) > 0).sum()) <= 4
    # Downhill the defect comes to lie farther away.
    with torch.no_grad():
        later = oddness(F.normalize(raw - 0.05 * raw.grad, dim=-1), F.normalize(bank, dim=-1), coverage)
    assert later.oddest_defect > parts.oddest_defect


# ------------------------------------------------------------------------------------- the tables


@pytest.fixture(scope="module")
def bundled() -> dict[str, torch.Tensor]:
    return trunk_of(started(bundled_folder() / RESULT))


@pytest.fixture
def trunk(bundled: dict[str, torch.Tensor]) -> Any:
    made = timm.create_model(ARCHITECTURE, num_classes=0)
    made.load_state_dict(bundled)
    return made.eval().requires_grad_(False)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> LinePool:
    return toy_line(monkeypatch)


@pytest.fixture(scope="module")
def leaves() -> NDArray[np.uint8]:
    return np.stack([dead_leaves(index, 64) for index in range(6)])


def test_images_of_one_group_have_the_same_colours(
    trunk: Any, line: LinePool, leaves: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told from images that are all the same as drawn."""
    monkeypatch.setattr(alike, "JITTERED", 1.0)
    plain = replace(line, images=np.full_like(line.images, 120))
    tables = cache_tables(trunk, Twin(trunk), plain, leaves[:2], tmp_path, 0)
    groups = plain.groups()
    for table in (tables.line.early, *tables.line.targets):
        seen = []
        for pairs in groups:
            rows = [row for pair in pairs for row in (2 * pair, 2 * pair + 1)]
            assert all(np.allclose(table[row], table[rows[0]], atol=1e-2) for row in rows)
            seen.append(table[rows[0]])
        for index, first in enumerate(seen):
            assert not any(np.allclose(first, other, atol=0.1) for other in seen[index + 1 :])


def test_about_half_of_the_products_keep_the_colours_that_they_were_drawn_in(
    trunk: Any, leaves: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = toy_line(monkeypatch, numbers=6)
    tables = cache_tables(trunk, Twin(trunk), line, leaves[:2], tmp_path, 0)
    images = torch.from_numpy(line.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        drawn = early(trunk, images).permute(0, 2, 3, 1).numpy()
    kept = np.isclose(tables.line.early, drawn, atol=0.05).all((1, 2, 3))
    by_group = [
        {bool(kept[row]) for pair in pairs for row in (2 * pair, 2 * pair + 1)} for pairs in line.groups()
    ]
    assert all(len(states) == 1 for states in by_group)
    assert 2 < sum(True in states for states in by_group) < 10


def test_tables_hold_the_students_early_features_and_the_teachers_late_ones(
    trunk: Any, line: LinePool, leaves: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike, "JITTERED", 0.0)
    torch.manual_seed(5)
    teacher = timm.create_model(ARCHITECTURE, num_classes=0).eval()
    tables = cache_tables(trunk, Twin(teacher), line, leaves, tmp_path, 0)
    images = torch.from_numpy(leaves).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        own, other = early(trunk, images), depths_of(teacher, early(teacher, images))
    assert torch.allclose(tables.leaves.early_of([4, 1]), own[[4, 1]], atol=0.02, rtol=0.01)
    for found, expected in zip(tables.leaves.targets_of([0, 5]), other, strict=True):
        assert torch.allclose(found, expected[[0, 5]], atol=1e-3, rtol=0.01)
    assert [len(table.early) for table in (tables.line, tables.leaves)] == [len(line.images), len(leaves)]
    monkeypatch.setattr(Twin, "depths", lambda *_: pytest.fail("computed before"))
    again = cache_tables(None, Twin(teacher), line, leaves, tmp_path, 0)
    assert np.array_equal(again.line.early, tables.line.early), "computed before, and only read"


# ------------------------------------------------------------------------------------ the teaching


def test_teaching_lowers_the_loss_and_leaves_the_rest_of_the_trunk_as_it_was(
    trunk: Any, line: LinePool, leaves: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHOWN", 1)
    monkeypatch.setattr(progress, "_MEMORY", 0.0)
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    tables = cache_tables(trunk, Twin(trunk), line, leaves, tmp_path / "early", 0)
    settings = AlikeSettings(steps=30, groups=2, leaves=4, learning_rate=2e-3)
    teach_alike(trunk, line, tables, settings, folder=tmp_path)
    curve = [json.loads(point) for point in (tmp_path / "alike.curve.jsonl").read_text().splitlines()]
    losses = [point["alike"] for point in curve]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert curve[0]["line"] < 1e-3, "the teacher is where it starts from"
    assert max(point["abstract"] for point in curve) < 0.5

    after = trunk.state_dict()
    taught = tuple(f"blocks.{stage}." for stage in range(FROZEN, max(COMPARED) + 1))
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if key.startswith(taught) and not key.endswith(statistics)}


def test_teaching_depends_on_the_seed_alone(
    trunk: Any,
    bundled: dict[str, torch.Tensor],
    line: LinePool,
    leaves: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    tables = cache_tables(trunk, Twin(trunk), line, leaves, tmp_path / "early", 0)
    ends = []
    for run, seed in enumerate((0, 0, 1)):
        trunk.load_state_dict(bundled)
        settings = AlikeSettings(steps=2, groups=2, leaves=3, seed=seed)
        teach_alike(trunk, line, tables, settings, folder=tmp_path / str(run))
        ends.append(trunk.blocks[FROZEN][0].conv_pw.weight.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
