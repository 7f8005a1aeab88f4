"""``sightline models``: ``list``, ``pull`` and ``verify`` of weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.models.weights.catalogue import BUNDLED, KNOWN
from adapters.models.weights.needs import ModelNames
from agent.domain.recipe import Reference
from agent.methods import METHODS
from tests.adapters.cli.conftest import CommandLine
from tests.adapters.models.hub_server import HubServer

CLIP = KNOWN["ViT-B-16-plus-240"]
WITH_CLIP = ("--set", f"models.clip={CLIP.name}")


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({f"{CLIP.repo}/open_clip_model.safetensors": b"weights" * 1000}) as started:
        monkeypatch.setenv("HF_ENDPOINT", started.url)
        yield started


def _listed(sightline: CommandLine, *options: str) -> dict[str, dict[str, object]]:
    rows = json.loads(sightline("models", "list", "--json", *options).stdout)
    return {row["name"]: row for row in rows}


def test_the_list_says_what_each_profile_needs_and_what_is_here(sightline: CommandLine) -> None:
    rows = _listed(sightline)
    assert set(KNOWN) <= set(rows)
    assert rows[BUNDLED]["state"] == "bundled"
    assert "embedded" in rows[BUNDLED]["needed_by"]  # type: ignore[operator]
    assert rows[CLIP.name]["state"] == "missing"
    assert rows[CLIP.name]["licence"] == "MIT"
    shown = sightline("models", "list", *WITH_CLIP).stdout
    assert "grounding-dino-tiny" in shown
    assert "834 MB" in shown
    assert (
        "needed: ViT-B-16-plus-240 (834 MB) is not in var/models: run `sightline models pull --set " in shown
    )
    assert "needed:" not in sightline("models", "list").stdout


def test_a_model_of_the_users_own_is_listed(sightline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own.pt").write_bytes(b"x")
    rows = _listed(
        sightline,
        "--set",
        "models.clip=ViT-L-14",
        "--set",
        f'models.files={{"ViT-L-14": "{tmp_path}/own.pt"}}',
    )
    assert rows["ViT-L-14"]["own_file"] is True
    assert rows["ViT-L-14"]["state"] == "present"


@pytest.mark.slow
def test_pull_brings_what_the_configuration_needs(sightline: CommandLine, server: HubServer) -> None:
    assert "bundled" in sightline("models", "pull").stdout
    server.cut_after = [1000]
    pulled = sightline("models", "pull", *WITH_CLIP).stdout
    assert "ViT-B-16-plus-240  pulled  var/models/" in pulled
    assert server.ranges == ["", "bytes=1000-"]
    assert "already there" in sightline("models", "pull", CLIP.name).stdout
    row = _listed(sightline)[CLIP.name]
    assert row["state"] == "present"
    assert row["size_bytes"] == 7000
    assert "needed:" not in sightline("models", "list", *WITH_CLIP).stdout


def test_verify_finds_what_is_altered_and_names_the_command(
    sightline: CommandLine, server: HubServer
) -> None:
    sightline("models", "pull", CLIP.name)
    assert "altered" not in sightline("models", "verify").stdout
    path = Path("var/models") / CLIP.file_name
    path.write_bytes(b"altered")
    result = sightline("models", "verify", code=1)
    assert "run `sightline models pull ViT-B-16-plus-240`" in result.stderr
    states = {
        row["model"]: row["state"]
        for row in json.loads(sightline("models", "verify", "--json", code=1).stdout)
    }
    assert states == {BUNDLED: "ok", CLIP.name: "altered"}
    assert "replaced" in sightline("models", "pull", CLIP.name).stdout
    sightline("models", "verify")


def test_offline_and_by_hand(
    sightline: CommandLine, server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = sightline("models", "pull", CLIP.name, "sam_vit_b", "mobilenetv2_100", code=1)
    assert "HF_HUB_OFFLINE" in result.stderr
    assert "segment_anything/sam_vit_b_01ec64.pth" in result.stderr
    assert "mobilenetv2_100 is brought by hand" in result.stderr
    assert not server.ranges
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / CLIP.file_name).write_bytes(b"clip")
    (stick / "mobilenetv2_100.safetensors").write_bytes(b"features")
    sightline("models", "pull", CLIP.name, "mobilenetv2_100", "--from", str(stick))
    assert _listed(sightline)["mobilenetv2_100"]["state"] == "present"


def test_what_was_carried_here_is_pinned(sightline: CommandLine) -> None:
    folder = Path("var/models")
    folder.mkdir(parents=True)
    (folder / "mobilenetv2_100.safetensors").write_bytes(b"features")
    assert "sightline models verify --pin" in sightline("models", "verify").stdout
    sightline("models", "verify", "--pin")
    assert "unpinned" not in sightline("models", "verify").stdout
    (folder / "mobilenetv2_100.safetensors").write_bytes(b"other")
    problems = sightline("models", "verify", code=1).stderr
    assert "sightline models pull mobilenetv2_100 --from FOLDER" in problems


def test_an_unknown_name(sightline: CommandLine) -> None:
    assert "nothing to pull by the name 'vgg'" in sightline("models", "pull", "vgg", code=1).stderr


def test_every_method_says_what_it_needs() -> None:
    def needed(method: str, names: ModelNames) -> tuple[str, ...]:
        return names.needed(METHODS[method].needs, METHODS[method].takes)

    assert needed("fade", ModelNames("c")) == ("c",)
    assert needed("sightline", ModelNames("c", "timm:t", detector="d")) == ("c", "timm:t", "d")
    assert needed("winclip", ModelNames("c", "timm:t")) == ("c",)
    assert needed("iap-as", ModelNames("c")) == ("grounding-dino-tiny", "sam_vit_b")
    assert needed("anomaly-dino", ModelNames("c", "timm:t")) == ("timm:t",)
    assert needed("anomaly-dino", ModelNames("c")) == ("c",)
    assert needed("null", ModelNames("c")) == ()


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("edge", {"vit_small_patch14_dinov2"}),
        ("gpu", {"ViT-B-16-plus-240", "grounding-dino-tiny", "sam_vit_h"}),
    ],
)
def test_a_profile_says_what_it_lacks_and_which_command_brings_it(
    sightline: CommandLine, profile: str, names: set[str]
) -> None:
    rows = _listed(sightline, "--profile", profile)
    needed_here = {name for name, row in rows.items() if profile in row["needed_by"]}  # type: ignore[operator]
    assert needed_here - {BUNDLED} == names
    (listed,) = (
        line for line in sightline("models", "list", "--profile", profile).stdout.splitlines()
        if line.startswith("needed:")
    )  # fmt: skip
    rows_of_check = json.loads(sightline("check", "--profile", profile, "--json", code=1).stdout)
    (checked,) = (row["detail"] for row in rows_of_check if row["part"] == "models")
    for output in (listed, checked):
        assert f"run `sightline models pull --profile {profile}`" in output
        for name in names:
            assert name in output


def test_the_command_that_brings_it_names_what_was_named(sightline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own file.yaml").write_text("models: {clip: ViT-B-16}")
    listed = sightline("models", "list", "--config", "own file.yaml", "--set", "models.path=w").stdout
    assert "ViT-B-16 (598 MB) is not in w: run `sightline models pull --config 'own file.yaml' " in listed
    assert "--set models.path=w`" in listed


@pytest.mark.slow
def test_one_command_brings_the_step_beyond_the_bundled_model(
    sightline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real architecture, random weights: what the hub gives is what the profile ``edge`` runs with."""
    import timm
    import torch
    from safetensors.torch import save

    from agent.app.models import build_inspector
    from agent.domain.recipe import template_recipe
    from config import load

    torch.manual_seed(0)
    backbone = KNOWN["vit_small_patch14_dinov2"]
    content = save(timm.create_model("vit_small_patch14_dinov2", pretrained=False).state_dict())
    assert len(content) == pytest.approx(backbone.size, rel=0.01)
    with HubServer({f"{backbone.repo}/model.safetensors": content}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        output = sightline("models", "pull", "--profile", "edge").stdout
    assert f"vit_small_patch14_dinov2  pulled  var/models/{backbone.file_name}" in output
    assert "needed:" not in sightline("models", "list", "--profile", "edge").stdout
    sightline("models", "verify")
    inspector = build_inspector(load(profile="edge", overrides=["models.device=cpu"]).settings)
    parts = [np.random.default_rng(seed).integers(90, 160, (96, 96, 3), np.uint8) for seed in range(3)]
    references = tuple(Reference(f"{seed:064d}", f"{seed}.png", f"part {seed}") for seed in range(2))
    recipe = replace(template_recipe("A", "sightline", "gear"), references=references)
    prepared = inspector.prepare(recipe, parts[:2])
    known, new = inspector.score([parts[0], parts[2]], [prepared] * 2)
    assert known.score < new.score
    patches = 448 // 14
    assert [bank.vectors.shape for bank in prepared.banks] == [(2 * patches**2, 384)]  # type: ignore[attr-defined]
