"""The training code: seeded images and batches, and losses that mean what they say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F

from adapters.lab.training import words
from adapters.lab.training.dataset import batches, colour_jitter_together, render_pool, shown_at
from adapters.lab.training.distill import DistillSettings, distill, distillation_loss, teacher_statistics
from adapters.lab.training.networks import Twin, blocks_of, stage_ends, to_network
from adapters.lab.training.textures import dead_leaves
from adapters.lab.training.words import WordsSettings, draw_batches
from adapters.models.encoders.preprocessing import resize
from tests.adapters.lab.toy_products import toy_line


def test_leaves_depend_on_the_seed_alone() -> None:
    first, again, other = dead_leaves(7, 48), dead_leaves(7, 48), dead_leaves(8, 48)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_batches_depend_on_the_seed_alone(tmp_path: Path) -> None:
    pool = render_pool(tmp_path / "pool.npy", 6, 48, lambda index: dead_leaves(index, 48))
    drawn = [torch.cat(list(batches([pool], range(3), 4, 32, seed))) for seed in (1, 1, 2)]
    assert drawn[0].shape == (12, 3, 32, 32)
    assert float(drawn[0].min()) >= 0
    assert float(drawn[0].max()) <= 1
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_batch_follows_from_the_seed_and_its_step_alone() -> None:
    pools = [np.stack([dead_leaves(10 * which + index, 48) for index in range(6)]) for which in (0, 1)]
    whole = list(batches(pools, range(6), 4, 32, 1))
    assert len(whole) == 6
    assert all(not torch.equal(one, other) for one, other in pairwise(whole))
    for steps in (range(3, 6), [5, 0, 2]):
        drawn = list(batches(pools, steps, 4, 32, 1))
        assert [torch.equal(batch, whole[step]) for step, batch in zip(steps, drawn, strict=True)] == [
            True
        ] * 3
    assert list(batches(pools, [], 4, 32, 1)) == []


def test_batches_take_equal_shares_of_the_pools() -> None:
    pools = [np.full((3, 40, 40, 3), level, np.uint8) for level in (0, 255)]
    for batch in batches(pools, range(4), 6, 32, 0):
        assert batch.mean((1, 2, 3)).tolist() == [0, 1] * 3


def test_the_batches_of_words_follow_from_the_seed_and_their_step_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = toy_line(monkeypatch)
    table = np.random.default_rng(0).random((len(line.images), 4, 4, 5)).astype(np.float16)
    settings = WordsSettings(pairs=4, crop=3)
    whole = list(draw_batches(line, table, settings, range(8)))
    assert {batch.features.shape[-1] for batch in whole} == {3, 4}, "windows, and whole maps"
    assert len({tuple(batch.chosen) for batch in whole}) > 1
    other = next(draw_batches(line, table, replace(settings, seed=1), [4]))
    assert other.chosen != whole[4].chosen or not torch.equal(other.features, whole[4].features)
    for step, batch in zip(range(4, 8), draw_batches(line, table, settings, range(4, 8)), strict=True):
        expected = whole[step]
        assert (batch.chosen, batch.captions) == (expected.chosen, expected.captions)
        for name in ("features", "coverage", "defective"):
            assert torch.equal(getattr(batch, name), getattr(expected, name))


def test_masks_come_to_the_grid_of_the_features_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 cells of a mask on 20 of a map: its share of the image stays."""
    line = toy_line(monkeypatch)
    table = np.zeros((len(line.images), 20, 20, 5), np.float16)
    settings = WordsSettings(pairs=4, crop=20)
    for batch in draw_batches(line, table, settings, range(6)):
        assert batch.coverage.shape[1:] == (20, 20)
        for row, covered in zip(batch.chosen, batch.coverage, strict=True):
            assert float(covered.mean()) == pytest.approx(line.masks[row].mean() / 255, abs=1e-5)


