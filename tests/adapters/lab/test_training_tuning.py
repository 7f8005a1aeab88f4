"""Settings for a checkpoint, and what more images give: small, but through the real parts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from adapters.lab.evaluation.models import bundled_files
from adapters.lab.evaluation.products import Sizes, trial_of
from adapters.lab.training import scaling
from adapters.lab.training.scaling import Depths, distance, student_of, table
from adapters.lab.training.student import ARCHITECTURE
from adapters.lab.training.teacher import Twin
from adapters.lab.training.textures import dead_leaves
from adapters.lab.training.tuning import (
    IN_FORCE,
    POOLS,
    STRIDES,
    VISIONS,
    Features,
    Tuning,
    candidates,
    compared,
    plan,
    prompt_sets,
)
from adapters.lab.training.tuning_report import Measured, best, by_family, changes, report
from adapters.lab.training.unled import unled
from adapters.models.encoders.clip import STRIDES as CLIP_STRIDES
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.simulator import FAMILIES, HELD_OUT
from config import load
from tests.adapters.lab.toy_products import toy_line


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
    settings = load(profile="embedded").settings
    chosen: dict[str, Any] = dict(settings.inspection.parameters["sightline"])
    pool, image_map = chosen["pool_fraction"], chosen["zero_shot_image_map"]
    assert IN_FORCE["zero-shot"] == f"zero-shot, {chosen['scales'][0]} px, map {image_map}, pool {pool}"
    features = Features(
        chosen["scales"][0],
        CLIP_STRIDES,
        chosen["smoothing"],
        chosen["bank_limit"],
        chosen["spread_weight"],
        settings.references.directions,
    )
    assert (
        IN_FORCE["few-shot"] == f"few-shot, {features}, pool {pool}, vision {chosen['few_shot_image_vision']}"
    )
    measured = [
        Measured("screw", "fixed", {IN_FORCE["few-shot"]: value, "few-shot, 64 px": 1.0})
        for value in (0.25, 0.75)
    ]
    assert "0.500  as the profile has it" in report(measured, IN_FORCE, {})


def test_the_best_settings_stand_first_and_every_choice_has_the_best_of_the_others() -> None:
    figures = {
        "few-shot, 96 px, pool 0.1": [0.9, 0.7],
        "few-shot, 96 px, pool 0.2": [0.9, 0.9],
        "few-shot, 64 px, pool 0.1": [0.5, 0.5],
        "zero-shot, 64 px, pool 0.1": [1.0, 1.0],
    }
    measured = [
        Measured("screw", "fixed", {name: values[number] for name, values in figures.items()})
        for number in range(2)
    ]
    assert best(by_family(measured), "few-shot", 1) == [("few-shot, 96 px, pool 0.2", 0.9)]
    text = report(measured, IN_FORCE, {})
    assert "0.800  pool 0.1" in text
    assert "0.500  64 px" in text
    assert "1.000  pool 0.1" in text


def test_a_family_counts_once_however_many_products_it_has() -> None:
    measured = [
        Measured("screw", "fixed", {"few-shot": 1.0}),
        Measured("screw", "loose", {"few-shot": 0.8}),
        Measured("leather", "loose", {"few-shot": 0.5}),
    ]
    assert by_family(measured) == {"few-shot": {"screw": pytest.approx(0.9), "leather": 0.5}}


def test_one_change_at_a_time_tells_whose_doing_a_difference_is() -> None:
    values = {
        "plain": {"screw": 0.9, "leather": 0.8, "stone_slab": 0.5, "gear": 0.7},
        "changed": {"screw": 0.9, "leather": 0.7, "stone_slab": 0.9, "gear": 0.8},
    }
    table = changes(values, {"plain": "as it was", "changed": "now", "never measured": "-"}, "both")
    assert table is not None
    first, second = table.rows
    assert (first.title, second.title, first.cells) == (
        "as it was",
        "now",
        ("0.733", "0.725", None, None, None, None),
    )
    assert second.cells[:2] == ("0.833", "0.825")
    assert str(second.cells[2]).startswith("+0.100 (")
    assert second.cells[3:] == ("2, 1", "stone_slab +0.400", "0.850, 0.800")
    assert changes(values, {"never measured": "-", "plain": "as it was"}, "both") is None, (
        "there is nothing to compare with"
    )


def test_the_table_has_every_candidate_as_the_profile_weighs_it() -> None:
    names = compared([320, 256])
    assert IN_FORCE["few-shot"] in names
    assert len(names) == len(candidates([320, 256]))
    assert all(name.endswith("pool 0.003, vision 0.95") for name in names)
    measured = [
        Measured(family, station, dict.fromkeys(names, 0.5))
        for family in FAMILIES
        for station in ("fixed", "loose")
    ]
    text = report(measured, IN_FORCE, names)
    for station in ("fixed", "loose", "both"):
        assert f"### One change at a time, {station}" in text
    assert text.count(f"| {candidates([320, 256])[1]} | 0.500 | 0.500 | - |") == 3


def test_words_and_references_are_reported_of_held_out_families_and_of_all() -> None:
    measured = [
        Measured("screw", "fixed", {"few-shot, 96 px": 0.5}),
        Measured("screw", "loose", {"few-shot, 96 px": 0.7}),
        Measured("gear", "fixed", {"few-shot, 96 px": 0.9}),
    ]
    sections = dict(
        part.split(", few-shot: the best settings\n")
        for part in report(measured, IN_FORCE, {}).split("\n\n")
        if ", few-shot: the best settings" in part
    )
    found = {title: text.split()[0] for title, text in sections.items() if text.strip()}
    assert found == {
        "held-out families, fixed": "0.500",
        "held-out families, loose": "0.700",
        "held-out families, both": "0.600",
        "all families, fixed": "0.700",
        "all families, loose": "0.700",
        "all families, both": "0.750",
    }


def test_every_family_takes_part_and_those_held_out_most() -> None:
    trials = plan(2, 1)
    assert len(trials) == len(set(trials))
    for family in FAMILIES:
        numbers = {number for one, number, _ in trials if one == family}
        assert numbers == ({0, 1} if family in HELD_OUT else {0})
    assert {station for _, _, station in trials} == {"fixed", "loose"}
    assert {family for family, _, _ in plan(3, 0)} == set(HELD_OUT)


SMALL = """
import sys
from adapters.lab.training import tuning

