"""``METHODS``: a module and one entry make a method that the command line and evaluation know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import yaml
from typer.testing import CliRunner

from adapters.cli.commands import application
from agent.app import Application
from agent.methods.registry import METHODS, MethodSpec
from tests.adapters.cli.conftest import CommandLine, gear

SPEC = MethodSpec("pixels", "tests.adapters.cli.pixel_method")


@pytest.fixture
def run(sightline: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The real application: what it builds, it builds by the registry."""
    monkeypatch.setitem(METHODS, SPEC.name, SPEC)

    def command(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(application(), list(arguments), obj=Application())
        assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
        return result.stderr if code else result.stdout

    return command


@pytest.mark.slow
def test_a_new_method_enrolls_inspects_and_travels_as_a_recipe(
    run: Callable[..., str], gears: Callable[[str, int], Path], tmp_path: Path
) -> None:
    good = gears("good", 10)
    spoilt = gear(50)
    spoilt[50:80, 50:80] = (250, 20, 20)
    cv2.imwrite(str(tmp_path / "bad.png"), spoilt[:, :, ::-1])
    run("enroll", "--sku", "G", "--references", str(good), "--method", "pixels")
    shown = json.loads(run("recipe", "show", "G", "--json"))
    assert (shown["method"], shown["shots"]) == ("pixels", 10)
    found = json.loads(run("inspect", "bad.png", "--references", str(good), "--method", "pixels", "--json"))
    assert found[0]["verdict"] == "FAIL"
    scaled = ("--set", "inspection.parameters.pixels.gain=2", "--method", "pixels")
    again = json.loads(run("inspect", "bad.png", "--references", str(good), *scaled, "--json"))
    assert again[0]["score"] == pytest.approx(2 * found[0]["score"])

    run("recipe", "export", "G", "--out", "g.yaml")
    edited = yaml.safe_load(Path("g.yaml").read_text())
    edited["parameters"] = {"gain": 3.0}
    Path("g.yaml").write_text(yaml.safe_dump(edited))
    run("recipe", "import", "g.yaml")
    assert json.loads(run("recipe", "show", "G", "--json"))["parameters"] == {"gain": 3.0}
    Path("g.yaml").write_text(yaml.safe_dump({**edited, "parameters": {"gian": 3.0}}))
    assert "no parameter 'gian'; did you mean 'gain'?" in run("recipe", "import", "g.yaml", code=1)


def test_a_new_method_is_evaluated_timed_and_listed(
    run: Callable[..., str], gears: Callable[[str, int], Path], tmp_path: Path
) -> None:
    root = tmp_path / "data/gear"
    for folder, seeds, defect in (("train/good", range(4), None), ("test/good", range(10, 13), None),
                                  ("test/hole", range(20, 23), "missing part")):  # fmt: skip
        (root / folder).mkdir(parents=True)
        for seed in seeds:
            cv2.imwrite(str(root / folder / f"{seed:03d}.png"), gear(seed, defect=defect)[:, :, ::-1])
    arguments = ("evaluate", "--dataset", "mvtec", "--root", "data", "--shots", "2", "--json", "figures.json")
    run(*arguments, "--method", "pixels,null")
    reports = json.loads(Path("figures.json").read_text())
    assert [report["method"] for report in reports] == ["pixels", "null"]
    assert reports[0]["categories"]["gear"]["image_auroc"] > reports[1]["categories"]["gear"]["image_auroc"]

    run("bench", "--method", "pixels", "--frames", "2", "--size", "64x64", "--json", "bench.json")
    timed = json.loads(Path("bench.json").read_text())
    assert (timed["method"], timed["models"], timed["shots"]) == ("pixels", [], 0)
    listed = json.loads(run("models", "list", "--json", "--set", "inspection.method=pixels"))
    assert all("this configuration" not in row["needed_by"] for row in listed)
    assert "known are fade" in run("bench", "--method", "pixel", "--frames", "1", code=1)
