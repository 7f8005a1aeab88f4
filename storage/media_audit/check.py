"""``MediaCheck``: finds and repairs files that no row names, and rows whose files are gone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import func, select, update

from agent.domain.errors import StorageError
from storage import schema
from storage.database import Database
from storage.media import MediaFolder
from storage.media_audit.report import YOUNG_S, MediaReport
from storage.media_audit.walk import INCOMING, MEDIA_COLUMNS, PATH, Part, look_at, parts
from storage.retention import grouped

_CHUNK = 200
_BLOCK = 1 << 20


class MediaCheck:
    """Compares the media folder with the history, range by range, while agents go on working.

    A row is written after its file, and stops naming it before the file is deleted. So a file without a row
    counts only if it is older than :data:`YOUNG_S`, and a row whose file is missing is read again.

    Args:
        database: upgraded to the newest schema.
        root: the media folder; it need not exist.
    """

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    def look(self, *, deep: bool = False) -> MediaReport:
        """Compare, and change nothing. ``deep``: read every file too. Raises StorageError."""
        report = MediaReport()
        before = time.time() - YOUNG_S
        for part in parts(self._root, self._database):
            self._count(part, report)
            for path in _orphans(part):
                if part.files[path].modified < before:
                    report.orphans.add(path, part.files[path].size)
                else:
                    report.young += 1
            for path in self._missing(part):
                self._add_missing(path, report)
            if deep:
                self._read(part, report)
        for leftover in self._leftovers():
            report.leftovers.add(leftover.name)
        return report

    def repair(self) -> MediaReport:
        """Delete files that no row names, and clear the names of files that are gone. Returns what was done.

        Deletes no row; a reference keeps its path even without its image. Raises StorageError.
        """
        report = MediaReport()
        if not self._root.is_dir():
            raise StorageError(f"there is no media folder at {self._root}; is media.path right?")
        media = MediaFolder(self._root)
        before = time.time() - YOUNG_S
        for part in parts(self._root, self._database):
            self._count(part, report)
            old = (path for path in _orphans(part) if part.files[path].modified < before)
            for some in grouped(old, _CHUNK):
                named = self._named_again(some)
                for path in some:
                    size = None if path in named else media.remove(path, before)
                    if size is not None:
                        report.orphans.add(path, size)
            for some in grouped(self._missing(part), _CHUNK):
                self._let_go(some, report)
                for path in some:
                    self._add_references(path, report)
        for leftover in self._leftovers():
            leftover.unlink(missing_ok=True)
            report.leftovers.add(leftover.name)
        return report

    # ------------------------------------------------------------------------------------- looking

    def _count(self, part: Part, report: MediaReport) -> None:
        report.files += len(part.files)
        report.bytes += sum(seen.size for seen in part.files.values())
        for name in part.strange:
            report.strange.add(name)

    def _missing(self, part: Part) -> Iterator[str]:
        """Paths without a file, read again: file and row may have come after the folder was read."""
        for path in sorted(part.named - part.files.keys()):
            if look_at(self._root, path) is None:
                yield path

    def _add_missing(self, path: str, report: MediaReport) -> None:
        """Add a missing file, unless rows have stopped naming it meanwhile."""
        with self._database.read() as connection:
            rows = sum(
                connection.execute(
                    select(func.count()).select_from(schema.inspection).where(column == path)
                ).scalar_one()
                for column in MEDIA_COLUMNS
            )
        if rows:
            report.missing.add(path)
            report.rows += rows
        self._add_references(path, report)

    def _add_references(self, path: str, report: MediaReport) -> None:
        """Add the references with this path, by the names that people know."""
        reference, recipe = schema.reference.c, schema.recipe.c
        query = (
            select(reference.sku, reference.name, recipe.version)
            .select_from(schema.reference.outerjoin(schema.recipe, recipe.id == reference.recipe_id))
            .where(reference.path == path)
            .order_by(reference.sku, recipe.version)
        )
        with self._database.read() as connection:
            for sku, name, version in connection.execute(query):
                use = "held for the next recipe" if version is None else f"recipe {version}"
                report.references.add(f"{name} of {sku}, {use}")

    def _read(self, part: Part, report: MediaReport) -> None:
        for path in sorted(part.files):
            try:
                digest = _digest(self._root / path)
            except FileNotFoundError:
                continue  # it was deleted meanwhile
            except OSError as error:
                report.changed.add(f"{path} ({error.strerror})")
                continue
            match = PATH.fullmatch(path)
            if match is None or match[1] != digest:
                report.changed.add(path)

    def _leftovers(self) -> list[Path]:
        """Old files in the folder where files are written before they get their name."""
        before = time.time() - YOUNG_S
        try:
            found = sorted((self._root / INCOMING).iterdir())
            return [path for path in found if path.stat().st_mtime < before]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._root / INCOMING} cannot be read: {error.strerror}") from error

    # ------------------------------------------------------------------------------------ repairing

    def _named_again(self, paths: Sequence[str]) -> set[str]:
        """The paths that a row names by now."""
        with self._database.read() as connection:
            return {
                path
                for column in (*MEDIA_COLUMNS, schema.reference.c.path)
                for path in connection.execute(select(column).where(column.in_(paths))).scalars()
            }

    def _let_go(self, paths: Sequence[str], report: MediaReport) -> None:
        key = schema.inspection.c.inspection_id
        with self._database.write() as connection:
            for column in MEDIA_COLUMNS:
                query = select(key, column).where(column.in_(paths)).with_for_update(key_share=True)
                # Rows first, then files: the file of a row that is read here was there before the row.
                rows = [
                    (row, path)
                    for row, path in connection.execute(query)
                    if look_at(self._root, path) is None
                ]
                ids = [row for row, _ in rows]
                connection.execute(update(schema.inspection).where(key.in_(ids)).values({column.name: None}))
                report.rows += len(rows)
                for path in sorted({path for _, path in rows}):
                    report.missing.add(path)


def _orphans(part: Part) -> Iterator[str]:
    yield from sorted(part.files.keys() - part.named)


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
