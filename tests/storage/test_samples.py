"""What the history holds of good parts, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.frame import FrameIdentity, Job
from agent.domain.inspection import Feedback, Inspection, MediaPaths, RecipeStamp
from agent.domain.verdict import Verdict
from agent.ports import Entry, RecordedFrame
from agent.ports.samples import JudgedScore
from storage import Database, MediaFolder, SqlHistory, SqlRecipeBook, SqlSamples
from tests.storage.examples import CAMERA, bolt_recipe

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def samples(database: Database, tmp_path: Path) -> SqlSamples:
    """Questions to a history whose first images are there; see :func:`path`."""
    for file_number in range(10):
        file = tmp_path / "media" / path(file_number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return SqlSamples(database, MediaFolder(tmp_path / "media"))


def path(file_number: int) -> str:
    return f"00/00/{file_number:064x}.jpg"


def frame(
    number: int,
    *,
    sku: str = "bolt",
    verdict: Verdict = Verdict.PASS,
    file_number: int | None = None,
    recipe: int | None = None,
    version: int = 1,
    threshold: float | None = None,
) -> Entry:
    at = NOW + timedelta(seconds=number)
    return Entry(
        Inspection(
            inspection_id=f"i-{number}",
            identity=FrameIdentity(CAMERA, f"f-{number}", sku=sku),
            sku=sku,
            verdict=verdict,
            reason="",
            received_at=at,
            inspected_at=at,
            score=number / 10.0 if verdict is not Verdict.ERROR else None,
            threshold=threshold,
            recipe=RecipeStamp(recipe, version, "fade", "template", 4) if recipe is not None else None,
            media=MediaPaths(image=path(number if file_number is None else file_number)),
        )
    )


def answered(history: SqlHistory, number: int, truth: str, after_s: float = 0.0) -> None:
    at = NOW + timedelta(hours=1, seconds=after_s)
    assert history.record_feedback(Feedback(truth, at, inspection_id=f"i-{number}"))


def test_first_frames_are_the_oldest_different_images(history: SqlHistory, samples: SqlSamples) -> None:
    history.record([frame(3), frame(1), frame(2, file_number=1), frame(4, verdict=Verdict.ERROR)])
    history.record([frame(5, sku="nut"), frame(6, verdict=Verdict.FAIL), frame(7, verdict=Verdict.REVIEW)])
    found = samples.first_frames("bolt", 3)
    assert [one.path for one in found] == [path(1), path(3), path(6)]
    assert found[0] == RecordedFrame("f-1", f"{1:064x}", path(1))
    assert len(samples.first_frames("bolt", 100)) == 4


def test_first_frames_are_there_and_the_retention_leaves_them(
    history: SqlHistory, samples: SqlSamples, tmp_path: Path
) -> None:
    """Between the question and the reference that is made of a frame its image must not go."""
    history.record([frame(number) for number in range(1, 7)])
    media, long_ago = MediaFolder(tmp_path / "media"), 1.0
    for number in (1, 4):
        (tmp_path / "media" / path(number)).unlink()
    for number in (2, 3, 5, 6):
        os.utime(tmp_path / "media" / path(number), (long_ago, long_ago))
    assert [one.frame_id for one in samples.first_frames("bolt", 3)] == ["f-2", "f-3", "f-5"]
    before = datetime.now(UTC).timestamp() - 3600
    assert [media.remove(path(number), before) for number in (2, 3, 5, 6)] == [None, None, None, 0]


def test_the_latest_word_decides_whether_a_frame_is_good(history: SqlHistory, samples: SqlSamples) -> None:
    history.record([frame(number) for number in range(1, 4)])
    answered(history, 1, "defective")
    answered(history, 2, "defective")
    answered(history, 2, "good", after_s=5.0)
    assert [one.frame_id for one in samples.first_frames("bolt", 9)] == ["f-2", "f-3"]


def test_judged_scores_are_those_of_the_versions_asked_for(
    history: SqlHistory, samples: SqlSamples, book: SqlRecipeBook
) -> None:
    first, second = book.add(bolt_recipe()), book.add(bolt_recipe())
    history.record(
        [frame(1, recipe=first.id), frame(2, verdict=Verdict.FAIL, recipe=first.id, threshold=0.15)]
    )
    history.record([frame(3, verdict=Verdict.REVIEW, recipe=first.id), frame(4, recipe=second.id, version=2)])
    history.record([frame(5, verdict=Verdict.ERROR, recipe=first.id), frame(6), frame(7, sku="nut")])
    for number, truth in ((2, "defective"), (4, "good")):
        answered(history, number, truth)
    old = [
        JudgedScore(0.1, True, None, 1, None),
        JudgedScore(0.2, False, False, 1, 0.15),
        JudgedScore(0.3, False, None, 1, None),
    ]
    assert samples.judged("bolt", [1], 9) == old
    assert samples.judged("bolt", [1, 2], 9) == [*old, JudgedScore(0.4, True, True, 2, None)]
    assert samples.judged("bolt", [], 9) == []
    assert samples.judged("washer", [1, 2], 9) == []


def test_the_newest_judged_scores_are_given_with_the_latest_word(
    history: SqlHistory, samples: SqlSamples, book: SqlRecipeBook
) -> None:
    recipe = book.add(bolt_recipe())
    history.record([frame(number, recipe=recipe.id) for number in (5, 3, 1, 2, 4)])
    answered(history, 4, "defective")
    answered(history, 4, "good", after_s=5.0)
    found = samples.judged("bolt", [1], 2)
    assert [(one.score, one.good) for one in found] == [(0.4, True), (0.5, None)]
    other = book.add(bolt_recipe())
    history.record([frame(number, recipe=other.id, version=2) for number in (6, 7)])
    assert [one.score for one in samples.judged("bolt", [1], 3)] == [0.5], "three were looked at"


def test_recent_products_are_those_of_the_last_shift_with_their_cameras(
    history: SqlHistory, samples: SqlSamples, book: SqlRecipeBook
) -> None:
    assert samples.recent_products(timedelta(hours=1), 10) == []
    for sku in ("bolt", "nut", "old", "never"):
        book.add(bolt_recipe(sku=sku))
    hour = 3600
    history.record([frame(0, sku="old"), frame(2 * hour, sku="bolt"), frame(2 * hour + 5, sku="nut")])
    elsewhere = frame(2 * hour + 6, sku="bolt")
    other = replace(CAMERA, camera="other")
    identity = replace(elsewhere.inspection.identity, camera=other)
    history.record([replace(elsewhere, inspection=replace(elsewhere.inspection, identity=identity))])
    history.record([frame(2 * hour + 7, sku="no recipe")])
    within = timedelta(hours=1)
    assert samples.recent_products(within, 10) == [("bolt", other), ("bolt", CAMERA), ("nut", CAMERA)]
    assert samples.recent_products(within, 1) == [("bolt", other)]
    assert ("old", CAMERA) in samples.recent_products(timedelta(hours=12), 10)


def test_products_that_have_a_recipe(history: SqlHistory, samples: SqlSamples, book: SqlRecipeBook) -> None:
    history.record([frame(1)])
    book.register(Job("nut"))
    assert samples.skus_with_recipe() == []
    book.add(bolt_recipe())
    book.add(bolt_recipe(sku="draft"), activate=False)
    assert samples.skus_with_recipe() == ["bolt"]


def test_products_whose_active_recipe_has_no_reference(samples: SqlSamples, book: SqlRecipeBook) -> None:
    book.add(bolt_recipe(sku="bare", references=()))
    book.add(bolt_recipe(sku="taught"))
    book.add(bolt_recipe(sku="went-back"))
    book.add(bolt_recipe(sku="went-back", references=()))
    assert samples.skus_without_references() == ["bare", "went-back"]
    book.activate("went-back", 1)
    assert samples.skus_without_references() == ["bare"]


def test_references_that_were_left_out_wait_no_longer(book: SqlRecipeBook) -> None:
    first, second = bolt_recipe().references[0], bolt_recipe().references[-1]
    book.hold_reference("bolt", first)
    book.hold_reference("nut", second)
    book.release_references("bolt", [first, second])
    assert book.held_references("bolt") == []
    assert book.held_references("nut") == [second]
