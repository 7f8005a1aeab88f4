"""The open history of one configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import storage
from agent import __version__
from config import Settings


class DatabaseTools:
    """Care of the database; see :class:`adapters.cli.composition.DatabaseTools`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def upgrade(self) -> str:
        """Bring the schema up to date."""
        return storage.upgrade(self._url)

    def check(self) -> list[str]:
        """What is wrong, a sentence each."""
        return storage.check(self._url)

    def backup(self, target: Path) -> Path:
        """A copy of the database."""
        return storage.backup(self._url, target)


class Store:
    """The open history of one configuration; see :class:`adapters.cli.composition.Store`."""

    def __init__(self, settings: Settings) -> None:
        self.database = storage.Database(settings.database.full_url())
        agent_id = settings.agent.id
        self.history = storage.SqlHistory(self.database, agent_id=agent_id, agent_version=__version__)
        self.outbox = storage.SqlOutbox(self.database, agent_id=agent_id)
        self.book = storage.SqlRecipeBook(self.database)
        self.desk = storage.SqlOnboardingDesk(self.database)
        self.samples = storage.SqlSamples(self.database)
        self.media = storage.MediaFolder(settings.media.path)
        self.retention = storage.SqlRetention(self.database, self.media)

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
