"""Tiles chosen by command, by configuration, by a file, and by the smallest defect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.cli.demo.plan import encode_jpeg
from tests.adapters.cli.conftest import CommandLine

Gears = Callable[[str, int], Path]


@pytest.fixture
def enrolled(sightline: CommandLine, gears: Gears) -> CommandLine:
    """A product with ten references and a threshold, judged as a whole."""
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 10)))
    return sightline


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """A folder of eight plain plates of 480 x 320 pixels."""
    folder = tmp_path / "plates"
    folder.mkdir()
    for seed in range(8):
        levels = 128.0 + np.random.default_rng(seed).normal(0.0, 12.0, (320, 480, 3))
        image = np.clip(levels, 0, 255).astype(np.uint8)
        (folder / f"{seed}.jpg").write_bytes(encode_jpeg(image))
    return folder


def shown(command: CommandLine, sku: str = "GR-1", *arguments: str) -> dict[str, Any]:
    return dict(json.loads(command("recipe", "show", sku, "--json", *arguments).stdout))


def test_a_command_divides_the_image_and_sets_a_threshold_of_its_own(enrolled: CommandLine) -> None:
    before = shown(enrolled)
    printed = enrolled("recipe", "tiles", "GR-1", "3 x 2").stdout
    assert "version 2 is active, judged in 3 x 2 tiles, before in the whole image" in printed
    assert "judged in 3 x 2 tiles, each at 68 px of 68" in printed
    after = shown(enrolled)
    assert (after["version"], after["parent"], after["active"], after["origin"]) == (2, 1, True, "enrollment")
    assert after["references"] == before["references"]
    assert after["threshold"] not in (None, before["threshold"])
    assert after["parameters"]["tiles"] == "3x2"
    assert len(after["parameters"]["tile_levels"]) == 6
    assert "leave-one-out of 10 references" in after["calibration"]["source"]
    events = enrolled("recipe", "list", "GR-1", "--json").stdout
    assert "judged in 3 x 2 tiles" in events


def test_and_back_to_the_whole_image_with_the_threshold_that_it_had(enrolled: CommandLine) -> None:
    enrolled("recipe", "tiles", "GR-1", "2x2", "--own-memory", "--overlap", "0.2")
    recipe = shown(enrolled)
    parameters, note = recipe["parameters"], recipe["note"]
    assert (parameters["tile_memory"], parameters["tile_overlap"]) == ("own", 0.2)
    assert note == "judged in 2 x 2 tiles with a memory each, overlapping by 20%, before in the whole image"
    reply = json.loads(enrolled("recipe", "tiles", "GR-1", "1x1", "--json").stdout)
    assert (reply["version"], reply["tiles"]) == (3, "1x1")
    assert reply["threshold"] == shown(enrolled, "GR-1", "--version", "1")["threshold"]


def test_what_cannot_be_done_is_one_sentence(enrolled: CommandLine) -> None:
    def refused(*arguments: str) -> str:
        return enrolled(*arguments, code=1).stderr

    assert "no active recipe of 'X'" in refused("recipe", "tiles", "X", "2x2")
    assert "columns x rows, such as 3x2" in refused("recipe", "tiles", "GR-1", "2")
    assert "1x1 to 64 in all" in refused("recipe", "tiles", "GR-1", "9x9")
    assert "0 to 0.5" in refused("recipe", "tiles", "GR-1", "2x2", "--overlap", "0.7")
    enrolled("recipe", "tiles", "GR-1", "2x1")
    assert "in these tiles already" in refused("recipe", "tiles", "GR-1", "2x1")
    assert "columns x rows" in refused("config", "show", "--set", "inspection.tiles=three")
    assert shown(enrolled)["version"] == 2


@pytest.mark.slow
def test_references_that_come_later_are_judged_in_the_same_tiles(enrolled: CommandLine, gears: Gears) -> None:
    enrolled("recipe", "tiles", "GR-1", "2x1")
    enrolled("enroll", "--sku", "GR-1", "--references", str(gears("more", 12)))
    parameters = shown(enrolled)["parameters"]
    assert parameters["tiles"] == "2x1"
    assert len(parameters["tile_levels"]) == 2
    assert shown(enrolled)["shots"] == 12


@pytest.mark.slow
def test_the_configuration_divides_what_is_enrolled_from_now_on(enrolled: CommandLine, gears: Gears) -> None:
    tiles = ("--set", "inspection.tiles=2x2", "--set", "inspection.tile_memory=own")
    enrolled("enroll", "--sku", "NEW", "--references", str(gears("new", 8)), *tiles)
    parameters = shown(enrolled, "NEW")["parameters"]
    assert (parameters["tiles"], parameters["tile_memory"]) == ("2x2", "own")
    assert shown(enrolled)["parameters"] == {}, "what was enrolled before stays as it is"
    enrolled("recipe", "tiles", "GR-1", "1x1", *tiles)
    enrolled("enroll", "--sku", "GR-1", "--references", str(gears("other", 8)), *tiles)
    assert shown(enrolled)["parameters"] == {"tiles": "1x1"}, "a person chose the whole image"


def test_images_from_disk_are_judged_in_tiles_too(sightline: CommandLine, gears: Gears) -> None:
    good = str(gears("good", 9))
    arguments = ("inspect", good, "--references", good, "--json")
    whole = json.loads(sightline(*arguments).stdout)
    tiled = json.loads(sightline(*arguments, "--set", "inspection.tiles=2x2").stdout)
    assert all(one["verdict"] == "PASS" for one in tiled)
    assert whole[0]["threshold"] != tiled[0]["threshold"]


def test_a_file_carries_tiles_and_says_what_it_cannot_change(enrolled: CommandLine) -> None:
    enrolled("recipe", "tiles", "GR-1", "2x2")
    file = Path("gear.yaml")
    enrolled("recipe", "export", "GR-1", "--out", str(file))
    assert "tiles: 2x2" in file.read_text()
    assert json.loads(enrolled("recipe", "import", str(file), "--json").stdout)["new"] is False
    file.write_text(file.read_text().replace("tiles: 2x2", "tiles: 3x2"))
    refused = enrolled("recipe", "import", str(file), code=1).stderr
    assert "4 values for 3x2 tiles" in refused
    assert "sightline recipe tiles" in refused
    file.write_text(re.sub(r"  tile_levels:\n(    - .*\n)+", "", file.read_text()))
    imported = json.loads(enrolled("recipe", "import", str(file), "--json").stdout)
    assert (imported["new"], imported["calibrated"]) == (True, False), "its threshold was of other tiles"


# -------------------------------------------------------------------------- the smallest defect


def test_a_command_says_how_small_a_defect_is_found_and_changes_nothing(
    sightline: CommandLine, plates: Path
) -> None:
    enrolled = spot(sightline("enroll", "--sku", "P", "--references", str(plates)).stdout)
    reply = json.loads(sightline("recipe", "tiles", "P", "--json").stdout)
    assert (reply["version"], reply["tiles"], reply["smallest_px"]) == (1, "1x1", enrolled)
    assert "P version 1: judged at 320 px of 480: a spot of" in sightline("recipe", "tiles", "P").stdout
    assert "name the tiles too" in sightline("recipe", "tiles", "P", "--shared-memory", code=1).stderr
    assert shown(sightline, "P")["version"] == 1


def spot(printed: str) -> int:
    found = re.search(r"a spot of about (\d+) px is found", printed)
    assert found is not None, printed
    return int(found[1])


def test_enrollment_says_how_small_a_defect_is_found(sightline: CommandLine, plates: Path) -> None:
    printed = sightline("enroll", "--sku", "P", "--references", str(plates)).stdout
    assert "judged at 320 px of 480: a spot of about" in printed
    assert re.search(r"--smallest-defect \d+px would take \d x \d tiles, about \d+ times the time", printed)


@pytest.mark.slow
def test_enrollment_takes_so_many_tiles_that_a_defect_is_found(sightline: CommandLine, plates: Path) -> None:
    whole = spot(sightline("enroll", "--sku", "P", "--references", str(plates)).stdout)
    wanted = whole - 2
    arguments = ("enroll", "--sku", "P", "--references", str(plates), "--smallest-defect", f"{wanted}px")
    printed = sightline(*arguments).stdout
    assert (spot(printed) <= wanted) is (f"{wanted} px were asked for" not in printed)
    assert re.search(r"judged in \d x \d tiles, before in the whole image", printed)
    assert shown(sightline, "P")["parameters"]["tiles"] != "1x1"


def test_a_defect_that_is_seen_anyway_takes_no_tiles(sightline: CommandLine, plates: Path) -> None:
    sightline("enroll", "--sku", "P", "--references", str(plates), "--smallest-defect", "80")
    assert shown(sightline, "P")["parameters"] == {}


def test_without_a_threshold_tiles_are_chosen_by_their_size(sightline: CommandLine, plates: Path) -> None:
    for file in sorted(plates.iterdir())[3:]:
        file.unlink()
    arguments = ("enroll", "--sku", "P", "--references", str(plates), "--smallest-defect", "10px")
    printed = sightline(*arguments).stdout
    assert shown(sightline, "P")["parameters"]["tiles"] == "3x2"
    assert "is measured once there is a threshold" in printed


@pytest.mark.parametrize("text", ["4mm", "0px", "0.5", "-3px", "small", ""])
def test_a_size_that_is_none_is_one_sentence(sightline: CommandLine, plates: Path, text: str) -> None:
    command = ("enroll", "--sku", "P", "--references", str(plates), "--smallest-defect", text)
    assert "such as 40px" in sightline(*command, code=1).stderr


@pytest.mark.slow
def test_a_defect_that_no_number_of_tiles_shows_is_one_sentence(sightline: CommandLine, plates: Path) -> None:
    command = ("enroll", "--sku", "P", "--references", str(plates), "--smallest-defect", "1px")
    assert "more tiles than there may be" in sightline(*command, code=1).stderr
    sightline("recipe", "show", "P", code=1)


def test_a_shape_that_is_squeezed_is_said_and_tiles_that_keep_it_are_named(
    sightline: CommandLine, tmp_path: Path
) -> None:
    folder = tmp_path / "strips"
    folder.mkdir()
    for seed in range(8):
        levels = 128.0 + np.random.default_rng(seed).normal(0.0, 12.0, (120, 480, 3))
        (folder / f"{seed}.jpg").write_bytes(encode_jpeg(np.clip(levels, 0, 255).astype(np.uint8)))
    enroll = ("enroll", "--sku", "S", "--references", str(folder))
    printed = sightline(*enroll).stdout
    assert "at 320 px of 480, squeezed into a square (enroll --keep-aspect or 4 x 1 tiles would" in printed
    wide = sightline(*enroll, "--keep-aspect").stdout
    assert "judged at 120 px of 120" in wide
    assert shown(sightline, "S")["parameters"] == {"aspect": "keep"}
    squeezed = sightline(*enroll, "--keep-aspect", "--method", "anomaly-dino", code=1)
    assert "no parameter 'aspect'" in squeezed.stderr
    assert "squeezed" not in sightline("recipe", "tiles", "S", "4x1").stdout
    kept = sightline(*enroll, "--method", "anomaly-dino").stdout
    assert "squeezed" not in kept, "this method keeps the aspect ratio by itself"
    parameters = shown(sightline, "S")["parameters"]
    assert parameters["tiles"] == "4x1", "tiles belong to no method"
    assert "aspect" not in parameters, "but what only some methods know does"


@pytest.mark.slow
def test_layouts_are_compared_in_a_table(sightline: CommandLine, gears: Gears) -> None:
    arguments = ("bench", "--tiles", "1x1,2x1", "--size", "192x128", "--frames", "2", "--json", "out/t.json")
    printed = sightline(*arguments).stdout
    assert "12 drawn circuit boards of 192 x 128" in printed
    assert "smallest found" in printed
    content = json.loads(Path("out/t.json").read_text())
    assert [(row["tiles"], row["tile_px"]) for row in content["rows"]] == [("1x1", 192), ("2x1", 128)]
    assert all(row["threshold"] > 0 and row["frame_ms"] > 0 and row["tried"] > 0 for row in content["rows"])
    trays = sightline(*arguments[:6], "1", "--photographs", str(gears("good", 40))).stdout
    assert "12 trays of photographs of 192 x 128" in trays
    refused = ("bench", "--tiles", "1x1", "--size", "192x128")
    assert "columns x rows" in sightline("bench", "--tiles", "2", code=1).stderr
    assert "3 references set no threshold" in sightline(*refused, "--shots", "3", code=1).stderr
    few = sightline(*refused, "--photographs", str(gears("few", 4)), code=1).stderr
    assert "a tray shows" in few
