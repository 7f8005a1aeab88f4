"""``sightline enroll``, ``check``, ``db`` and others that need no broker."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from sqlalchemy import text

from adapters.cli.demo.plan import encode_jpeg
from config import load
from storage import Database, MediaFolder
from tests.adapters.cli.conftest import CommandLine, gear

Gears = Callable[[str, int], Path]


def test_the_version(sightline: CommandLine) -> None:
    assert re.fullmatch(r"sightline \d\S*\n", sightline("--version").stdout)


def test_every_command_takes_the_configuration(sightline: CommandLine) -> None:
    for command in (
        ["demo"], ["run"], ["check"], ["camera"], ["inspect"], ["enroll"], ["recipe", "list"],
        ["recipe", "show"], ["config", "show"], ["config", "schema"], ["db", "upgrade"], ["db", "check"],
        ["db", "backup"],
    ):  # fmt: skip
        text = sightline(*command, "--help").stdout
        assert all(option in text for option in ("--config", "--profile", "--set")), command


def test_config_show_is_yaml_with_the_place_of_each_value(sightline: CommandLine) -> None:
    shown = sightline("config", "show", "--set", "inspection.max_batch=3").stdout
    assert yaml.safe_load(shown)["inspection"]["max_batch"] == 3
    assert "max_batch: 3  # --set inspection.max_batch" in shown


def test_config_schema_is_json_schema(sightline: CommandLine) -> None:
    assert "broker" in json.loads(sightline("config", "schema").stdout)["properties"]
    assert "inspection_id" in json.loads(sightline("config", "schema", "--verdict").stdout)["properties"]


def test_an_unknown_key_is_one_sentence_without_a_traceback(sightline: CommandLine) -> None:
    result = sightline("config", "show", "--set", "broker.urll=mqtt://h:1", code=1)
    assert "did you mean broker.url?" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_usage_ends_with_two(sightline: CommandLine) -> None:
    sightline("enroll", code=2)
    sightline("camera", "--form", "carrier-pigeon", code=2)


def test_the_database_is_made_checked_and_copied(sightline: CommandLine) -> None:
    place = ("--set", "database.url=sqlite:///h.db")
    assert "db upgrade" in sightline("db", "check", *place, code=1).stderr
    assert not Path("h.db").exists()
    assert "schema revision" in sightline("db", "upgrade", *place).stdout
    sightline("db", "check", *place)
    sightline("db", "backup", "copy.db", *place)
    assert Path("copy.db").stat().st_size > 0
    assert "exists already" in sightline("db", "backup", "copy.db", *place, code=1).stderr


def test_images_without_a_row_are_named_and_deleted_by_command(sightline: CommandLine) -> None:
    sightline("db", "upgrade")
    image = Path("var/media") / MediaFolder(Path("var/media")).put(b"nobody's", "jpg")
    os.utime(image, (1, 1))
    found = sightline("db", "check", code=1)
    assert "1 files (8 bytes) are named by no row" in found.stderr
    assert image.name in found.stderr
    assert image.exists()
    done = sightline("db", "check", "--repair", "--deep")
    assert "1 files that no row names were deleted: 8 bytes are free" in done.stdout
    assert "agrees with it: 0 files, 0 bytes" in done.stdout
    assert not image.exists()
    with Database("sqlite:///var/history.db") as database, database.read() as connection:
        events = connection.execute(text("SELECT kind, agent_id FROM event")).all()
    assert [tuple(event) for event in events] == [("media-repair", load(environ={}).settings.agent.id)]


def test_a_folder_of_another_database_is_not_emptied_by_mistake(sightline: CommandLine) -> None:
    sightline("db", "upgrade")
    media = MediaFolder(Path("var/media"))
    images = [Path("var/media") / media.put(b"image %d" % number, "jpg") for number in range(30)]
    for image in images:
        os.utime(image, (1, 1))
    refused = sightline("db", "check", "--repair", code=1)
    assert "30 of 30 files are named by no row: is this the media folder of this database?" in refused.stderr
    assert all(image.exists() for image in images)
    sightline("db", "check", "--repair", "--force")
    assert not any(image.exists() for image in images)


def test_a_damaged_database_is_named_before_anything_is_done_with_it(sightline: CommandLine) -> None:
    sightline("db", "upgrade")
    history = Path("var/history.db")
    content = bytearray(history.read_bytes())
    content[8192:20480] = os.urandom(12288)
    history.write_bytes(content)
    for command in (["db", "check"], ["db", "upgrade"], ["run"]):
        refused = sightline(*command, code=1).stderr
        assert "is damaged" in refused
        assert "put a backup in its place" in refused
    assert history.read_bytes() == content


def test_enrolling_writes_a_calibrated_recipe(sightline: CommandLine, gears: Gears) -> None:
    folder = gears("good", 10)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    result = sightline("enroll", "--sku", "GR-1", "--references", str(folder), "--name", "gear")
    assert "left out: broken.jpg" in result.stderr
    assert "recipe version 1 with 10 references, 1 left out, active" in result.stdout
    assert "threshold" in result.stdout
    assert len(re.findall(r"^  [\d.]+  \d{3}\.jpg$", result.stdout, re.MULTILINE)) == 2
    (listed,) = json.loads(sightline("recipe", "list", "--json").stdout)
    assert (listed["sku"], listed["noun"], listed["shots"], listed["version"]) == ("GR-1", "gear", 10, 1)
    assert listed["threshold"] > 0
    shown = json.loads(sightline("recipe", "show", "GR-1", "--json").stdout)
    assert shown["references"] == [f"{index:03d}.jpg" for index in range(10)]
    assert any("gear" in words for words in shown["prompts"]["normal"])
    assert "GR-1" in sightline("recipe", "list").stdout
    assert yaml.safe_load(sightline("recipe", "show", "GR-1").stdout)["shots"] == 10


def test_a_second_enrollment_is_the_next_version_and_keeps_the_name(
    sightline: CommandLine, gears: Gears
) -> None:
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 9)), "--name", "gear")
    again = sightline("enroll", "--sku", "GR-1", "--references", str(gears("more", 3)))
    assert "GR-1 (gear): recipe version 2 with 3 references" in again.stdout
    assert "not calibrated" in again.stdout
    assert json.loads(sightline("recipe", "show", "GR-1", "--version", "1", "--json").stdout)["shots"] == 9


def test_a_recipe_that_is_not_there(sightline: CommandLine) -> None:
    assert "db upgrade" in sightline("recipe", "list", code=1).stderr
    sightline("db", "upgrade")
    assert "no product yet" in sightline("recipe", "list").stdout
    assert "no active recipe of 'X'" in sightline("recipe", "show", "X", code=1).stderr


def test_references_that_are_not_images(sightline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no JPEG or PNG" in sightline("enroll", "--sku", "A", "--references", "empty", code=1).stderr
    assert "no file or folder" in sightline("enroll", "--sku", "A", "--references", "gone", code=1).stderr
    (tmp_path / "empty" / "a.png").write_bytes(b"text")
    assert (
        "none of the references" in sightline("enroll", "--sku", "A", "--references", "empty", code=1).stderr
    )


def test_a_sku_that_is_too_long(sightline: CommandLine, gears: Gears) -> None:
    result = sightline("enroll", "--sku", "x" * 300, "--references", str(gears("good", 1)), code=1)
    assert "1 to 255 characters" in result.stderr


def test_inspecting_without_references_is_review(sightline: CommandLine, gears: Gears) -> None:
    (result,) = json.loads(sightline("inspect", str(gears("good", 1) / "000.jpg"), "--json").stdout)
    assert result["verdict"] == "REVIEW"
    assert result["threshold"] is None
    assert not Path("var").exists(), "inspect touches neither database nor media"


def test_inspecting_with_references_finds_the_defect_and_writes_it(
    sightline: CommandLine, gears: Gears, tmp_path: Path
) -> None:
    bad = tmp_path / "bad" / "deep"
    bad.mkdir(parents=True)
    image = gear(500).copy()
    image[50:70, 50:70] = (255, 0, 255)
    (bad / "x.jpg").write_bytes(encode_jpeg(image))
    good = gears("good", 10)
    result = sightline(
        "inspect", "bad", str(good), "--references", str(good), "--noun", "gear", "--out", "out", "--json"
    )  # fmt: skip
    found = {one["image"]: one for one in json.loads(result.stdout)}
    assert len(found) == 11
    defective = found["bad/deep/x.jpg"]
    assert defective["verdict"] == "FAIL"
    assert defective["score"] > defective["threshold"] > 0
    x, y, width, height = defective["defects"][0]["bbox"]
    assert x < 60 < x + width
    assert y < 60 < y + height
    mask = cv2.imread("out/deep/x.mask.png", cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert mask.shape == (128, 128)
    assert mask[60, 60] == 1
    assert cv2.imread("out/deep/x.overlay.jpg") is not None
    assert "FAIL" in sightline("inspect", "bad", "--references", str(good)).stdout


def test_images_for_review_show_where_they_come_closest(sightline: CommandLine, gears: Gears) -> None:
    folder = gears("parts [left]", 1)
    result = sightline("inspect", str(folder), "--out", "out", "--json")
    (found,) = json.loads(result.stdout)
    assert (found["verdict"], len(found["defects"]) > 0) == ("REVIEW", True)
    mask, view = (cv2.imread(found[name], cv2.IMREAD_UNCHANGED) for name in ("mask", "mask_view"))
    assert mask is not None
    assert view is not None
    assert mask.max() == len(found["defects"])
    assert np.array_equal(view, np.where(mask > 0, 255, 0))
    overlay = cv2.imread(found["overlay"])
    assert overlay is not None
    assert overlay.shape[1] > 1.6 * overlay.shape[0], "the heat map stands beside the image"


def test_an_unreadable_image_is_an_error_and_its_neighbour_is_inspected(
    sightline: CommandLine, gears: Gears
) -> None:
    folder = gears("good", 2)
    (folder / "000.jpg").write_bytes(b"\xff\xd8\xff garbage")
    result = sightline("inspect", str(folder), "--json", code=1)
    assert [one["verdict"] for one in json.loads(result.stdout)] == ["ERROR", "REVIEW"]
    assert "1 image could not be inspected" in result.stderr


def test_check_without_anything_installed_but_the_agent(sightline: CommandLine) -> None:
    changes = ("ollama.enabled=false", "broker.url=embedded://127.0.0.1:0", "metrics.port=0")
    quiet = [argument for change in changes for argument in ("--set", change)]
    findings = {one["part"]: one for one in json.loads(sightline("check", "--json", *quiet).stdout)}
    assert " ".join(findings) == "config broker secrets database media metrics ollama processor models"
    assert findings["database"]["state"] == "warning"
    assert not Path("var").exists(), "check creates nothing"
    sightline("db", "upgrade")
    assert "schema up to date" in sightline("check", *quiet).stdout


@pytest.mark.slow
def test_check_names_everything_that_fails(sightline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "media").write_text("a file")
    result = sightline(
        "check", "--json", "--set", "broker.url=mqtt://127.0.0.1:9", "--set", "media.path=media",
        "--set", "ollama.url=http://127.0.0.1:9", code=1,
    )  # fmt: skip
    states = {one["part"]: one["state"] for one in json.loads(result.stdout)}
    assert (states["broker"], states["media"], states["ollama"]) == ("failed", "failed", "warning")


def test_check_stops_at_a_configuration_that_cannot_be_read(sightline: CommandLine) -> None:
    (finding,) = json.loads(sightline("check", "--json", "--config", "gone.yaml", code=1).stdout)
    assert finding["part"] == "config"
    assert "gone.yaml" in finding["detail"]


def test_references_that_are_left_out_are_named_wherever_they_are_given(
    sightline: CommandLine, gears: Callable[[str, int], Path]
) -> None:
    good = gears("good", 9)
    (good / "again.jpg").write_bytes((good / "000.jpg").read_bytes())
    looked = sightline("inspect", str(good / "001.jpg"), "--references", str(good), "--json")
    enrolled = sightline("enroll", "--sku", "gear", "--references", str(good))
    for output in (looked.stderr, enrolled.stderr):
        assert "shows the same as" in " ".join(output.split())
    json.loads(looked.stdout)
