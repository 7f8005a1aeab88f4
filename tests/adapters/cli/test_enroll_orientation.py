"""``sightline enroll`` with the bundled model: how the parts lie is found, printed and stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.commands import application
from adapters.cli.demo.plan import encode_jpeg
from adapters.simulator import Product, Station, draw
from agent.app import Application

SEED = 1_600_000
SMALL = ("--set", "references.max_patches=256", "--set", "inspection.parameters.sightline.scales=[128]")
"""At 320 px it finds the same and takes ten times as long."""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(application(), list(arguments), obj=Application())
    assert result.exit_code == 0, f"{result.output}\n{result.stderr}\n{result.exception!r}"
    return result.stdout


def shown() -> dict[str, object]:
    return dict(json.loads(run("recipe", "show", "C", "--json")))


@pytest.mark.slow
def test_loose_parts_are_printed_and_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    product = Product.create("connector", SEED)
    (tmp_path / "good").mkdir()
    for number in range(4):
        image = draw(product, Station.loose(SEED), SEED + number, size=256).image
        (tmp_path / f"good/{number}.jpg").write_bytes(encode_jpeg(image))
    enroll = ("enroll", "--sku", "C", "--references", "good", *SMALL)
    printed = run(*enroll)
    assert "references are memorised in 16 directions: the parts lie in any" in printed
    assert shown()["parameters"] == {"angles": [index * 22.5 for index in range(16)]}
    assert shown()["note"] == "references are memorised in 16 directions: the parts lie in any"
    again = run(*enroll, "--set", "references.directions=6")
    assert "references are memorised in 6 directions, before in 16" in again
    never = run(*enroll, "--set", "references.rotations=[]")
    assert "references are no longer memorised in 6 directions" in never
    assert shown()["parameters"] == {}
