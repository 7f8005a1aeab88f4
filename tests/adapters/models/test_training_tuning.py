"""Settings for a checkpoint, and what more pictures give: small, but through the real parts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from adapters.models.clip import STRIDES as CLIP_STRIDES
from adapters.models.clip import OpenClipEncoder
from adapters.models.training import scaling
from adapters.models.training.evaluation.models import bundled_files
from adapters.models.training.evaluation.products import Sizes, trial_of
from adapters.models.training.scaling import Depths, distance, student_of, table
from adapters.models.training.student import ARCHITECTURE
from adapters.models.training.teacher import Twin
from adapters.models.training.textures import dead_leaves
from adapters.models.training.tuning import (
    IN_FORCE,
    POOLS,
    STRIDES,
    VISIONS,
    Features,
    Tuning,
    best,
    candidates,
    prompt_sets,
    report,
)
from adapters.models.training.unled import unled
from config import load
from tests.adapters.models.toy_line import toy_line


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return replace(bundled_files(), strides=STRIDES).encoder()


@pytest.mark.parametrize("station", ["fixed", "loose"])
def test_every_setting_gets_a_figure_on_a_trial(encoder: OpenClipEncoder, station: str) -> None:
    trial = trial_of("leather", 0, station, Sizes(1, 2, seed=5))
    figures = dict(Tuning(encoder, [96, 64]).measure(trial))
    assert all(0.0 <= value <= 1.0 for value in figures.values())
    few = [name for name in figures if name.startswith("few-shot")]
    assert len(few) == len(candidates([96, 64])) * len(POOLS) * len(VISIONS)
    assert {name.split(", ")[1] for name in figures if name.startswith("zero-shot")} == {"96 px", "64 px"}
    by_words = {name.split(", ")[1] for name in figures if name.startswith("prompts")}
    assert by_words == set(prompt_sets("leather"))
    template = [name for name in figures if name.startswith("prompts, template, ")]
    assert [figures[name] for name in template] == [
        figures[name.replace("prompts, template", "zero-shot, 96 px")] for name in template
    ], "the template is what every recipe begins with"


def test_what_the_profile_has_is_shown_beside_the_best() -> None:
    """Named as the settings are that stand in the profile."""
    chosen: dict[str, Any] = dict(load(profile="embedded").settings.inspection.parameters["sightline"])
    pool, image_map = chosen["pool_fraction"], chosen["zero_shot_image_map"]
    assert IN_FORCE["zero-shot"] == f"zero-shot, {chosen['scales'][0]} px, map {image_map}, pool {pool}"
    features = Features(
        chosen["scales"][0],
        CLIP_STRIDES,
        chosen["smoothing"],
        chosen["bank_limit"],
        chosen["spread_weight"],
    )
    assert (
        IN_FORCE["few-shot"] == f"few-shot, {features}, pool {pool}, vision {chosen['few_shot_image_vision']}"
    )
    figures = {IN_FORCE["few-shot"]: [0.25, 0.75], "few-shot, 64 px": [1.0, 1.0]}
    assert "0.500  as the profile has it" in report({"fixed": defaultdict(list, figures)})


def test_the_best_settings_stand_first_and_every_choice_has_the_best_of_the_others() -> None:
    figures = {
        "few-shot, 96 px, pool 0.1": [0.9, 0.7],
        "few-shot, 96 px, pool 0.2": [0.9, 0.9],
        "few-shot, 64 px, pool 0.1": [0.5, 0.5],
        "zero-shot, 64 px, pool 0.1": [1.0, 1.0],
    }
    assert best(figures, "few-shot", 1) == [("few-shot, 96 px, pool 0.2", 0.9)]
    text = report({"fixed": defaultdict(list, figures)})
    assert "0.800  pool 0.1" in text
    assert "0.500  64 px" in text
    assert "1.000  pool 0.1" in text


def test_a_network_is_no_distance_from_itself_and_some_from_another() -> None:
    one, other = (timm.create_model(ARCHITECTURE, pretrained=False).eval() for _ in range(2))
    pictures = np.stack([dead_leaves(index, 64) for index in range(3)])
    assert distance(one, Twin(one), pictures) == 0.0
    assert distance(other, Twin(one), pictures) > 0.0
    maps = Depths(one, "one").encode_patches(list(pictures), 64)
    assert [tuple(each.shape) for each in maps] == [(3, 8, 8, 32), (3, 4, 4, 96)]


def test_a_student_is_given_its_pictures_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[int]] = []
    monkeypatch.setattr(
        scaling,
        "distill",
        lambda student, teacher, pools, settings, **_: given.append([len(p) for p in pools]),
    )
    leaves = np.zeros((8, 48, 48, 3), np.uint8)
    student_of(6, 2, Twin(nn.Identity()), leaves, toy_line(monkeypatch), tmp_path)
    assert given == [[3, 3]]


def test_no_pictures_leave_the_student_random(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nothing = np.zeros((0, 48, 48, 3), np.uint8)
    found = student_of(0, 2, Twin(nn.Identity()), nothing, toy_line(monkeypatch), tmp_path)
    torch.manual_seed(0)
    random = timm.create_model(ARCHITECTURE, pretrained=False)
    assert all(torch.equal(found.state_dict()[key], value) for key, value in random.state_dict().items())


def test_the_table_ends_with_those_that_saw_no_number_of_pictures() -> None:
    rows = [{"pictures": 100, "distance": 0.5, "4-shot": 0.8}]
    lines = table(rows, {"without a teacher": 0.7, "teacher": 0.9}).splitlines()
    assert lines[-3:] == ["| 100 | 0.5 | 0.8 |", "| without a teacher | - | 0.7 |", "| teacher | - | 0.9 |"]


def test_without_a_teacher_all_of_the_trunk_learns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = toy_line(monkeypatch)
    found = unled(line, 6, 2, folder=tmp_path)
    torch.manual_seed(0)
    before = dict(timm.create_model(ARCHITECTURE, pretrained=False).named_parameters())
    for part in ("conv_stem", "blocks.0", "blocks.2", "blocks.4"):
        changed = [
            not torch.equal(value, before[key]) for key, value in found.named_parameters() if part in key
        ]
        assert all(changed), part
    again = unled(line, 6, 2, folder=tmp_path)  # goes on after its last step: nothing is left to do
    assert torch.equal(again.conv_stem.weight, found.conv_stem.weight)
