"""The training command: going on from a bundled model, and one file however often it is made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from adapters.lab.training import train
from adapters.lab.training.linepool import PARTS
from adapters.lab.training.networks import ARCHITECTURE
from adapters.lab.training.train import RESULT
from adapters.lab.training.words import FROZEN_STAGES
from adapters.models.registry import bundled_folder
from adapters.models.weights.local import sha256_of
from tests.adapters.lab.toy_products import draw_in_this_process

BUNDLED = bundled_folder() / RESULT
FIRST_RATE = 1.5e-3 / 50
"""Of the words' warm-up: no weight moves farther in the first step, decay apart."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


def _train(monkeypatch: pytest.MonkeyPatch, stage: str, out: Path, *arguments: object) -> None:
    places = ["--out", out, "--pools", out.parent / "pools", "--start", BUNDLED]
    monkeypatch.setattr(sys, "argv", ["train", stage, *map(str, [*places, *arguments])])
    train.main()


def _bundled_trunk() -> dict[str, torch.Tensor]:
    """As timm names it, without the projection."""
    prefix = "visual.trunk."
    kept = {key.removeprefix(prefix): value for key, value in load_file(BUNDLED).items() if prefix in key}
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in kept.items()
        if not key.startswith("classifier")
    }


def test_a_start_gives_its_trunk_exactly(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _train(monkeypatch, "trunk", out, "--teacher", BUNDLED)
    found, expected = torch.load(out / "trunk.pt", weights_only=True), _bundled_trunk()
    names = set(timm.create_model(ARCHITECTURE, num_classes=0).state_dict())
    assert found.keys() == expected.keys() == names
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value), key
    assert sorted(path.name for path in out.iterdir()) == ["inputs.json", "trunk.pt"], "nothing was trained"


