"""``cameras.X.regions``: what is inspected of one camera's frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.app.options import camera_rules
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Camera
from agent.domain.regions import EVERYWHERE, Regions, rectangle
from config import load

CLOCK = rectangle(0.0, 0.9, 0.45, 0.1)


def test_regions_of_a_camera_reach_its_rules_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "sightline.yaml"
    file.write_text(
        "cameras:\n  l/a:\n    regions:\n      ignore: [[0, 0.9, 0.45, 0.1]]\n"
        "      inspect:\n        - [0.1, 0.1, 0.9, 0.1, 0.5, 1]\n  l/b: {shadow: true}\n"
    )
    rules = camera_rules(load(file).settings)
    triangle = ((0.1, 0.1), (0.9, 0.1), (0.5, 1.0))
    assert rules.of(Camera("factory", "l", "a")).regions == Regions((triangle,), (CLOCK,))
    assert rules.of(Camera("factory", "l", "b")).regions == EVERYWHERE
    assert rules.of(Camera("factory", "l", "c")).regions == EVERYWHERE


@pytest.mark.parametrize(
    ("regions", "sentence"),
    [
        ("{ignore: [[0, 900, 450, 100]]}", "divide pixels"),
        ("{ignore: [[0, 0, 1, 1]]}", "leave nothing"),
        ("{ignore: [0, 0.9, 0.45, 0.1]}", "list"),
        ("{inspect: [[0.1, 0.2, 0.3]]}", "four numbers"),
        ("{ignored: []}", "ignored is not a known key"),
    ],
)
def test_what_is_refused_names_key_and_line(tmp_path: Path, regions: str, sentence: str) -> None:
    file = tmp_path / "sightline.yaml"
    file.write_text(f"cameras:\n  l/a:\n    regions: {regions}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert sentence in str(caught.value)
    assert "line 3" in str(caught.value)
    assert "cameras.l/a.regions" in str(caught.value)
