"""A stage of training that is cut short ends as one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import nn

from adapters.lab.training import progress
from adapters.lab.training.alike import AlikeSettings, cache_tables, teach_alike
from adapters.lab.training.distill import DistillSettings, advance, distill
from adapters.lab.training.linepool import LinePool
from adapters.lab.training.networks import ARCHITECTURE, Twin
from adapters.lab.training.progress import Progress
from adapters.lab.training.textures import dead_leaves
from adapters.lab.training.train import RESULT, started, trunk_of
from adapters.lab.training.words import WordsSettings, build, cache, teach_words
from adapters.models.registry import bundled_folder
from agent.domain.errors import ConfigurationError
from tests.adapters.lab.toy_products import SIDE, toy_line

STEPS = 5
State = dict[str, torch.Tensor]
Stage = Callable[[Path], State]


@dataclass(frozen=True, slots=True)
class Settings:
    rate: float = 0.1
    folder: Path = Path("anywhere")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after the steps 1, 3 and the last, and every step in the curve."""
    monkeypatch.setattr(progress, "EVERY", 2)
    monkeypatch.setattr(progress, "SHOWN", 1)


def _regress(folder: Path, settings: object = Settings(), steps: int = STEPS) -> State:
    """A line through points, each step's drawn by its number."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    kept = Progress(folder, "toy", model, optimiser, settings)
    for step in kept.steps(steps):
        points = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        loss = (model(points) - points[:, :2]).square().mean()
        advance(optimiser, model, loss)
        kept.done(step, steps, {"loss": float(loss.detach())})
    return model.state_dict()


def _distil(folder: Path) -> State:
    torch.manual_seed(0)
    teacher = timm.create_model("mobilenetv2_035").eval().requires_grad_(False)
    student = timm.create_model("mobilenetv2_035")
    pool = np.stack([dead_leaves(index, 40) for index in range(6)])
    settings = DistillSettings(steps=STEPS, forced_steps=3, batch=4, size=32, mixed=0.5)
    distill(student, Twin(teacher), [pool], settings, folder=folder, name="toy")
    return student.state_dict()


def _bundled_trunk() -> Any:
    trunk = timm.create_model(ARCHITECTURE, num_classes=0)
    trunk.load_state_dict(trunk_of(started(bundled_folder() / RESULT)), strict=False)
    return trunk.eval().requires_grad_(False)


def _alike(folder: Path, line: LinePool) -> State:
    trunk = _bundled_trunk()
    leaves = np.stack([dead_leaves(index, 64) for index in range(4)])
    tables = cache_tables(trunk, Twin(trunk), line, leaves, folder / "early", 0)
    teach_alike(trunk, line, tables, AlikeSettings(steps=STEPS, groups=2, leaves=3), folder=folder)
    return dict(trunk.state_dict())


def _words(folder: Path, line: LinePool) -> State:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = build(trunk_of(started(bundled_folder() / RESULT)))
    settings = WordsSettings(steps=STEPS, pairs=3, crop=3, prompts=2, side=SIDE)
    table = cache(model.visual.trunk, line, folder / "features.npy", settings)
    tokenizer = SimpleTokenizer(context_length=model.context_length)
    teach_words(model, tokenizer, line, table, settings, folder=folder)
    return dict(model.state_dict())


def _cut_short(monkeypatch: pytest.MonkeyPatch, stage: Stage, folder: Path, last: int) -> None:
    """Run the stage until the step ``last`` is done, and no further."""
    done = Progress.done

    def cut(self: Progress, step: int, count: int, losses: Mapping[str, float]) -> None:
        done(self, step, count, losses)
        if step == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "done", cut)
        with pytest.raises(KeyboardInterrupt):
            stage(folder)


def _curve(folder: Path) -> list[dict[str, float]]:
    (path,) = folder.glob("*.curve.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def _assert_same_end(monkeypatch: pytest.MonkeyPatch, stage: Stage, tmp_path: Path, last: int) -> None:
    """Weights and curve of a run that was cut short after ``last`` are those of one in a single piece."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = stage(whole)
    assert [point["step"] for point in _curve(whole)] == list(range(STEPS))
    _cut_short(monkeypatch, stage, cut, last)
    assert [point["step"] for point in _curve(cut)] == list(range(last + 1))
    found = stage(cut)
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
    assert _curve(cut) == _curve(whole)


@pytest.mark.parametrize("last", range(STEPS))
def test_a_run_that_is_cut_short_after_any_step_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    _assert_same_end(monkeypatch, _regress, tmp_path, last)


def test_distillation_that_is_cut_short_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _assert_same_end(monkeypatch, _distil, tmp_path, 2)


def test_the_stage_alike_that_is_cut_short_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = toy_line(monkeypatch)
    _assert_same_end(monkeypatch, partial(_alike, line=line), tmp_path, 2)


def test_words_that_are_cut_short_end_as_those_that_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = toy_line(monkeypatch)
    _assert_same_end(monkeypatch, partial(_words, line=line), tmp_path, 2)


def test_a_run_may_be_cut_short_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for last in (0, 1, 2, 3):
        _cut_short(monkeypatch, _regress, tmp_path / "cut", last)
    found, expected = _regress(tmp_path / "cut"), _regress(tmp_path / "whole")
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert _curve(tmp_path / "cut") == _curve(tmp_path / "whole")


def test_a_stage_that_is_through_does_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, curve = _regress(tmp_path), _curve(tmp_path)
    monkeypatch.setattr(Progress, "done", lambda *_: pytest.fail("there is no step to do"))
    found = _regress(tmp_path)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert _curve(tmp_path) == curve


@pytest.mark.parametrize("other", [Settings(rate=0.2), Settings(folder=Path("elsewhere")), 3])
def test_a_checkpoint_of_other_settings_is_not_gone_on_with(tmp_path: Path, other: object) -> None:
    _regress(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigurationError, match=r"toy\.checkpoint\.pt was made with other settings; delete"):
        _regress(tmp_path, other)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    _regress(tmp_path, Settings())


def test_a_curve_without_a_checkpoint_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cut_short(monkeypatch, _regress, tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.curve.jsonl"]
    _regress(tmp_path)
    assert [point["step"] for point in _curve(tmp_path)] == list(range(STEPS))


def test_the_curve_shows_running_means_at_some_steps_and_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHOWN", 3)
    model = nn.Linear(1, 1)
    kept = Progress(tmp_path, "toy", model, torch.optim.AdamW(model.parameters()), Settings())
    for step in kept.steps(6):
        kept.done(step, 6, {"a": float(step), **({"late": 2.0} if step else {})})
    points = _curve(tmp_path)
    assert [point["step"] for point in points] == [0, 3, 5]
    assert points[0] == {"step": 0, "a": 0.0}
    mean = 0.0
    for step in range(1, 6):
        mean = 0.95 * mean + 0.05 * step
    assert points[-1] == {"step": 5, "a": pytest.approx(mean), "late": pytest.approx(2.0)}
