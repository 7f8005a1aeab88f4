"""The evaluation command: one record whatever happens on the way, and a sentence for every wrong path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.lab.evaluation import judging, scorers, speed, trials
from adapters.lab.evaluation.__main__ import INTERRUPTED, Evaluation, main
from adapters.lab.evaluation.models import Files
from agent.domain.errors import ModelError
from agent.ports import ImageTextEncoder
from config import load

SMALL = ["--products", "1", "--images", "2", "--threads", "1"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images a quarter as wide, references in four directions: how well they do is not the question here."""
    overrides = ["inspection.parameters.sightline.scales=[64]", "references.directions=4"]
    settings = load(profile="embedded", overrides=overrides).settings
    monkeypatch.setattr(judging, "_settings", lambda: settings)
    for module in (trials, scorers, speed):
        monkeypatch.setattr(module, "SIZE", 64)


@pytest.fixture
def model(convolutional_files: tuple[Path, Path]) -> list[str]:
    architecture, checkpoint = convolutional_files
    return ["--architecture", str(architecture), "--checkpoint", str(checkpoint)]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Bolts on a table, some with a bright spot."""
    root, rng = tmp_path / "photographs", np.random.default_rng(0)
    for folder, count in (("train/good", 5), ("test/good", 3), ("test/spot", 3)):
        (root / "bolts" / folder).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(90, 110, (48, 64, 3)).astype(np.uint8)
            if folder.endswith("spot"):
                image[10 * index : 10 * index + 12, 20:32] = rng.integers(0, 255, (12, 12, 3))
            cv2.imwrite(str(root / "bolts" / folder / f"{index}.png"), image)
    return root


def _held(path: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return held


def test_an_evaluation_that_was_cut_short_ends_as_one_that_was_not(
    tmp_path: Path, model: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = [*model, *SMALL, "--families", "leather", "--only", "families"]
    whole, cut = tmp_path / "whole.json", tmp_path / "cut.json"
    main([*drawn, "--out", str(whole)])
    complete = capsys.readouterr().out

    families = Evaluation._families

    def impatient(evaluation: Evaluation) -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield next(families(evaluation))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Evaluation, "_families", impatient)
        with pytest.raises(SystemExit) as ended:
            main([*drawn, "--out", str(cut)])
    assert ended.value.code == INTERRUPTED
    assert "Interrupted" in capsys.readouterr().out
    assert len(_held(cut)["parts"]["families"]) == 1

    main([*drawn, "--out", str(cut), "--markdown", str(tmp_path / "tables.md")])
    assert capsys.readouterr().out == complete
    assert (tmp_path / "tables.md").read_text() == complete
    assert _held(cut) == _held(whole)
    result = _held(whole)["parts"]["families"]["leather fixed 1100000"]
    assert result["kinds"][:2] == [None, None]
    assert None not in result["kinds"][2:]
    assert {"agent 0-shot", "agent 1-shot", "agent 4-shot", "nearest neighbours 4-shot"} <= set(
        result["scores"]
    )
    assert set(result["pixels"]) == {"agent 0-shot", "agent 4-shot"}


def test_words_are_measured_on_held_out_families_alone(tmp_path: Path, model: list[str]) -> None:
    path = tmp_path / "record.json"
    chosen = ["--families", "gear,leather", "--only", "words"]
    main([*model, *SMALL, *chosen, "--out", str(path)])
    spoken = _held(path)["parts"]["words"]
    assert {each["product"] for each in spoken.values()} == {"leather"}
    for each in spoken.values():
        assert set(each["kinds"]) - {None} <= set(each["named"])
        assert [label is None for label in each["labels"]] == [True, True, False, False]
        assert {"leather", "object"} < set(each["nouns"])
        assert all(len(scores) == 4 for scores in (*each["nouns"].values(), *each["named"].values()))


def test_photographs_are_measured_beside_every_control(
    tmp_path: Path, model: list[str], photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    options = ["--only", "photographs", "--photographs", str(photographs), "--draws", "2"]
    main([*model, *SMALL, *options, "--out", str(path)])
    (result,) = _held(path)["parts"]["photographs"].values()
    assert result["kinds"] == [None] * 3 + ["spot"] * 3
    assert {column: len(draws) for column, draws in result["scores"].items() if "agent on" not in column} == {
        "agent 0-shot": 1,
        "agent 0-shot place": 1,
        "agent 1-shot": 2,
        "agent 4-shot": 2,
        "nearest neighbours 1-shot": 2,
        "nearest neighbours 4-shot": 2,
        "random weights 1-shot": 2,
        "random weights 4-shot": 2,
        "hand-made descriptors 1-shot": 2,
        "hand-made descriptors 4-shot": 2,
        "outlier, to the median 0-shot": 1,
        "outlier, to the nearest 0-shot": 1,
    }
    text = capsys.readouterr().out
    assert "lead over hand-made descriptors" in text
    assert "| 0-shot | 1-shot | 4-shot |" in text, "five references are too few for 16 shots"


@pytest.mark.parametrize(
    ("architecture", "title"), [("mobilenetv2_100", "MobileNetV2"), ("test_vit", "test_vit")]
)
def test_a_teacher_of_any_architecture_is_measured_beside(
    tmp_path: Path,
    model: list[str],
    photographs: Path,
    capsys: pytest.CaptureFixture[str],
    architecture: str,
    title: str,
) -> None:
    torch.manual_seed(0)
    teacher, path = tmp_path / "teacher.safetensors", tmp_path / "record.json"
    save_file(timm.create_model(architecture, pretrained=False).state_dict(), str(teacher))
    options = ["--only", "photographs", "--photographs", str(photographs), "--draws", "1"]
    beside = ["--teacher", str(teacher), "--teacher-architecture", architecture]
    main([*model, *SMALL, *options, *beside, "--out", str(path)])
    (result,) = _held(path)["parts"]["photographs"].values()
    assert {f"{title} 1-shot", f"{title} 4-shot"} <= set(result["scores"])
    assert f"| **{title}** | - |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="do not fit the architecture resnet18"):
        main([*model, *SMALL, *options, *beside[:-1], "resnet18"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--checkpoint", "nowhere.safetensors"], "there is no file nowhere.safetensors"),
        (["--architecture", "nowhere.json"], "there is no file nowhere.json"),
        (["--teacher", "nowhere.safetensors"], "there is no file nowhere.safetensors"),
        (["--photographs", "nowhere"], "there is no folder nowhere"),
        (["--photographs", "."], "holds no product in MVTec's layout"),
        (["--only", "taste"], "there is no part 'taste'"),
        (["--only", "photographs"], "needs --photographs DIR"),
        (["--families", "spoon"], "no product family 'spoon'"),
        (["--products", "0"], "at least 1"),
        (["--draws", "0"], "at least 1"),
    ],
)
def test_a_wrong_path_or_size_ends_with_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=sentence):
        main([*SMALL, *options])


def test_photographs_that_cannot_be_judged_or_read_are_named(model: list[str], photographs: Path) -> None:
    options = [*model, *SMALL, "--only", "photographs", "--photographs", str(photographs)]
    broken = photographs / "bolts" / "test" / "good" / "1.png"
    broken.write_bytes(b"no image")
    with pytest.raises(SystemExit, match=r"the photograph .*1\.png cannot be read"):
        main(options)
    for path in (photographs / "bolts" / "test" / "spot").iterdir():
        path.unlink()
    with pytest.raises(SystemExit, match="bolts needs images in"):
        main(options)


def test_a_checkpoint_of_another_architecture_is_refused(
    convolutional_files: tuple[Path, Path], vit_files: tuple[Path, Path]
) -> None:
    with pytest.raises(SystemExit, match="evaluate: "):
        main([*SMALL, "--architecture", str(convolutional_files[0]), "--checkpoint", str(vit_files[1])])


def test_speed_says_how_it_was_measured(
    convolutional: ImageTextEncoder, convolutional_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("LOADS", 1), ("CORES", 1), ("BATCHES", (1, 2))):
        monkeypatch.setattr(speed, name, small)
    files = Files(*convolutional_files)
    measured = speed.measure(convolutional, files, frames=1)
    assert set(measured["frames_per_s"]) == {"image tower", "zero-shot", "4-shot"}
    assert all(rate > 0 for rates in measured["frames_per_s"].values() for rate in rates.values())
    assert measured["load_s"] > 0
    assert measured["threads"] == 1


def test_a_model_that_no_process_can_load_is_said(tmp_path: Path) -> None:
    files = Files(tmp_path / "none.json", tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="cannot be loaded in a fresh process"):
        speed.load_once(files)
