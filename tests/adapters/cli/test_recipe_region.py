"""``sightline recipe region`` and what ``enroll`` proposes, on a real history."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adapters.cli.demo.plan import encode_jpeg
from tests.adapters.cli.conftest import CommandLine, gear

Gears = Callable[[str, int], Path]
CLOCK = "0,0.9,0.5,0.1"


@pytest.fixture
def enrolled(sightline: CommandLine, gears: Gears) -> CommandLine:
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 10)), "--name", "gear")
    return sightline


def answer(command: CommandLine, *arguments: str) -> Any:
    return json.loads(command(*arguments, "--json").stdout)


@pytest.mark.slow
def test_an_ignored_region_is_a_new_version_with_the_memory_of_the_old(enrolled: CommandLine) -> None:
    before = answer(enrolled, "recipe", "show", "GR-1")
    printed = enrolled("recipe", "region", "GR-1", "--ignore", CLOCK).stdout
    assert "GR-1: recipe version 2, active, regions: 1 ignored" in printed
    assert "--ignore 0,0.9,0.5,0.1" in printed
    assert "threshold 0." in printed
    after = answer(enrolled, "recipe", "show", "GR-1")
    assert after["regions"] == {"ignore": [[0.0, 0.9, 0.5, 0.9, 0.5, 1.0, 0.0, 1.0]]}
    assert (after["origin"], after["parent"], before["regions"]) == ("regions", 1, None)
    for kept in ("references", "prompts", "noun", "method", "parameters"):
        assert after[kept] == before[kept]
    assert after["note"].startswith("regions: 1 ignored; threshold set from 0.")
    assert after["calibration"]["samples"] == 10

    again = answer(enrolled, "recipe", "region", "GR-1", "--ignore", CLOCK)
    assert (again["version"], again["new"]) == (2, False)
    more = answer(enrolled, "recipe", "region", "GR-1", "--inspect", "0.1,0.1,0.9,0.1,0.5,0.9")
    assert (more["version"], sorted(more["regions"])) == (3, ["ignore", "inspect"])
    bare = answer(enrolled, "recipe", "region", "GR-1", "--clear")
    assert (bare["version"], bare["regions"], bare["threshold"]) == (4, {}, before["threshold"])
    assert [one["regions"] is None for one in answer(enrolled, "recipe", "list")] == [
        True,
        False,
        False,
        True,
    ]


def test_the_regions_are_drawn_on_a_reference(enrolled: CommandLine) -> None:
    printed = enrolled("recipe", "region", "GR-1", "--ignore", CLOCK, "--image", "seen.png").stdout
    assert "drawn in seen.png" in printed
    seen = cv2.imread("seen.png")
    assert seen is not None
    bare = cv2.resize(gear(0), (640, 640), interpolation=cv2.INTER_CUBIC)
    assert np.median(seen[590:630, 20:300]) < 0.7 * np.median(bare[590:630, 20:300])
    assert "not as .gif" in enrolled("recipe", "region", "GR-1", "--image", "a.gif", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("GR-1", "--ignore", "12,34,56,78"), "divide pixels"),
        (("GR-1", "--ignore", "0,0,1,1"), "leave nothing"),
        (("GR-1", "--inspect", "all"), "such as 0.02,0.02,0.4,0.08"),
        (("GR-9", "--ignore", CLOCK), "no active recipe of 'GR-9'"),
    ],
)
def test_what_is_refused(enrolled: CommandLine, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in enrolled("recipe", "region", *arguments, code=1).stderr
    assert len(answer(enrolled, "recipe", "list")) == 1


def test_regions_travel_in_recipe_files(enrolled: CommandLine) -> None:
    enrolled("recipe", "region", "GR-1", "--ignore", CLOCK)
    enrolled("recipe", "export", "GR-1", "--out", "gear.yaml")
    file = Path("gear.yaml")
    text = file.read_text()
    assert "regions:\n  ignore:\n    - [0.0, 0.9, 0.5, 0.9, 0.5, 1.0, 0.0, 1.0]\n" in text
    same = answer(enrolled, "recipe", "import", "gear.yaml")
    assert (same["version"], same["new"]) == (2, False)

    file.write_text(text.replace("[0.0, 0.9, 0.5, 0.9, 0.5, 1.0, 0.0, 1.0]", "[0.0, 0.8, 0.5, 0.2]"))
    found = answer(enrolled, "recipe", "import", "gear.yaml")
    assert (found["version"], found["calibrated"]) == (3, False)
    assert "since the regions changed" in found["remarks"][0]
    file.write_text(text.replace("[0.0, 0.9, 0.5, 0.9, 0.5, 1.0, 0.0, 1.0]", "[0, 800, 500, 200]"))
    refused = enrolled("recipe", "import", "gear.yaml", code=1).stderr
    assert "gear.yaml, line 10, column" in refused
    assert "regions.ignore[1]" in refused
    assert "divide pixels" in refused
    file.write_text(text.replace("ignore:", "ingore:"))
    assert "did you mean ignore?" in enrolled("recipe", "import", "gear.yaml", code=1).stderr


def test_a_file_from_before_there_were_regions_keeps_its_threshold(enrolled: CommandLine) -> None:
    text = enrolled("recipe", "export", "GR-1").stdout
    assert "  regions: ''\n" in text
    Path("old.yaml").write_text(
        text.replace("  regions: ''\n", "").replace("severity: ''", "severity: minor")
    )
    found = answer(enrolled, "recipe", "import", "old.yaml")
    assert (found["new"], found["calibrated"], found["remarks"]) == (True, True, [])


def test_enrolling_again_keeps_the_regions(enrolled: CommandLine) -> None:
    enrolled("recipe", "region", "GR-1", "--ignore", CLOCK)
    printed = enrolled("enroll", "--sku", "GR-1", "--references", "good", "--name", "cog").stdout
    assert "to inspect that part alone" not in printed, "nothing is proposed where a person has chosen"
    shown = answer(enrolled, "recipe", "show", "GR-1")
    assert (shown["noun"], len(shown["regions"]["ignore"])) == ("cog", 1)


def small_gears(folder: Path) -> None:
    """Gears in the right half of an image that is twice as wide."""
    folder.mkdir()
    for index in range(8):
        image = np.full((128, 320, 3), 90, np.uint8)
        image[32:96, 200:264] = cv2.resize(gear(index), (64, 64), interpolation=cv2.INTER_AREA)
        cv2.circle(image, (232, 64), 30, (200, 40, 40), -1)
        (folder / f"{index}.jpg").write_bytes(encode_jpeg(image))


def test_enrollment_finds_the_product_and_offers_the_command(sightline: CommandLine) -> None:
    small_gears(Path("small"))
    sku = "A 17/b's"
    printed = sightline(
        "enroll", "--sku", sku, "--references", "small", "--set", "references.duplicates=keep"
    ).stdout
    command = next(line for line in printed.splitlines() if "recipe region" in line)
    words = shlex.split(command)
    assert words[:4] == ["sightline", "recipe", "region", sku]
    x, y, width, height = (float(side) for side in words[words.index("--inspect") + 1].split(","))
    assert x <= 202 / 320
    assert x + width >= 262 / 320
    assert y <= 34 / 128
    assert y + height >= 94 / 128
    assert width * height < 0.35
    assert words[-2:] == ["--set", "references.duplicates=keep"]
    (shown,) = Path("var/regions").iterdir()
    assert f"shown in {shown}" in printed
    image = cv2.imread(str(shown))
    assert image is not None
    assert image[10:60, 10:300].mean() < 60
    assert answer(sightline, "recipe", "show", sku)["regions"] is None, "nothing is applied unasked"

    looked = sightline("recipe", "region", sku).stdout
    assert "the whole image is inspected" in looked
    assert "--inspect" in looked, "offered again to whoever asks"
    assert answer(sightline, *words[1:])["regions"]["inspect"]
    assert "to inspect that part alone" not in sightline("recipe", "region", sku).stdout


def test_nothing_is_proposed_for_a_product_that_fills_the_image(sightline: CommandLine) -> None:
    Path("plain").mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        noise = rng.integers(100, 140, (96, 96, 3), dtype=np.uint8)
        Path(f"plain/{index}.jpg").write_bytes(encode_jpeg(noise))
    printed = sightline("enroll", "--sku", "S", "--references", "plain").stdout
    assert "recipe region" not in printed
    assert not Path("var/regions").exists()