tuning.FAMILIES = {name: tuning.FAMILIES[name] for name in ("gear", "leather")}
tuning.STATIONS = ("fixed",)
tuning.main()
"""
"""The command as people run it, for two products."""


@pytest.mark.slow
def test_the_command_goes_on_from_its_record(tmp_path: Path) -> None:
    """A process that draws and measures, and then one that finds everything in the record."""
    out = tmp_path / "tuning.json"
    options = ["--products", "1", "--images", "2", "--sides", "64,96", "--workers", "1", "--out", str(out)]

    def run(*others: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SMALL, *options, *others]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)

    first = run()
    assert first.returncode == 0, first.stderr
    assert [line.split(" (")[0] for line in first.stderr.splitlines()] == ["gear 0 fixed", "leather 0 fixed"]
    record = json.loads(out.read_text())
    del record["parts"]["tuning"]["gear 0 fixed"]
    out.write_text(json.dumps(record))
    again = run()
    assert again.returncode == 0, again.stderr
    assert again.stderr == "gear 0 fixed (2 of 2)\n"
    assert again.stdout == first.stdout
    refused = run("--images", "3")
    assert refused.returncode == 1
    assert "holds an evaluation with another images; name another --out" in refused.stderr


def test_a_network_is_no_distance_from_itself_and_some_from_another() -> None:
    one, other = (timm.create_model(ARCHITECTURE, pretrained=False).eval() for _ in range(2))
    images = np.stack([dead_leaves(index, 64) for index in range(3)])
    assert distance(one, Twin(one), images) == 0.0
    assert distance(other, Twin(one), images) > 0.0
    maps = Depths(one, "one").encode_patches(list(images), 64)
    assert [tuple(each.shape) for each in maps] == [(3, 8, 8, 32), (3, 4, 4, 96)]


def test_a_student_is_given_its_images_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[int]] = []
    monkeypatch.setattr(
        scaling,
        "distill",
        lambda student, teacher, pools, settings, **_: given.append([len(p) for p in pools]),
    )
    leaves = np.zeros((8, 48, 48, 3), np.uint8)
    student_of(6, 2, Twin(nn.Identity()), leaves, toy_line(monkeypatch), tmp_path)
    assert given == [[3, 3]]


def test_no_images_leave_the_student_random(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = student_of(
        0, 2, Twin(nn.Identity()), np.zeros((0, 48, 48, 3), np.uint8), toy_line(monkeypatch), tmp_path
    )
    torch.manual_seed(0)
    random = timm.create_model(ARCHITECTURE, pretrained=False)
    assert all(torch.equal(found.state_dict()[key], value) for key, value in random.state_dict().items())


def test_the_table_ends_with_those_that_saw_no_number_of_images() -> None:
    rows = [{"images": 100, "distance": 0.5, "4-shot": 0.8}]
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
