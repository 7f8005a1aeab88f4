"""The storage is what the agent's ports ask for; the type checker reads this file."""

from __future__ import annotations

from pathlib import Path

from agent.ports import History, MediaStore, OnboardingClaims, Outbox, RecipeBook
from storage import Database, MediaFolder, SqlHistory, SqlOnboardingClaims, SqlOutbox, SqlRecipeBook


def test_the_ports_are_implemented(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'history.db'}")
    history: History = SqlHistory(database, agent_id="a", agent_version="1")
    outbox: Outbox = SqlOutbox(database, agent_id="a")
    book: RecipeBook = SqlRecipeBook(database)
    media: MediaStore = MediaFolder(tmp_path / "media")
    claims: OnboardingClaims = SqlOnboardingClaims(database)
    assert all((history, outbox, book, media, claims))
