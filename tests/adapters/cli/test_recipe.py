"""``sightline recipe`` and ``sightline feedback`` on a real history."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.cli.demo.plan import encode_jpeg
from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Inspection, RecipeStamp
from agent.domain.prompts import PromptSource
from agent.domain.recipe import MODEL_CHANGED
from agent.domain.verdict import Verdict
from agent.ports import Entry, OnboardingState
from storage import Database, SqlHistory, SqlOnboardingClaims, SqlRecipeBook
from tests.adapters.cli.conftest import CommandLine, gear

Gears = Callable[[str, int], Path]
DATABASE = "sqlite:///var/history.db"


@pytest.fixture
def enrolled(sightline: CommandLine, gears: Gears) -> CommandLine:
    """A product with ten references and a threshold."""
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 10)), "--name", "gear")
    return sightline


def answer(command: CommandLine, *arguments: str) -> Any:
    return json.loads(command(*arguments, "--json").stdout)


def edit(path: Path, was: str, now: str) -> None:
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, now, 1))


@pytest.mark.slow
def test_a_recipe_is_edited_and_comes_back_as_a_new_version(enrolled: CommandLine) -> None:
    file = Path("gear.yaml")
    assert "without images" in enrolled("recipe", "export", "GR-1", "--out", str(file)).stdout
    assert enrolled("recipe", "export", "GR-1").stdout == file.read_text()
    edit(file, "noun: gear", "noun: cog wheel")
    edit(file, "    - a cropped photo of a gear\n", "    - a photo of a cog wheel\n")
    result = enrolled("recipe", "import", str(file), "--json")
    found = json.loads(result.stdout)
    assert (found["version"], found["new"], found["active"], found["calibrated"]) == (2, True, True, False)
    assert "REVIEW until the recipe is calibrated again" in found["remarks"][0]

    shown = answer(enrolled, "recipe", "show", "GR-1")
    assert (shown["noun"], shown["prompt_source"], shown["origin"]) == ("cog wheel", "manual", "import")
    assert (shown["version"], shown["parent"], shown["active"], shown["shots"]) == (2, 1, True, 10)
    assert shown["prompts"]["provenance"] == {"edited_from": "template"}
    assert answer(enrolled, "recipe", "show", "GR-1", "--version", "1")["threshold"] > 0
    again = enrolled("recipe", "import", str(file))
    assert "nothing is new in the file; version 2, active" in again.stdout, "a file twice is one version"


def test_what_scores_do_not_depend_on_keeps_the_threshold(enrolled: CommandLine) -> None:
    file = Path("gear.yaml")
    enrolled("recipe", "export", "GR-1", "--out", str(file))
    edit(file, "severity: ''", "severity: minor")
    found = answer(enrolled, "recipe", "import", str(file), "--no-activate")
    assert (found["version"], found["active"], found["calibrated"], found["remarks"]) == (2, False, True, [])
    assert "scratch (minor)" in enrolled("recipe", "show", "GR-1", "--version", "2").stdout

    lines = answer(enrolled, "recipe", "list")
    assert [(one["version"], one["active"], one["origin"], one["parent"]) for one in lines] == [
        (1, True, lines[0]["origin"], None),
        (2, False, "import", 1),
    ]
    assert enrolled("recipe", "list").stdout.count("GR-1") == 2
    assert answer(enrolled, "recipe", "list", "other") == []


def test_activating_goes_back_and_leaves_an_event(enrolled: CommandLine) -> None:
    enrolled("recipe", "export", "GR-1", "--out", "a.yaml")
    edit(Path("a.yaml"), "severity: ''", "severity: minor")
    enrolled("recipe", "import", "a.yaml")
    assert "version 1 is active, before it 2" in enrolled("recipe", "activate", "GR-1", "1").stdout
    assert answer(enrolled, "recipe", "activate", "GR-1", "2") == {"sku": "GR-1", "version": 2, "before": 1}
    assert "no recipe version 9" in enrolled("recipe", "activate", "GR-1", "9", code=1).stderr
    with Database(DATABASE) as database, database.read() as connection:
        rows = connection.exec_driver_sql("SELECT message FROM event WHERE kind = 'recipe-activated'").all()
    assert [row[0] for row in rows] == [
        "version 1 of 'GR-1' is active, before it 2",
        "version 2 of 'GR-1' is active, before it 1",
    ]


@pytest.mark.parametrize("form", ["zip", "yaml"])
def test_a_recipe_moves_to_another_factory_with_its_images(enrolled: CommandLine, form: str) -> None:
    file = f"gear.{form}"
    found = answer(enrolled, "recipe", "export", "GR-1", "--out", file, "--with-references")
    assert found == {"sku": "GR-1", "version": 1, "file": file, "images": 10}
    if form == "yaml":
        assert len(list(Path("gear.references").glob("*.jpg"))) == 10
    before = answer(enrolled, "recipe", "show", "GR-1")
    shutil.rmtree("var")  # the other factory: another history, no media
    enrolled("db", "upgrade")
    moved = answer(enrolled, "recipe", "import", file)
    assert (moved["version"], moved["calibrated"], moved["remarks"]) == (1, True, [])
    after = answer(enrolled, "recipe", "show", "GR-1")
    for key in ("references", "prompts", "threshold", "calibration", "noun", "method"):
        assert after[key] == before[key]
    assert (after["parent"], after["origin"]) == (None, "import")
    enrolled("recipe", "export", "GR-1", "--out", "again.zip")
    assert len(zipfile.ZipFile("again.zip").namelist()) == 11


def test_images_that_did_not_travel_are_named(enrolled: CommandLine) -> None:
    enrolled("recipe", "export", "GR-1", "--out", "gear.yaml")
    shutil.rmtree("var")
    enrolled("db", "upgrade")
    result = enrolled("recipe", "import", "gear.yaml", code=1)
    assert "10 references are missing: '000.jpg', '001.jpg'" in result.stderr
    assert "and 5 more" in result.stderr
    assert answer(enrolled, "recipe", "list") == []


def test_a_person_adds_an_image_by_its_name_and_a_swapped_one_is_refused(enrolled: CommandLine) -> None:
    enrolled("recipe", "export", "GR-1", "--out", "gear.yaml")
    folder = Path("gear.references")
    folder.mkdir()
    (folder / "new.jpg").write_bytes(encode_jpeg(gear(77)))
    edit(Path("gear.yaml"), "references:\n", "references:\n  - name: new.jpg\n")
    found = answer(enrolled, "recipe", "import", "gear.yaml")
    assert "the references changed" in found["remarks"][0]
    assert answer(enrolled, "recipe", "show", "GR-1")["references"][0] == "new.jpg"

    edit(Path("gear.yaml"), "  - name: new.jpg\n", f"  - name: new.jpg\n    sha256: {'ab' * 32}\n")
    assert "sha256 differs" in enrolled("recipe", "import", "gear.yaml", code=1).stderr
    (folder / "new.jpg").write_bytes(b"\xff\xd8\xff no image")
    edit(Path("gear.yaml"), f"    sha256: {'ab' * 32}\n", "")
    assert "'new.jpg' cannot be read" in enrolled("recipe", "import", "gear.yaml", code=1).stderr


def test_a_recipe_for_another_product(enrolled: CommandLine) -> None:
    enrolled("recipe", "export", "GR-1", "--out", "gear.yaml")
    found = answer(enrolled, "recipe", "import", "gear.yaml", "--sku", "GR-2")
    assert (found["sku"], found["version"], found["new"]) == ("GR-2", 1, True)
    assert answer(enrolled, "recipe", "show", "GR-2")["parent"] is None


@pytest.mark.slow
def test_files_that_are_not_recipes(enrolled: CommandLine) -> None:
    enrolled("recipe", "export", "GR-1", "--out", "gear.yaml")
    edit(Path("gear.yaml"), "noun: gear", "nuon: gear")
    assert (
        "nuon is not a known key; did you mean noun?"
        in enrolled("recipe", "import", "gear.yaml", code=1).stderr
    )
    edit(Path("gear.yaml"), "nuon: gear", "noun: gear")
    edit(Path("gear.yaml"), "method: sightline", "method: sightlnie")
    assert "no method 'sightlnie'" in enrolled("recipe", "import", "gear.yaml", code=1).stderr
    edit(Path("gear.yaml"), "method: sightlnie", "method: sightline")
    edit(Path("gear.yaml"), "parameters: {}", "parameters: {siez: 1}")
    assert "no parameter 'siez'" in enrolled("recipe", "import", "gear.yaml", code=1).stderr
    Path("a.zip").write_bytes(b"PK no archive")
    for name, sentence in (("a.zip", "a.zip cannot be read"), ("gone.yaml", "No such file")):
        assert sentence in enrolled("recipe", "import", name, code=1).stderr
    with zipfile.ZipFile("b.zip", "w") as archive:
        archive.writestr("other.txt", "x")
    assert "holds no recipe.yaml" in enrolled("recipe", "import", "b.zip", code=1).stderr
    assert (
        "name a file with --out" in enrolled("recipe", "export", "GR-1", "--with-references", code=1).stderr
    )
    assert yaml.safe_load(enrolled("recipe", "export", "GR-1").stdout)["sku"] == "GR-1"


# ------------------------------------------------------------------------------------------ feedback


@pytest.fixture
def inspected(enrolled: CommandLine) -> CommandLine:
    """Forty frames recorded under version 1: scores 0.01 to 0.4, the threshold moved to 0.2."""
    with Database(DATABASE) as database:
        book, now = SqlRecipeBook(database), datetime.now(UTC)
        history = SqlHistory(database, agent_id="cell-7", agent_version="1")
        recipe = book.get("GR-1", 1)
        assert recipe is not None
        assert recipe.id is not None
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE calibration SET threshold = 0.2, review_below = 0.2")
        stamp = RecipeStamp(recipe.id, 1, recipe.method, "template", recipe.shots)
        history.record(
            [
                Entry(
                    Inspection(
                        f"i-{n}",
                        FrameIdentity(Camera("factory", "main", "cam"), f"f-{n}", "GR-1"),
                        "GR-1",
                        Verdict.FAIL if n > 20 else Verdict.PASS,
                        "scored",
                        now + timedelta(seconds=n),
                        now + timedelta(seconds=n),
                        score=n / 100,
                        threshold=0.2,
                        recipe=stamp,
                        model_digest="m",
                    )
                )
                for n in range(1, 41)
            ]
        )
    return enrolled


def test_feedback_stands_beside_the_verdict(inspected: CommandLine) -> None:
    inspected("feedback", "i-25", "defective", "--by", "Ada")
    inspected("feedback", "--frame-id", "f-25", "good", "--by", "Bob", "--note", "a shadow")
    found = answer(inspected, "feedback", "--frame-id", "f-3", "--camera", "factory/main/cam", "defective")
    assert found == {"inspection_id": None, "frame_id": "f-3", "truth": "defective"}
    with Database(DATABASE) as database, database.read() as connection:
        query = "SELECT frame_id, truth, truth_by, truth_note FROM inspection_history WHERE truth IS NOT NULL"
        rows = [tuple(row) for row in connection.exec_driver_sql(query + " ORDER BY frame_id").all()]
        quality = connection.exec_driver_sql(
            "SELECT inspections, feedback, false_alarms, escapes FROM sku_quality WHERE recipe_version = 1"
        ).one()
    assert rows == [("f-25", "good", "Bob", "a shadow"), ("f-3", "defective", None, None)]
    assert tuple(quality) == (40, 2, 1, 1), "the latest word counts"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["i-999", "good"], "no inspection matches"),
        (["i-1", "fine"], "good or defective, not 'fine'"),
        (["good"], "name one inspection"),
        (["i-1", "--frame-id", "f-1", "good"], "name one inspection"),
        (["i-1", "good", "--camera", "a/b/c"], "goes with --frame-id"),
        (["--frame-id", "f-1", "--camera", "cam", "good"], "SITE/LINE/CAMERA"),
    ],
)
def test_feedback_that_fits_nothing(inspected: CommandLine, arguments: list[str], sentence: str) -> None:
    assert sentence in inspected("feedback", *arguments, code=1).stderr


def test_feedback_that_fits_several_inspections_says_so(inspected: CommandLine) -> None:
    with Database(DATABASE) as database, database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE inspection SET frame_id = 'f-1', camera = frame_id "
            "WHERE frame_id IN ('f-1', 'f-2', 'f-3')"
        )
    several = inspected("feedback", "--frame-id", "f-1", "good", code=1).stderr
    assert "3 inspections match frame 'f-1'; name its camera too (SITE/LINE/CAMERA)" in several
    inspected("feedback", "--frame-id", "f-1", "--camera", "factory/main/f-2", "good")
    none = inspected("feedback", "--frame-id", "f-1", "--camera", "factory/main/cam 9", "good", code=1).stderr
    assert "no inspection matches frame 'f-1' of camera factory/main/cam 9" in none


@pytest.mark.slow
def test_a_proposal_shows_its_effect_and_writes_only_when_asked(inspected: CommandLine) -> None:
    for number in (5, 10, 22, 25, 28):
        inspected("feedback", f"i-{number}", "good")
    for number in (35, 38):
        inspected("feedback", f"i-{number}", "defective")
    found = answer(inspected, "recipe", "propose", "GR-1")
    assert (found["good"], found["defective"], found["recorded"], found["auroc"]) == (5, 2, 40, 1.0)
    assert found["before"] == {"false_alarms": 3, "escapes": 0, "reviews": 0}
    assert found["after"] == {"false_alarms": 0, "escapes": 0, "reviews": 0}
    threshold = found["calibration"]["threshold"]
    assert 0.28 <= threshold < 0.35
    assert found["changed_share"] == pytest.approx(sum(0.2 < n / 100 <= threshold for n in range(41)) / 40)
    assert found["applied"] is None
    shown = inspected("recipe", "propose", "GR-1").stdout
    assert "nothing was written" in shown
    assert "20.0% of all recorded frames" in shown
    assert len(answer(inspected, "recipe", "list")) == 1

    assert "written as version 2, active" in inspected("recipe", "propose", "GR-1", "--apply").stdout
    recipe = answer(inspected, "recipe", "show", "GR-1")
    assert (recipe["origin"], recipe["parent"], recipe["threshold"]) == ("person", 1, threshold)
    assert recipe["note"].startswith("threshold 0.2 moved to 0.28")
    assert "moved by feedback on 7 frames" in recipe["calibration"]["source"]
    after = answer(inspected, "recipe", "propose", "GR-1")
    assert after["calibration"] is None, "scores of version 1 can be compared with those of version 2"
    assert after["recorded"] == 40
    assert "no reason to move" in inspected("recipe", "propose", "GR-1", "--apply").stdout
    assert len(answer(inspected, "recipe", "list")) == 2


def test_nothing_to_propose(sightline: CommandLine, gears: Gears) -> None:
    sightline("db", "upgrade")
    assert "no active recipe" in sightline("recipe", "propose", "X", code=1).stderr
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 2)))
    assert "no threshold that feedback could move" in sightline("recipe", "propose", "GR-1", code=1).stderr


@pytest.mark.slow
def test_a_list_says_what_holds_now_of_the_language_model(enrolled: CommandLine) -> None:
    database = Database(DATABASE)
    book, claims = SqlRecipeBook(database), SqlOnboardingClaims(database)
    now = datetime.now(UTC)
    active = book.active("GR-1")
    assert active is not None
    assert answer(enrolled, "recipe", "list")[0]["waiting"] is None
    assert claims.claim("GR-1", "cell-7", 900.0, now)
    claims.finish("GR-1", "cell-7", OnboardingState.WAITING, now, reason="nobody answers at http://x")
    (first,) = answer(enrolled, "recipe", "list")
    assert first["waiting"] == "nobody answers at http://x"
    provenance = {"model": "qwen2.5:7b-instruct", "digest": "a" * 64}
    words = replace(active.prompts, source=PromptSource.OLLAMA, provenance=provenance)
    book.add(replace(active, prompts=words, origin="ollama", parent=1))
    claims.request("GR-1", now)
    assert claims.claim("GR-1", "cell-7", 900.0, now)
    claims.finish("GR-1", "cell-7", OnboardingState.DONE, now, reason="they won")
    first, second = answer(enrolled, "recipe", "list")
    assert (first["waiting"], second["waiting"], second["model_changed"]) == (None, None, False)
    details = {"model": "qwen2.5:7b-instruct", "digest": "b" * 64}
    SqlHistory(database, agent_id="cell-7", agent_version="1").record_event(
        Event(MODEL_CHANGED, "another model", now, details=details)
    )
    first, second = answer(enrolled, "recipe", "list")
    assert (first["model_changed"], second["model_changed"]) == (False, True)
    assert (second["model"], second["model_digest"]) == ("qwen2.5:7b-instruct", "a" * 64)
    assert answer(enrolled, "recipe", "show", "GR-1")["model_changed"] is True
    assert "model_changed: true" in enrolled("recipe", "show", "GR-1").stdout
    assert answer(enrolled, "recipe", "show", "GR-1", "--version", "1")["model_changed"] is False
    database.close()


def test_the_note_that_earlier_agents_stored_for_ever_is_not_shown(enrolled: CommandLine) -> None:
    database = Database(DATABASE)
    book = SqlRecipeBook(database)
    active = book.active("GR-1")
    assert active is not None
    book.add(replace(active, note="the template, until the language model has answered"))
    database.close()
    assert [line["note"] for line in answer(enrolled, "recipe", "list")] == [None, None]
