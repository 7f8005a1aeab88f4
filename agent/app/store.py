"""The open history of one configuration."""

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
    """See :class:`adapters.cli.composition.MediaFindings`."""

    files: int
    bytes: int
    problems: tuple[str, ...]


class DatabaseTools:
    """Care of the database; see :class:`adapters.cli.composition.DatabaseTools`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.database.full_url()
        self._backup_first = settings.database.backup_before_upgrade

    def prepare(self) -> str:
        """Look at the file, bring the schema up to date, look at the schema."""
        media = self._settings.media
        try:
            return storage.prepare(self._url, backup_first=self._backup_first)
        except DiskFullError:
            # An agent that died on a full disk left it full; the watch makes room once it runs.
            if not storage.LocalDisks(media.path, None, media.ballast).drop_ballast():
                raise
            return storage.prepare(self._url, backup_first=self._backup_first)

    def upgrade(self, tell: Callable[[str], None]) -> str:
        """Bring the schema up to date."""
        storage.verify_file(self._url)
        return storage.upgrade(self._url, backup_first=self._backup_first, tell=tell)

    def check(self, *, full: bool = False) -> list[str]:
        """What is wrong, a sentence each."""
        return storage.check(self._url, full=full)

    def check_media(self, *, deep: bool = False) -> MediaFindings:
        """Compare the media folder with the history; nothing is changed."""
        with storage.Database(self._url) as database:
            report = storage.MediaCheck(database, self._settings.media.path).look(deep=deep)
        return MediaFindings(report.files, report.bytes, tuple(media_report.problems(report)))

    def repair_media(self, *, force: bool = False) -> Sequence[str]:
        """Delete files that no row names, and let rows go of files that are gone."""
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
        """A copy of the database."""
        return storage.backup(self._url, target)


class Store:
    """The open history of one configuration; see :class:`adapters.cli.composition.Store`."""

    def __init__(self, settings: Settings) -> None:
        self.database = storage.Database(settings.database.full_url())
        agent_id = settings.agent.id
        self.media = storage.MediaFolder(settings.media.path)
        self.history = storage.SqlHistory(
            self.database, agent_id=agent_id, agent_version=__version__, media=self.media
        )
        self.outbox = storage.SqlOutbox(self.database, agent_id=agent_id)
        self.book = storage.SqlRecipeBook(self.database)
        self.desk = storage.SqlOnboardingClaims(self.database)
        self.samples = storage.SqlSamples(self.database, self.media)
        self.retention = storage.SqlRetention(self.database, self.media)
        self.disks = storage.LocalDisks(settings.media.path, self.database.path, settings.media.ballast)

    def on_full(self, told: Callable[[], None]) -> None:
        """Call ``told`` whenever a disk of this machine refuses something for lack of space."""
        self.media.on_full = told
        if self.database.is_sqlite:  # no image here makes room for a server elsewhere
            self.database.on_full = told

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
