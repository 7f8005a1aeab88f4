"""Files that nobody names and rows whose files are gone are found, and set right without losing a row."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.domain.errors import StorageError
from agent.domain.inspection import MediaPaths
from agent.domain.recipe import Reference
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, MediaCheck, MediaFolder, SqlHistory, SqlRecipeBook, schema
from storage.media_audit import report as media_report
from storage.media_audit.report import FEW
from tests.storage.examples import bolt_recipe, inspected

NOBODY = MediaPaths()


class Shop:
    """A history and its media folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.media = MediaFolder(folder)
        self.history = SqlHistory(database, agent_id="cell-7", agent_version="1.2.3")
        self.check = MediaCheck(database, folder)

    def store(self, content: bytes, *, age: timedelta = timedelta(hours=2)) -> str:
        path = self.media.put(content, "jpg")
        at = time.time() - age.total_seconds()
        os.utime(self.folder / path, (at, at))
        return path

    def record(self, frame: str, media: MediaPaths) -> None:
        self.history.record([Entry(inspected(frame, Verdict.PASS, media=media))])

    def frame(self, frame: str) -> str:
        path = self.store(frame.encode())
        self.record(frame, MediaPaths(image=path))
        return path

    def images(self) -> dict[str, str | None]:
        with self.database.read() as connection:
            columns = schema.inspection.c
            return {
                row[0]: row[1] for row in connection.execute(select(columns.frame_id, columns.image_path))
            }

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path / "media")


def test_a_shop_in_order_has_nothing_to_repair(shop: Shop, book: SqlRecipeBook) -> None:
    paths = {shop.frame(f"f-{number}") for number in range(30)}
    for held in (True, False):
        path = shop.store(b"held" if held else b"used")
        reference = Reference(Path(path).stem, path, "good-1")
        book.hold_reference("nut", reference) if held else book.add(bolt_recipe(references=(reference,)))
        paths.add(path)
    roles = [shop.store(role) for role in (b"i", b"m", b"o")]
    shop.record("all", MediaPaths(*roles))
    report = shop.check.look(deep=True)
    assert (report.files, report.young) == (35, 0)
    kinds = (report.orphans, report.missing, report.references, report.changed, report.strange)
    assert [kind.count for kind in kinds] == [0] * 5
    shop.check.repair()
    assert shop.files() == paths | set(roles)


def test_files_that_nobody_names_are_found_and_deleted(shop: Shop) -> None:
    kept = shop.frame("kept")
    orphans = sorted(shop.store(b"orphan %d" % number) for number in range(8))
    report = shop.check.look()
    assert (report.orphans.count, report.orphans.bytes) == (8, 64)
    assert report.orphans.first == orphans[:5]
    assert str(report.orphans) == f"{', '.join(orphans[:5])} and 3 more"
    assert shop.files() == {kept, *orphans}, "looking changes nothing"
    done = shop.check.repair()
    assert (done.orphans.count, done.orphans.bytes, done.rows) == (8, 64, 0)
    assert shop.files() == {kept}
    assert shop.check.look().orphans.count == 0


def test_a_young_file_may_be_of_a_frame_about_to_be_recorded(shop: Shop) -> None:
    path = shop.store(b"young", age=timedelta(minutes=50))
    report = shop.check.look()
    assert (report.orphans.count, report.young) == (0, 1)
    shop.check.repair()
    assert shop.files() == {path}


@pytest.mark.parametrize("role", ["image", "mask", "overlay"])
def test_rows_let_go_of_files_that_are_gone_and_stay(shop: Shop, role: str) -> None:
    gone, kept = shop.store(b"gone"), shop.store(b"kept")
    roles = {"image": kept, "mask": kept, "overlay": kept, role: gone}
    shop.record("f-1", MediaPaths(**roles))
    shop.record("f-2", MediaPaths(image=gone))
    (shop.folder / gone).unlink()
    report = shop.check.look()
    assert (report.missing.first, report.rows) == ([gone], 2)
    done = shop.check.repair()
    assert done.rows == 2
    with shop.database.read() as connection:
        columns = [schema.inspection.c[f"{one}_path"] for one in roles]
        rows = connection.execute(select(*columns).order_by(schema.inspection.c.frame_id)).all()
    assert [tuple(row) for row in rows] == [
        tuple(None if one == role else kept for one in roles),
        (None, None, None),
    ]
    assert shop.check.look().missing.count == 0
    assert shop.files() == {kept}


@pytest.mark.parametrize("path", ["../precious.jpg", "/etc/passwd", "AB/cd/x.jpg", "zz", "\U0001f600"])
def test_paths_from_elsewhere_are_missing_and_never_looked_at(shop: Shop, tmp_path: Path, path: str) -> None:
    (tmp_path / "precious.jpg").write_bytes(b"precious")
    shop.record("f", MediaPaths(image=path))
    assert shop.check.look().missing.first == [path]
    assert shop.check.repair().rows == 1
    assert shop.images() == {"f": None}
    assert (tmp_path / "precious.jpg").exists()


