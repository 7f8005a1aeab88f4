"""``sightline recipe threshold | add-reference`` and ``feedback --part-id`` on a real history."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adapters.cli.demo.plan import encode_jpeg
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Inspection, MediaPaths
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, MediaFolder, SqlHistory
from tests.adapters.cli.conftest import CommandLine, gear

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TOP, SIDE = Camera("factory", "line-1", "top"), Camera("factory", "line-1", "side")


@pytest.fixture
def enrolled(sightline: CommandLine, gears: Callable[[str, int], Path]) -> CommandLine:
    """A product with ten references and a threshold."""
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 10)), "--name", "gear")
    return sightline


def answer(command: CommandLine, *arguments: str) -> Any:
    return json.loads(command(*arguments, "--json").stdout)


def refused(command: CommandLine, *arguments: str) -> str:
    return " ".join(command(*arguments, code=1).stderr.split())


def rows(command: CommandLine, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(command.folder / "var/history.db") as connection:
        return connection.execute(query).fetchall()


def variant(seed: int) -> np.ndarray:
    """A good gear with a printed mark that the references do not have."""
    image = gear(seed)
    cv2.circle(image, (64, 100), 9, (30, 60, 220), -1)
    return image


def record(command: CommandLine, *frames: tuple[Camera, str, np.ndarray | None], **more: Any) -> None:
    """A history of frames by camera, id and image, a second apart."""
    media = MediaFolder(command.folder / "var/media")
    with Database(f"sqlite:///{command.folder / 'var/history.db'}") as database:
        history = SqlHistory(database, agent_id="cell-7", agent_version="1")
        for number, (camera, frame_id, image) in enumerate(frames):
            at = NOW + timedelta(seconds=number)
            path = None if image is None else media.put(encode_jpeg(image), "jpg")
            given = {"sku": "GR-1", "part_id": None, "at": at, **more}
            history.record([Entry(Inspection(
                inspection_id=f"i-{camera.camera}-{frame_id}",
                identity=FrameIdentity(camera, frame_id, part_id=given["part_id"]),
                sku=given["sku"], verdict=Verdict.FAIL, reason="above", score=0.5,
                received_at=given["at"], inspected_at=given["at"], media=MediaPaths(image=path),
            ))])  # fmt: skip


# ----------------------------------------------------------------------------------------- threshold


def test_a_person_chooses_a_threshold(enrolled: CommandLine) -> None:
    before = answer(enrolled, "recipe", "show", "GR-1")
    found = answer(enrolled, "recipe", "threshold", "GR-1", "0.30", "--review", "0.25", "--by", "Ada")
    assert (found["version"], found["new"], found["threshold"], found["review_below"]) == (2, True, 0.3, 0.25)
    was = before["calibration"]
    assert found["note"] == (
        f"threshold set by Ada from {before['threshold']:.4g} (REVIEW from {was['review_below']:.4g}) to 0.3 "
        "(REVIEW from 0.25)"
    )
    after = answer(enrolled, "recipe", "show", "GR-1")
    assert (after["active"], after["origin"], after["parent"]) == (True, "person", 1)
    assert after["references"] == before["references"]
    assert after["calibration"]["map_threshold"] == was["map_threshold"]
    again = answer(enrolled, "recipe", "threshold", "GR-1", "0.30", "--review", "0.25")
    assert (again["version"], again["new"]) == (2, False)
    message = rows(enrolled, "SELECT message FROM event WHERE kind = 'recipe'")[-1][0]
    assert message.startswith("version 2 of 'GR-1': threshold set by Ada")


def test_without_review_the_margin_stays_as_wide_in_proportion(enrolled: CommandLine) -> None:
    before = answer(enrolled, "recipe", "show", "GR-1")
    share = before["calibration"]["review_below"] / before["threshold"]
    assert "version 2, active; threshold set by a person" in enrolled(
        "recipe", "threshold", "GR-1", "0.3"
    ).stdout.replace("\n", " ")
    now = answer(enrolled, "recipe", "show", "GR-1")["calibration"]["review_below"]
    assert now == pytest.approx(0.3 * share)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["0.2", "--review", "0.3"], "REVIEW from 0.3 on is above the threshold 0.2"),
        (["30"], "the threshold is 30, and no score of this product comes near that"),
        (["0"], "the threshold is a score above 0, not 0"),
        (["nan"], "the threshold is a score above 0, not nan"),
        (["inf"], "the threshold is a score above 0, not inf"),
        (["0.3", "--review", "0"], "is a score above 0, not 0"),
        (["0.3", "--review", "nan"], "is a score above 0, not nan"),
    ],
)
def test_values_that_cannot_be_thresholds(enrolled: CommandLine, values: list[str], sentence: str) -> None:
    assert sentence in refused(enrolled, "recipe", "threshold", "GR-1", *values)
    assert answer(enrolled, "recipe", "show", "GR-1")["version"] == 1


def test_a_product_without_a_threshold(enrolled: CommandLine, gears: Callable[[str, int], Path]) -> None:
    enrolled("enroll", "--sku", "few", "--references", str(gears("few", 3)))
    assert "version 1 of 'few' has no threshold" in refused(enrolled, "recipe", "threshold", "few", "0.3")
    assert "no active recipe of 'none'" in refused(enrolled, "recipe", "threshold", "none", "0.3")


def test_a_file_with_both_values_in_the_wrong_order_names_both(enrolled: CommandLine) -> None:
    enrolled("recipe", "export", "GR-1", "--out", "a.yaml")
    lines = Path("a.yaml").read_text().splitlines()
    changed = ["  review_below: 0.75" if line.startswith("  review_below:") else line for line in lines]
    changed = ["  threshold: 0.5" if line.startswith("  threshold:") else line for line in changed]
    Path("a.yaml").write_text("\n".join(changed))
    sentence = refused(enrolled, "recipe", "import", "a.yaml")
    assert "review_below is 0.75 and threshold 0.5" in sentence


# ------------------------------------------------------------------------------------- add-reference


def test_good_frames_become_references(enrolled: CommandLine) -> None:
    record(enrolled, (TOP, "v-1", variant(50)), (TOP, "v-2", variant(51)), (SIDE, "v-2", variant(52)))
    Path("today").mkdir()
    Path("today/variant.jpg").write_bytes(encode_jpeg(variant(53)))
    before = answer(enrolled, "recipe", "show", "GR-1")
    found = answer(
        enrolled, "recipe", "add-reference", "GR-1", "--frame-id", "v-1", "--frame-id", "v-2",
        "--camera", str(TOP), "--by", "Ada",
    )  # fmt: skip
    assert (found["version"], found["shots"], found["frames"]) == (2, 12, ["v-1", "v-2"])
    assert found["note"].startswith("a person called good: v-1, v-2")
    after = answer(enrolled, "recipe", "show", "GR-1")
    assert (after["origin"], after["parent"], after["active"]) == ("enrollment", 1, True)
    assert after["references"] == [*before["references"], "v-1", "v-2"]
    assert 0 < after["threshold"] < 0.6, "the variant's own distance to the others does not set it"
    truths = rows(enrolled, "SELECT inspection_id, truth, given_by FROM feedback ORDER BY inspection_id")
    assert truths == [("i-top-v-1", "good", "Ada"), ("i-top-v-2", "good", "Ada")]
    assert rows(enrolled, "SELECT COUNT(*) FROM reference WHERE recipe_id IS NULL") == [(0,)]


def test_a_threshold_that_a_person_had_chosen_is_named_when_it_goes(enrolled: CommandLine) -> None:
    record(enrolled, (TOP, "v-1", variant(50)))
    enrolled("recipe", "threshold", "GR-1", "0.31")
    shown = enrolled("recipe", "add-reference", "GR-1", "--frame-id", "v-1").stdout
    assert "threshold 0.31, which a person had chosen, is replaced by" in " ".join(shown.split())
    assert "leave-one-out of 10 of 11 references" in " ".join(shown.split())
    assert answer(enrolled, "recipe", "show", "GR-1")["threshold"] < 0.6
    assert "recipe version 3 with 11 references" in shown


@pytest.mark.slow
def test_frames_that_cannot_become_references(enrolled: CommandLine) -> None:
    record(enrolled, (TOP, "v-1", variant(50)), (SIDE, "v-1", variant(51)), (TOP, "bad", variant(52)))
    record(enrolled, (TOP, "gone", None), (SIDE, "lost", variant(54)))
    record(enrolled, (TOP, "other", variant(55)), sku="GR-2")
    add = ("recipe", "add-reference", "GR-1", "--frame-id")
    enrolled("feedback", "i-top-bad", "defective")
    (path,) = rows(enrolled, "SELECT image_path FROM inspection WHERE frame_id = 'lost'")[0]
    (enrolled.folder / "var/media" / path).unlink()

    both = refused(enrolled, *add, "v-1")
    assert "came from several cameras; name one of them: factory/line-1/side, factory/line-1/top" in both
    assert "no frame 'v-9' was inspected" in refused(enrolled, *add, "v-9")
    assert "a person called frame 'bad' defective" in refused(enrolled, *add, "bad")
    for name in ("gone", "lost"):
        assert f"the image of frame '{name}' is not in the media folder" in refused(enrolled, *add, name)
    assert "shows 'GR-2', not 'GR-1'" in refused(enrolled, *add, "other")
    assert "--camera is SITE/LINE/CAMERA" in refused(enrolled, *add, "v-1", "--camera", "top")
    enrolled(*add, "v-1", "--camera", str(TOP))
    again = refused(enrolled, *add, "v-1", "--camera", str(TOP))
    assert "frame 'v-1' is a reference of 'GR-1' already (as 'v-1')" in again
    assert answer(enrolled, "recipe", "show", "GR-1")["version"] == 2


# -------------------------------------------------------------------------------------- feedback


def test_the_truth_of_a_part_holds_for_all_its_inspections(enrolled: CommandLine) -> None:
    record(enrolled, (TOP, "old", None), part_id="P-1", at=NOW - timedelta(days=3))
    record(enrolled, (TOP, "a", None), (SIDE, "b", None), part_id="P-1")
    record(enrolled, (TOP, "c", None), part_id="P-2")
    found = answer(enrolled, "feedback", "--part-id", "P-1", "defective", "--by", "Ada")
    assert (found["part_id"], found["inspections"], found["truth"]) == ("P-1", 2, "defective")
    told = rows(enrolled, "SELECT inspection_id, truth FROM feedback ORDER BY inspection_id")
    assert told == [("i-side-b", "defective"), ("i-top-a", "defective")], "not the part of days ago"
    only = answer(enrolled, "feedback", "--part-id", "P-1", "good", "--camera", str(SIDE))
    assert only["inspections"] == 1
    assert "no inspection of part 'P-9'" in refused(enrolled, "feedback", "--part-id", "P-9", "good")
    assert "name one inspection" in refused(enrolled, "feedback", "i-top-a", "--part-id", "P-1", "good")