@pytest.mark.parametrize(
    "other",
    [
        ["--leaves", 7],
        ["--pairs", 7],
        ["--seed", 7],
        ["--teacher", __file__],
        ["--teacher-architecture", "resnet18"],
        ["--teacher-preprocessing", "clip"],
    ],
)
def test_stages_of_other_inputs_are_not_taken_for_ones_own(
    out: Path, monkeypatch: pytest.MonkeyPatch, other: list[object]
) -> None:
    _train(monkeypatch, "trunk", out, "--teacher", BUNDLED)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    named = str(other[0]).removeprefix("--")
    with pytest.raises(
        SystemExit, match=rf"train: .* holds stages with another {named}; choose another --out"
    ):
        _train(monkeypatch, "trunk", out, "--teacher", BUNDLED, *other)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_with_a_start_the_words_go_on_from_its_words(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own late stages and words, around the early stages of the stage before."""
    draw_in_this_process(monkeypatch)
    alike = {key: value.clone() for key, value in _bundled_trunk().items()}
    alike["blocks.3.0.conv_pw.weight"] += 0.01
    alike["blocks.6.0.conv_pw.weight"].zero_()  # a late stage: nobody asks for it
    torch.save(alike, out / "alike.pt")
    words = ["words", out, "--pairs", 4]
    _train(monkeypatch, *words, "--steps", 1)  # type: ignore[arg-type]
    found = torch.load(out / "words.pt", weights_only=True)
    before = {key: value.float() for key, value in load_file(BUNDLED).items()}
    assert found.keys() == before.keys()

    prefix = "visual.trunk."
    early = tuple(
        f"{prefix}{part}" for part in ("conv_stem", "bn1", *map("blocks.{}.".format, range(FROZEN_STAGES)))
    )
    for key, value in before.items():
        if key.startswith(early):
            assert torch.equal(found[key], alike[key.removeprefix(prefix)]), key
        elif not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            moved = (found[key] - value).abs()
            assert bool((moved <= FIRST_RATE * (1.01 + 0.02 * value.abs()) + 1e-6).all()), key
    assert not torch.equal(found["token_embedding.weight"], before["token_embedding.weight"]), "one step"

    with pytest.raises(SystemExit, match=r"train: .* holds stages with another steps"):
        _train(monkeypatch, *words, "--steps", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(("stage", "lacks"), [("refine", "trunk"), ("alike", "refined"), ("words", "alike")])
def test_a_stage_without_the_one_before_says_so(
    out: Path, monkeypatch: pytest.MonkeyPatch, stage: str, lacks: str
) -> None:
    draw_in_this_process(monkeypatch)
    small = ["--teacher", BUNDLED, "--leaves", 1, "--pairs", 1]
    with pytest.raises(
        SystemExit, match=rf"train: there is no .*{lacks}\.pt; run the stage before, or `all`"
    ):
        _train(monkeypatch, stage, out, *small)


def test_refine_may_be_left_out(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _train(monkeypatch, "trunk", out, "--teacher", BUNDLED, "--refine", 0)
    _train(monkeypatch, "refine", out, "--teacher", BUNDLED, "--refine", 0)
    trunk, refined = (torch.load(out / f"{name}.pt", weights_only=True) for name in ("trunk", "refined"))
    assert trunk.keys() == refined.keys()
    assert all(torch.equal(value, refined[key]) for key, value in trunk.items())
    with pytest.raises(SystemExit, match=r"holds stages with another refine"):
        _train(monkeypatch, "refine", out, "--teacher", BUNDLED)


def test_words_alone_need_no_teacher_and_leave_few_shot_features_as_they_are(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in one command; nothing abstract is drawn for it."""
    draw_in_this_process(monkeypatch)
    monkeypatch.setattr(train, "_draw_leaves", lambda _: pytest.fail("nothing looks at abstract images"))
    words_alone = ["--refine", 0, "--alike", 0, "--pairs", 4, "--steps", 1]
    _train(monkeypatch, "all", out, *words_alone)
    found, before = load_file(out / RESULT), load_file(BUNDLED)
    early = ("conv_stem", "bn1", *map("blocks.{}.".format, range(FROZEN_STAGES)))
    kept = [key for key in before if key.startswith(tuple(f"visual.trunk.{part}" for part in early))]
    assert kept
    assert all(torch.equal(found[key], before[key]) for key in kept)
    assert not torch.equal(found["token_embedding.weight"], before["token_embedding.weight"])
    record = json.loads((out / "recipe.json").read_text())
    assert (record["refine"], record["alike"], record["teacher_sha256"]) == (0, 0, None)
    with pytest.raises(SystemExit, match=r"holds stages with another alike"):
        _train(monkeypatch, "words", out, *words_alone[:2], *words_alone[4:])


@pytest.mark.parametrize(
    "stages", [["all"], ["all", "--refine", 0], ["all", "--alike", 0], ["refine"], ["alike", "--refine", 0]]
)
def test_what_a_teacher_leads_asks_for_one(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stages: list[object]
) -> None:
    stage, *others = stages
    with pytest.raises(SystemExit):
        _train(monkeypatch, str(stage), out, *others)
    assert "need --teacher FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("cuda:99", r"train: --device is cuda:99, but PyTorch finds \d+ GPUs? here; set it to auto or cpu"),
        ("gpu", r"train: --device is gpu, which PyTorch does not know; set it to auto or cpu"),
    ],
)
def test_a_device_that_is_not_there_is_named_before_anything_is_drawn(
    out: Path, monkeypatch: pytest.MonkeyPatch, device: str, sentence: str
) -> None:
    with pytest.raises(SystemExit, match=sentence):
        _train(monkeypatch, "all", out, "--teacher", BUNDLED, "--device", device)
    assert list(out.parent.rglob("*.*")) == []


SMALL = """
import multiprocessing
import sys
from functools import partial
from adapters.lab.training import linepool, train

train.DistillSettings = partial(train.DistillSettings, batch=4, size=32)
linepool.TRAINED = linepool.TRAINED[:3]
forked = multiprocessing.get_context("fork")  # the processes that draw know the three families
train.get_context = linepool.get_context = lambda _: forked
stages = sys.argv[1].split(",")
for sys.argv[1] in stages:
    train.main()
"""
"""The command as people run it, but for the size of what is distilled on and the number of families."""
FEW = ["--steps", "2", "--pairs", str(3 * PARTS), "--leaves", "12"]
"""One product of each of three families, all parts of them."""


