"""Messages of a sink that is not configured any more are reported at the start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from agent.app import Application
from agent.app.store import Store
from agent.domain.events import Event
from agent.ports import OutboxMessage
from config import load
from tests.support.factory import wait_until


def test_messages_of_a_webhook_that_is_gone_are_an_event(tmp_path: Path) -> None:
    settings = load(
        overrides=[
            f"database.url=sqlite:///{tmp_path / 'history.db'}",
            f"media.path={tmp_path / 'media'}",
            "inspection.method=null",
            "broker.url=embedded://127.0.0.1:0",
            "metrics.port=0",
            "ollama.enabled=false",
        ],
        environ={},
    ).settings
    application = Application()
    with application.store(settings) as store:
        owed = OutboxMessage("webhook:gone", "verdict", "gone", b"{}")
        store.history.record_event(Event("job", "a job", datetime.now(UTC)), (owed,))
    agent = application.agent(settings)
    agent.start()
    try:
        wait_until(lambda: "sink-unknown" in events(agent.store), "the event")
    finally:
        agent.stop()


def events(store: Store) -> dict[str, str]:
    query = store.query("SELECT kind, message FROM event")
    return {str(row["kind"]): str(row["message"]) for row in query}
