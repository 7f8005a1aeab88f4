"""What the commands need built for them. :mod:`agent.app` implements it; nobody imports that module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from agent.domain.recipe import Recipe
from agent.inference.inspector import Inspector
from agent.ports import (
    FrameDecoder,
    History,
    ImageCodec,
    MediaStore,
    OnboardingClaims,
    Outbox,
    RecipeBook,
    Samples,
)
from agent.telemetry import Counters
from config import Settings


class MediaFindings(Protocol):
    """What a look at the media folder found."""

    @property
    def files(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def problems(self) -> Sequence[str]:
        """A sentence each; empty where folder and history agree."""
        ...


class DatabaseTools(Protocol):
    """Care of the database. Every method raises StorageError."""

    def upgrade(self, tell: Callable[[str], None]) -> str:
        """Bring the schema up to date; the revision now in force. ``tell`` hears what is done."""
        ...

    def check(self, *, full: bool = False) -> list[str]:
        """What is wrong, a sentence each; empty where all is well. ``full``: the whole of a large file."""
        ...

    def check_media(self, *, deep: bool = False) -> MediaFindings:
        """Compare the media folder with the history. ``deep`` reads every file."""
        ...

    def repair_media(self, *, force: bool = False) -> Sequence[str]:
        """Set right what can be without losing a row; what was done, a sentence each."""
        ...

    def backup(self, target: Path) -> Path: ...


class Recipes(RecipeBook, Protocol):
    """The recipe book, as people read it."""

    def get(self, sku: str, version: int) -> Recipe | None:
        """One stored version."""
        ...


class Store(Protocol):
    """The open history of one configuration; a context manager."""

    @property
    def history(self) -> History: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def book(self) -> Recipes: ...

    @property
    def media(self) -> MediaStore: ...

    @property
    def samples(self) -> Samples: ...

    @property
    def desk(self) -> OnboardingClaims: ...

    def inspections(self) -> Iterator[Mapping[str, Any]]:
        """Rows of the view ``inspection_history``, the oldest first."""
        ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Mapping[str, Any]]:
        """Read-only rows for reports."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class RunningAgent(Protocol):
    """The agent of one configuration."""

    @property
    def store(self) -> Store: ...

    @property
    def counters(self) -> Counters: ...

    def start(self) -> None:
        """Start broker (where embedded), models, database and line; returns once frames are taken.

        Raises SightlineError where something is missing; a broker that is away is waited for.
        """
        ...

    def stop(self) -> None:
        """Finish what was admitted, send what is due, say ``stopped``."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """True as soon as a part died and the agent should end with an error; False after the time."""
        ...

    @property
    def stuck(self) -> bool:
        """After :meth:`stop`: whether a thread hangs, so that the process will not end by itself."""
        ...

    @property
    def broker_url(self) -> str:
        """Where cameras publish to, also where the broker is embedded on a free port."""
        ...

    @property
    def connected(self) -> bool: ...

    @property
    def description(self) -> Mapping[str, str]:
        """Version, model, device, broker, database: for the first lines of the log."""
        ...


class Composition(Protocol):
    """Builds the parts from settings."""

    def database(self, settings: Settings) -> DatabaseTools: ...

    def store(self, settings: Settings, *, upgrade: bool = True) -> Store:
        """Open the history, by default after bringing its schema up to date."""
        ...

    def inspector(self, settings: Settings) -> Inspector:
        """Load the models. Raises ModelError, RecipeError."""
        ...

    def untrained_inspector(self, settings: Settings) -> Inspector:
        """The same over models of the true sizes with random weights: nothing is read, scores mean nothing.

        Raises ModelError, RecipeError.
        """
        ...

    def decoder(self, settings: Settings) -> FrameDecoder: ...

    def codec(self) -> ImageCodec: ...

    def agent(self, settings: Settings) -> RunningAgent: ...
