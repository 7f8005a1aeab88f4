"""``Store``: the open history of one configuration; ``DatabaseTools``: upgrade, check, repair and backup."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import storage
from agent import __version__
from agent.domain.errors import DiskFullError, StorageError
from agent.domain.events import Event
from config import Settings
from storage.media_audit import report as media_report

OLD_DEFAULT_ID = "cell-7"
"""What an agent was called until its name came from the host."""


@dataclass(frozen=True, slots=True)
class MediaFindings:
    """What a check of the media folder found."""

    files: int
    bytes: int
    problems: tuple[str, ...]
    """One sentence for each fault; empty if folder and history agree."""


class DatabaseTools:
    """Tools for a database that is not open. Every method raises StorageError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.database.full_url()
        self._backup_first = settings.database.backup_before_upgrade

    def prepare(self) -> str:
        """Check the file, upgrade the schema and check it. Returns the revision in force."""
        media = self._settings.media
        try:
            return storage.prepare(self._url, backup_first=self._backup_first)
        except DiskFullError:
            # An agent that died of a full disk left it full; the disk monitor makes room once it runs.
            if not storage.LocalDisks(media.path, None, media.ballast).drop_ballast():
                raise
            return storage.prepare(self._url, backup_first=self._backup_first)

    def upgrade(self, report: Callable[[str], None]) -> str:
        """Upgrade the schema; ``report`` gets one sentence a step. Returns the revision in force."""
        storage.verify_file(self._url)
        return storage.upgrade(self._url, backup_first=self._backup_first, report=report)

    def identity(self) -> str | None:
        """As :attr:`Store.identity`; None also if there is no database yet."""
        if self._is_missing():
            return None
        with storage.Database(self._url) as database:
            return storage.history_identity(database)

    def _is_missing(self) -> bool:
        """Whether there is no SQLite file yet; opening it would make its folder."""
        if not self._settings.database.is_sqlite:
            return False
        return not Path(storage.parse_url(self._url).database or "").is_file()

    def settled(self) -> Settings:
        """The settings with the default id of older versions, if this history was written under it.

        An installation that relied on it keeps its session on the broker, its topics and the messages that
        wait to be sent. Only on SQLite: a history on a server has many agents.
        """
        settings = self._settings
        if "id" in settings.agent.model_fields_set or not settings.database.is_sqlite or self._is_missing():
            return settings
        try:
            with storage.Database(self._url) as database:
                last = storage.last_agent(database)
        except StorageError:  # whoever opens the history next says what is wrong with it
            return settings
        if last != OLD_DEFAULT_ID:
            return settings
        agent = settings.agent.model_copy(update={"id": OLD_DEFAULT_ID})
        return settings.model_copy(update={"agent": agent})

    def check(self, *, full: bool = False) -> list[str]:
        """One sentence for each fault; empty if there is none. ``full``: read a large file to its end too."""
        return storage.check(self._url, full=full)

    def check_media(self, *, deep: bool = False) -> MediaFindings:
        """Compare the media folder with the history and change nothing. ``deep``: read every image."""
        with storage.Database(self._url) as database:
            report = storage.MediaCheck(database, self._settings.media.path).look(deep=deep)
        return MediaFindings(report.files, report.bytes, tuple(media_report.problems(report)))

    def repair_media(self, *, force: bool = False) -> Sequence[str]:
        """Delete files that no row names, and clear the names of files that are gone; one sentence for each.

        Deletes no row. ``force``: also if folder and history seem not to belong together.
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
        """Call ``called`` whenever a disk of this machine refuses a write for lack of space."""
        self.media.on_full = called
        if self.database.is_sqlite:  # deleting images here makes no room on a server elsewhere
            self.database.on_full = called

    @property
    def identity(self) -> str | None:
        """A name that agents have in common if they share this history. Raises StorageError."""
        return storage.history_identity(self.database)

    def inspections(self) -> Iterator[Mapping[str, Any]]:
        """The rows of the view ``inspection_history``, oldest first."""
        return storage.inspections(self.database)

    def camera_bits(self) -> dict[str, int]:
        """Bits of each camera's values, by ``SITE/LINE/CAMERA``, as its last event ``bit-depth`` named them.

        Raises StorageError.
        """
        sql = "SELECT camera, details FROM event WHERE kind = 'bit-depth' AND camera IS NOT NULL ORDER BY id"
        found: dict[str, int] = {}
        for row in self.query(sql):
            details = json.loads(row["details"]) if isinstance(row["details"], str) else row["details"]
            found[row["camera"]] = int(details["bits"])
        return found

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Mapping[str, Any]]:
        return list(storage.query(self.database, sql, parameters))

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
