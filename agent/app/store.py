"""``Store``: the open history of one configuration; ``DatabaseTools``: upgrade, check, repair and backup."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import storage
from agent import __version__
from agent.domain.errors import DiskFullError
from agent.domain.events import Event
from config import Settings
from storage.media_audit import report as media_report


@dataclass(frozen=True, slots=True)
class MediaFindings:
    """What a check of the media folder found."""

    files: int
    bytes: int
    problems: tuple[str, ...]
    """A sentence each; empty if folder and history agree."""


class DatabaseTools:
    """Works on a database that need not be open. Every method raises StorageError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.database.full_url()
        self._backup_first = settings.database.backup_before_upgrade

    def prepare(self) -> str:
        """Check the file, bring the schema up to date, check the schema; the revision now in force."""
        media = self._settings.media
        try:
            return storage.prepare(self._url, backup_first=self._backup_first)
        except DiskFullError:
            # An agent that died on a full disk left it full; the disk monitor makes room once it runs.
            if not storage.LocalDisks(media.path, None, media.ballast).drop_ballast():
                raise
            return storage.prepare(self._url, backup_first=self._backup_first)

    def upgrade(self, report: Callable[[str], None]) -> str:
        """Bring the schema up to date; the revision now in force. ``report`` gets a sentence a step."""
        storage.verify_file(self._url)
        return storage.upgrade(self._url, backup_first=self._backup_first, report=report)

    def check(self, *, full: bool = False) -> list[str]:
        """What is wrong, a sentence each; empty if all is well. ``full``: reads all of a large file."""
        return storage.check(self._url, full=full)

    def check_media(self, *, deep: bool = False) -> MediaFindings:
        """Compare the media folder with the history; nothing is changed. ``deep`` reads every image."""
        with storage.Database(self._url) as database:
            report = storage.MediaCheck(database, self._settings.media.path).look(deep=deep)
        return MediaFindings(report.files, report.bytes, tuple(media_report.problems(report)))

    def repair_media(self, *, force: bool = False) -> Sequence[str]:
        """Delete files that no row names, and clear references to files that are gone; a sentence each.

        No row is deleted. ``force``: also if folder and history seem not to belong together.
        """
        with storage.Database(self._url) as database:
            check = storage.MediaCheck(database, self._settings.media.path)
            if not force:
                media_report.must_belong_together(check.look())
            report = check.repair()
            done = media_report.repairs(report)
            if done:
                history = storage.SqlHistory(
                    database, agent_id=self._settings.agent.id, agent_version=__version__
                )
                numbers = {
                    "files": report.orphans.count,
                    "bytes": report.orphans.bytes,
                    "rows": report.rows,
                    "missing": report.missing.count,
                }
                history.record_event(
                    Event("media-repair", "; ".join(done), datetime.now(UTC), details=numbers)
                )
        return done

    def backup(self, target: Path) -> Path:
        """Copy the database to ``target``."""
        return storage.backup(self._url, target)


class Store:
    """The open history of one configuration; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.database = storage.Database(settings.database.full_url())
        agent_id = settings.agent.id
        self.media = storage.MediaFolder(settings.media.path)
        self.history = storage.SqlHistory(
            self.database, agent_id=agent_id, agent_version=__version__, media=self.media
        )
        self.outbox = storage.SqlOutbox(self.database, agent_id=agent_id)
        self.book = storage.SqlRecipeBook(self.database)
        self.claims = storage.SqlOnboardingClaims(self.database)
        self.samples = storage.SqlSamples(self.database, self.media)
        self.retention = storage.SqlRetention(self.database, self.media)
        self.disks = storage.LocalDisks(settings.media.path, self.database.path, settings.media.ballast)

    def on_full(self, called: Callable[[], None]) -> None:
        """Have ``called`` run whenever a disk of this machine refuses something for lack of space."""
        self.media.on_full = called
        if self.database.is_sqlite:  # deleting images here makes no room on a server elsewhere
            self.database.on_full = called

    def inspections(self) -> Iterator[Mapping[str, Any]]:
        """Rows of the view ``inspection_history``, the oldest first."""
        return storage.inspections(self.database)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Mapping[str, Any]]:
        """Rows of a read-only query."""
        return list(storage.query(self.database, sql, parameters))

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
