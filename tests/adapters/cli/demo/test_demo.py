"""``sightline demo``: a factory with the embedded broker and real storage, without model weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from adapters.cli.demo.report import clear
from tests.adapters.cli.conftest import CommandLine

pytestmark = pytest.mark.system


def test_a_demonstration_and_another_one_beside_it(sightline: CommandLine) -> None:
    quick = ("demo", "--frames", "24", "--rate", "20", "--set", "ollama.enabled=false")
    output = sightline(*quick, "--json", "copy/s.json").stdout
    summary = json.loads(Path("var/demo/summary.json").read_text())
    assert json.loads(Path("copy/s.json").read_text()) == summary
    counted = {name: summary[name] for name in ("frames", "verdicts", "lost", "duplicated", "skus")}
    assert counted == {"frames": 24, "verdicts": 24, "lost": 0, "duplicated": 0, "skus": 3}
    assert summary["recipes"] >= 3
    assert summary["prompt_source"] == "template"
    assert set(summary["auroc_by_sku"]["few_shot"]) == {"GR-2041", "CAP-28"}
    assert set(summary["auroc_by_sku"]["zero_shot"]) == {"OAK-19"}
    assert sum(sum(row.values()) for row in summary["confusion"].values()) == 12
    assert "0 lost, 0 duplicated" in output
    overlays = sorted(path.name for path in Path("var/demo/overlays").iterdir())
    assert "line-2-top-OAK-19-0000-REVIEW.jpg" in overlays
    with Image.open("var/demo/contact_sheet.png") as sheet:
        assert sheet.width > 600

    # With --keep the history grows, and the enrolled products need no second enrollment.
    sightline(*quick, "--keep")
    again = json.loads(Path("var/demo/summary.json").read_text())
    assert (again["frames"], again["verdicts"], again["lost"], again["duplicated"]) == (24, 24, 0, 0)
    assert again["recipes"] == summary["recipes"]


def test_what_a_person_keeps_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", "history.db", "overlays/a.jpg", "media/aa/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