def test_images_are_shown_as_encoders_resize_frames() -> None:
    image = dead_leaves(3, 48)
    levels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    for side in (60, 32):
        expected = resize(image, side).float() / 255
        assert torch.allclose(shown_at(levels, side)[0], expected, atol=0.006)
    assert shown_at(levels, 48) is levels


def test_distillation_brings_a_random_network_nearer_to_its_teacher(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = timm.create_model("mobilenetv2_035").eval().requires_grad_(False)
    student = timm.create_model("mobilenetv2_035")
    pool = np.stack([dead_leaves(index, 64) for index in range(8)])
    probe = to_network(next(batches([pool], range(1), 8, 64, 5)))
    statistics = teacher_statistics(blocks_of(teacher), iter([probe]))

    def loss() -> float:
        with torch.no_grad():
            weights = [1.0] * len(blocks_of(teacher))
            total, _ = distillation_loss(
                blocks_of(student.eval()), blocks_of(teacher), probe, statistics, weights, forced=True
            )
        return float(total)

    short = DistillSettings(steps=2, forced_steps=2, batch=8, size=64)
    distill(student, Twin(teacher), [pool], short, folder=tmp_path / "short")
    before = loss()
    long = DistillSettings(steps=24, forced_steps=16, batch=8, size=64)
    distill(student, Twin(teacher), [pool], long, folder=tmp_path / "long")
    assert loss() < before
    assert len(blocks_of(student)) == stage_ends(student)[-1] + 1


def test_both_images_of_a_pair_get_the_same_colours() -> None:
    images = torch.rand(2, 3, 8, 8).repeat_interleave(2, 0) * 0.4 + 0.3
    jittered = colour_jitter_together(images, 2, torch.Generator().manual_seed(0))
    assert torch.equal(jittered[0], jittered[1])
    assert torch.equal(jittered[2], jittered[3])
    assert not torch.allclose(jittered[0], images[0])


@pytest.fixture
def direction() -> torch.Tensor:
    return torch.tensor([[1.0, 0.0], [1.0, 0.0]])


def test_dense_loss_rewards_places_under_the_mask(direction: torch.Tensor) -> None:
    coverage = torch.zeros(2, 4, 4)
    coverage[1, 1, 1] = 0.5
    coverage[1, 0, 0] = 0.01  # too little to say anything
    right = torch.tensor([-1.0, 0.0]).repeat(2, 4, 4, 1)
    right[1, 1, 1, 0] = 1.0
    undecided = right.clone()
    undecided[1, 0, 0, 0] = 1.0
    scale = torch.tensor(10.0)
    good = words.dense_loss(right, direction, scale, coverage)
    assert good < 0.01 < words.dense_loss(-right, direction, scale, coverage)
    assert torch.equal(good, words.dense_loss(undecided, direction, scale, coverage))


def test_caption_loss_leaves_out_captions_that_are_true_too() -> None:
    images = F.normalize(torch.eye(3) + 0.01, dim=1)
    texts = images[[1, 0, 2]]  # the first two captions are swapped, yet both are true of both
    nothing, same = torch.eye(3, dtype=torch.bool), torch.eye(3, dtype=torch.bool)
    same[:2, :2] = True
    scale = torch.tensor(5.0)
    assert words.caption_loss(images, texts, scale, same) < words.caption_loss(images, texts, scale, nothing)


def test_naming_loss_ignores_good_images() -> None:
    patches = F.normalize(torch.randn(2, 2, 2, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    phrases, scale = torch.eye(4), torch.tensor(3.0)
    coverage = torch.zeros(2, 2, 2)
    assert float(words.naming_loss(patches, phrases, scale, coverage, [-1, -1])) == 0
    coverage[1, 0, 1] = 1
    losses = [float(words.naming_loss(patches, phrases, scale, coverage, [-1, kind])) for kind in range(4)]
    assert int(np.argmin(losses)) == int(patches[1, 0, 1].argmax())
