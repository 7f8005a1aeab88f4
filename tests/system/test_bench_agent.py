"""``bench --agent``: images through a real mosquitto and a real agent into SQLite, and back as verdicts.

What a frame costs is guarded by counts: a machine that is slow or busy changes none of them much.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fixtures.mosquitto import MOSQUITTO
from tests.system.process import sightline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]


def bench(folder: Path, *arguments: str) -> tuple[str, dict[str, object]]:
    """What the command printed, and its figures."""
    file = folder / "bench.json"
    done = sightline(
        "bench", "--agent", "--json", file, "--set", "models.threads=1", *arguments, timeout_s=280.0
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text())


def test_what_a_frame_costs_in_transactions_syncs_and_messages(tmp_path: Path) -> None:
    shown, figures = bench(tmp_path, "--method", "null", "--frames", "60", "--size", "96x64")
    assert (figures["method"], figures["shots"], figures["images"]) == ("null", 0, "drawn parts of 96 x 64")
    assert isinstance(figures["of_bare"], float)
    for name in ("full", "half"):
        load = figures[name]
        assert isinstance(load, dict)
        assert load["frames"] == 60
        assert load["messages"] == 1.0
        assert 0.0 < load["syncs"] <= 2.0, "a file and its folder"
        assert 0.0 < load["commits"] <= 1.5, "rows and their messages share one, marks another"
        assert set(load["stages_ms"]) == {"queue", "decode", "infer", "record", "commit", "total"}
        assert 0.0 < load["p50_ms"] <= load["p99_ms"]
    for word in ("full load", "half load", "of the bare model", "p99", "commits a frame"):
        assert word in shown


def test_references_are_enrolled_and_photographs_published(tmp_path: Path) -> None:
    noise = np.random.default_rng(3)
    (tmp_path / "images").mkdir()
    for number in range(4):
        image = np.clip(noise.normal(120, 20, (64, 64, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.jpg"), image)
    _shown, figures = bench(
        tmp_path, "--frames", "4", "--shots", "2", "--photographs", str(tmp_path / "images")
    )
    assert (figures["method"], figures["shots"]) == ("sightline", 2)
    assert figures["images"] == "photographs of images"
    assert isinstance(figures["full"], dict)
    assert figures["full"]["frames"] == 4