def test_a_reference_whose_image_is_gone_is_reported_and_never_dropped(
    shop: Shop, book: SqlRecipeBook
) -> None:
    path = shop.store(b"reference")
    reference = Reference(Path(path).stem, path, "good-1")
    book.add(bolt_recipe(references=(reference,)))
    book.add(bolt_recipe(references=(reference,)))
    book.hold_reference("nut", reference)
    (shop.folder / path).unlink()
    for report in (shop.check.look(), shop.check.repair(), shop.check.look()):
        assert report.references.first == [
            "good-1 of bolt, recipe 1",
            "good-1 of bolt, recipe 2",
            "good-1 of nut, held for the next recipe",
        ]
        assert report.missing.count == 0
    active = book.active("bolt")
    assert active is not None
    assert active.references == (reference,)


@pytest.mark.slow
def test_a_file_that_was_changed_is_found_where_every_file_is_read(shop: Shop) -> None:
    path = shop.frame("content")
    (shop.folder / path).write_bytes(b"CONTENT")
    shop.frame("whole")
    assert shop.check.look().changed.count == 0
    assert shop.check.look(deep=True).changed.first == [path]
    assert shop.check.repair().changed.count == 0
    assert shop.images()["content"] == path, "what is left of it stays"


def test_what_a_killed_agent_left_half_written_goes(shop: Shop) -> None:
    for name, at in (("old", 1.0), ("fresh", time.time())):
        file = shop.folder / ".incoming" / name
        file.write_bytes(b"half")
        os.utime(file, (at, at))
    assert shop.check.look().leftovers.first == ["old"]
    shop.check.repair()
    assert shop.files() == {".incoming/fresh"}


def test_what_others_put_there_is_reported_and_left(shop: Shop) -> None:
    sha256 = "ab" * 32
    strange = {"notes.txt", "ab/list.csv", "ab/cd/thumbs.db", f"cd/ab/{sha256}.jpg", f"ab/ab/{sha256}.jpg/x"}
    for name in strange:
        (shop.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shop.folder / name).write_bytes(b"")
        os.utime(shop.folder / name, (1, 1))
    (shop.folder / ".ballast").write_bytes(b"")
    assert shop.check.look().strange.count == 5
    assert shop.check.repair().orphans.count == 0
    assert shop.files() == {*strange, ".ballast"}


def test_without_a_folder_everything_is_missing_and_nothing_is_repaired(shop: Shop, tmp_path: Path) -> None:
    path = shop.frame("f")
    elsewhere = MediaCheck(shop.database, tmp_path / "nowhere")
    assert elsewhere.look().missing.count == 1
    with pytest.raises(StorageError, match=r"media\.path"):
        elsewhere.repair()
    assert shop.images() == {"f": path}
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow
def test_a_disk_that_is_not_mounted_does_not_cost_the_rows_their_images(shop: Shop, tmp_path: Path) -> None:
    """The folder is there, it is only empty, but for what came since."""
    for number in range(FEW + 1):
        shop.frame(f"f-{number}")
    shop.folder.rename(tmp_path / "the disk")
    MediaFolder(shop.folder)
    with pytest.raises(StorageError, match=r"21 of 21 files that rows name are gone.*mounted.*--force"):
        media_report.must_belong_together(shop.check.look())
    for number in range(3):
        shop.media.put(b"young %d" % number, "jpg")
    for number in range(3):
        shop.frame(f"new-{number}")
    with pytest.raises(StorageError, match=r"21 of 24 files that rows name are gone"):
        media_report.must_belong_together(shop.check.look())


def test_some_files_that_are_gone_do_not_cast_doubt_on_the_folder(shop: Shop) -> None:
    paths = [shop.frame(f"f-{number}") for number in range(2 * FEW + 4)]
    for path in paths[: FEW + 1]:
        (shop.folder / path).unlink()
    media_report.must_belong_together(shop.check.look())


def test_beside_an_agent_that_records_nothing_of_its_own_is_touched(shop: Shop) -> None:
    """Old bytes come again, new ones come, and both keep file and row whatever the repair does meanwhile."""
    old = [shop.store(b"orphan %d" % number) for number in range(20)]

    def write() -> None:
        for number in range(40):
            content = b"orphan %d" % number
            shop.record(f"f-{number}", MediaPaths(image=shop.media.put(content, "jpg")))

    with ThreadPoolExecutor(2) as pool:
        repair, writer = pool.submit(shop.check.repair), pool.submit(write)
        repair.result()
        writer.result()
    images = shop.images()
    assert len(images) == 40
    assert None not in images.values()
    for path in images.values():
        shop.media.get(str(path))
    assert set(old) <= set(images.values())
