"""The training code: seeded pictures and batches, and losses that mean what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from adapters.models.training import contrast
from adapters.models.training.dataset import batches, render_pool
from adapters.models.training.distill import (
    ARCHITECTURE,
    DistillSettings,
    blocks_of,
    distill,
    distillation_loss,
    stage_ends,
    teacher_statistics,
    to_network,
)
from adapters.models.training.linepool import TRAINED, line_pool
from adapters.models.training.textures import dead_leaves
from adapters.models.training.words import colour_jitter_pairs
from adapters.models.weights import sha256_of
from adapters.simulator import HELD_OUT


def test_leaves_depend_on_the_seed_alone() -> None:
    first, again, other = dead_leaves(7, 48), dead_leaves(7, 48), dead_leaves(8, 48)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_batches_depend_on_the_seed_alone(tmp_path: Path) -> None:
    pool = render_pool(tmp_path / "pool.npy", 6, 48, lambda index: dead_leaves(index, 48))
    drawn = [torch.cat(list(batches([pool], 3, 4, 32, seed))) for seed in (1, 1, 2)]
    assert drawn[0].shape == (12, 3, 32, 32)
    assert float(drawn[0].min()) >= 0
    assert float(drawn[0].max()) <= 1
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_training_never_draws_families_that_are_held_out(tmp_path: Path) -> None:
    assert not HELD_OUT & set(TRAINED)
    pool = line_pool(tmp_path / "line", 2)
    assert [record.defect is None for record in pool.records] == [True, False] * 2
    for pair in (0, 1):
        good, bad = pool.images[2 * pair], pool.images[2 * pair + 1]
        assert not pool.masks[2 * pair].any()
        assert pool.masks[2 * pair + 1].any()
        changed = (good != bad).any(2).reshape(64, 4, 64, 4).any((1, 3))
        assert not (changed & (pool.masks[2 * pair + 1] == 0)).any(), "outside the mask nothing differs"


def test_distillation_brings_a_random_network_nearer_to_its_teacher() -> None:
    torch.manual_seed(0)
    teacher = timm.create_model("mobilenetv2_035").eval().requires_grad_(False)
    student = timm.create_model("mobilenetv2_035")
    pool = np.stack([dead_leaves(index, 64) for index in range(8)])
    probe = to_network(next(batches([pool], 1, 8, 64, 5)))
    statistics = teacher_statistics(blocks_of(teacher), iter([probe]))

    def loss() -> float:
        with torch.no_grad():
            weights = [1.0] * len(blocks_of(teacher))
            total, _ = distillation_loss(
                blocks_of(student.eval()), blocks_of(teacher), probe, statistics, weights, forced=True
            )
        return float(total)

    distill(student, teacher, [pool], DistillSettings(steps=2, forced_steps=2, batch=8, size=64))
    before = loss()
    distill(student, teacher, [pool], DistillSettings(steps=24, forced_steps=16, batch=8, size=64))
    assert loss() < before
    assert len(blocks_of(student)) == stage_ends(student)[-1] + 1


def test_both_pictures_of_a_pair_get_the_same_colours() -> None:
    pictures = torch.rand(2, 3, 8, 8).repeat_interleave(2, 0) * 0.4 + 0.3
    jittered = colour_jitter_pairs(pictures, torch.Generator().manual_seed(0))
    assert torch.equal(jittered[0], jittered[1])
    assert torch.equal(jittered[2], jittered[3])
    assert not torch.allclose(jittered[0], pictures[0])


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
    good = contrast.dense_loss(right, direction, scale, coverage)
    assert good < 0.01 < contrast.dense_loss(-right, direction, scale, coverage)
    assert torch.equal(good, contrast.dense_loss(undecided, direction, scale, coverage))


def test_caption_loss_leaves_out_captions_that_are_true_too() -> None:
    images = F.normalize(torch.eye(3) + 0.01, dim=1)
    texts = images[[1, 0, 2]]  # the first two captions are swapped, yet both are true of both
    nothing, same = torch.eye(3, dtype=torch.bool), torch.eye(3, dtype=torch.bool)
    same[:2, :2] = True
    scale = torch.tensor(5.0)
    assert contrast.caption_loss(images, texts, scale, same) < contrast.caption_loss(
        images, texts, scale, nothing
    )


def test_naming_loss_ignores_good_pictures() -> None:
    patches = F.normalize(torch.randn(2, 2, 2, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    phrases, scale = torch.eye(4), torch.tensor(3.0)
    coverage = torch.zeros(2, 2, 2)
    assert float(contrast.naming_loss(patches, phrases, scale, coverage, [-1, -1])) == 0
    coverage[1, 0, 1] = 1
    losses = [float(contrast.naming_loss(patches, phrases, scale, coverage, [-1, kind])) for kind in range(4)]
    assert int(np.argmin(losses)) == int(patches[1, 0, 1].argmax())


@pytest.mark.slow
def test_the_whole_recipe_gives_the_same_file_twice(tmp_path: Path) -> None:
    """Each run in a process of its own, as people run it, with a handful of pictures and steps."""
    torch.manual_seed(0)
    teacher = tmp_path / "teacher.safetensors"
    save_file(timm.create_model(ARCHITECTURE, pretrained=False).state_dict(), str(teacher))
    digests = set()
    for run in ("first", "second"):
        folder = tmp_path / run
        command = [sys.executable, "-m", "adapters.models.training.train", "all"]
        sizes = ["--steps", "2", "--pairs", "15", "--leaves", "24"]
        places = ["--teacher", teacher, "--out", folder / "out", "--pools", folder / "pools"]
        subprocess.run([*command, *sizes, *map(str, places)], check=True, capture_output=True, timeout=600)
        record = json.loads((folder / "out" / "recipe.json").read_text())
        result = folder / "out" / "sightline-tiny.safetensors"
        assert record["sha256"] == sha256_of(result)
        digests.add(record["sha256"])
    assert len(digests) == 1