@pytest.mark.slow
def test_the_whole_recipe_gives_the_same_file_twice(tmp_path: Path) -> None:
    """All of it, and stage by stage in another process, which draws nothing; few images and steps."""
    torch.manual_seed(0)
    teacher = tmp_path / "teacher.safetensors"
    save_file(timm.create_model(ARCHITECTURE, pretrained=False).state_dict(), str(teacher))
    first, second = tmp_path / "first", tmp_path / "second"
    for out, stages in ((first, ["all"]), (second, [stage for stage in train.STAGES if stage != "pools"])):
        places = ["--teacher", teacher, "--out", out, "--pools", tmp_path / "pools"]
        command = [sys.executable, "-c", SMALL, ",".join(stages), *FEW, *map(str, places)]
        subprocess.run(command, check=True, capture_output=True, timeout=280)
        curves = {path.name.partition(".")[0] for path in out.glob("*.curve.jsonl")}
        assert curves == {"trunk", "refined", "alike", "words"}
    assert (first / RESULT).read_bytes() == (second / RESULT).read_bytes()
    record = json.loads((first / "recipe.json").read_text())
    assert record["sha256"] == sha256_of(first / RESULT)
    assert record["teacher"] == ARCHITECTURE
    assert record["teacher_sha256"] == sha256_of(teacher)
    assert record["start_sha256"] is None
    assert list(record["seconds"]) == list(train.STAGES)
    assert sum(record["seconds"].values()) > 0
    assert load_file(first / RESULT).keys() == load_file(BUNDLED).keys()


@pytest.mark.slow
def test_the_whole_recipe_runs_with_a_teacher_of_another_architecture(tmp_path: Path) -> None:
    architecture = "test_vit"
    torch.manual_seed(0)
    teacher = tmp_path / "teacher.safetensors"
    save_file(timm.create_model(architecture, pretrained=False).state_dict(), str(teacher))
    out = tmp_path / "out"
    places = ["--teacher", teacher, "--out", out, "--pools", tmp_path / "pools"]
    options = [*FEW, *map(str, places), "--teacher-architecture"]
    command = [sys.executable, "-c", SMALL, "all", *options, architecture]
    subprocess.run(command, check=True, capture_output=True, timeout=280)
    curves = {path.name.partition(".")[0] for path in out.glob("*.curve.jsonl")}
    assert curves == {"trunk", "refined", "alike", "words"}
    fitted = torch.load(out / "projection.pt", weights_only=True)
    assert fitted["name"] == f"timm:{architecture}"
    assert [len(matrix) for matrix in fitted["matrices"]] == [32, 96]
    record = json.loads((out / "recipe.json").read_text())
    assert record["teacher"] == architecture
    assert record["teacher_sha256"] == fitted["digest"] == sha256_of(teacher)
    found = load_file(out / RESULT)
    assert found.keys() == load_file(BUNDLED).keys()
    assert all(bool(value.isfinite().all()) for value in found.values() if value.is_floating_point())
    command = [sys.executable, "-c", SMALL, "alike", *options, "resnet18"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert refused.returncode == 1
    assert "holds stages with another teacher-architecture; choose another --out" in refused.stderr


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")
def test_a_gpu_trains_what_any_machine_reads(tmp_path: Path) -> None:
    """All stages on the GPU; what they leave lies on no device in particular."""
    teacher = tmp_path / "teacher.safetensors"
    save_file(timm.create_model(ARCHITECTURE, pretrained=False).state_dict(), str(teacher))
    sizes = [*FEW, "--device", "cuda"]
    places = ["--teacher", teacher, "--out", tmp_path / "out", "--pools", tmp_path / "pools"]
    command = [sys.executable, "-c", SMALL, "all", *sizes, *map(str, places)]
    subprocess.run(command, check=True, capture_output=True, timeout=280)
    for name in ("trunk", "refined", "alike", "words"):
        state = torch.load(tmp_path / "out" / f"{name}.pt", weights_only=True)
        assert {value.device.type for value in state.values()} == {"cpu"}
        assert all(bool(value.isfinite().all()) for value in state.values())
    assert load_file(tmp_path / "out" / RESULT).keys() == load_file(BUNDLED).keys()
