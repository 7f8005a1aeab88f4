"""SqlOutbox: messages wait in order for each sink until they are sent."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from agent.ports import Entry
from storage import Database, SqlHistory, SqlOutbox, schema
from tests.storage.examples import entry, inspected, message


def test_messages_wait_in_the_order_they_were_recorded(history: SqlHistory, outbox: SqlOutbox) -> None:
    history.record([entry("z"), entry("a")])
    history.record([entry("m")])
    assert [stored.message.payload for stored in outbox.pending(10)] == [b"z", b"a", b"m"]
    assert [stored.message.payload for stored in outbox.pending(2)] == [b"z", b"a"]
    assert outbox.depth() == 3


def test_messages_that_were_handed_over_are_not_read_again(history: SqlHistory, outbox: SqlOutbox) -> None:
    history.record([entry(name) for name in "abcde"])
    first, second, *_others = (stored.id for stored in outbox.pending(10))
    waiting = [stored.message.payload for stored in outbox.pending(2, excluding=(first, second))]
    assert waiting == [b"c", b"d"]
    assert len(outbox.pending(10, excluding=range(first, first + 2000))) == 0


def test_a_message_comes_back_as_it_was_written(history: SqlHistory, outbox: SqlOutbox) -> None:
    sent = message(b"\x00\xff", content_type="image/png", retain=True, correlation_data=b"\x01")
    history.record([Entry(inspected(), (sent, message(b"")))])
    assert [stored.message for stored in outbox.pending(10)] == [sent, message(b"")]


def test_a_sent_message_waits_no_longer_and_loses_its_payload(
    history: SqlHistory, outbox: SqlOutbox, database: Database
) -> None:
    history.record([entry("a"), entry("b"), entry("c")])
    first, second, third = outbox.pending(10)
    outbox.mark_sent([first.id, third.id])
    outbox.mark_sent([first.id])
    outbox.mark_sent([])
    assert [stored.id for stored in outbox.pending(10)] == [second.id]
    assert outbox.depth() == 1
    with database.read() as connection:
        rows = connection.execute(select(schema.outbox).order_by(schema.outbox.c.id)).all()
    assert [row.payload for row in rows] == [None, b"b", None]
    assert [row.sent_at is None for row in rows] == [False, True, False]


def test_agents_on_one_database_send_only_their_own(database: Database, history: SqlHistory) -> None:
    history.record([entry("a")])
    other = SqlOutbox(database, agent_id="cell-8")
    assert other.depth() == 0
    assert list(other.pending(10)) == []


def test_what_one_process_left_the_next_one_finds(database_url: str) -> None:
    with Database(database_url) as database:
        SqlHistory(database, agent_id="cell-7", agent_version="1").record([entry("a")])
    with Database(database_url) as database:
        assert SqlOutbox(database, agent_id="cell-7").depth() == 1


def test_each_sink_has_an_order_of_its_own(history: SqlHistory, outbox: SqlOutbox) -> None:
    mqtt, hook = message(b"1"), message(b"2", sink="webhook:mes", destination="mes")
    history.record([Entry(inspected("a"), (mqtt, hook)), Entry(inspected("b"), (hook,))])
    assert [stored.message for stored in outbox.pending(9, sink="mqtt")] == [mqtt]
    first, second = outbox.pending(9, sink="webhook:mes")
    assert [first.message, second.message] == [hook, hook]
    assert [one.id for one in outbox.pending(9, (first.id,), sink="webhook:mes")] == [second.id]
    depths = [outbox.depth(sink=sink) for sink in ("mqtt", "webhook:mes", "webhook:gone")]
    assert (depths, outbox.depth()) == ([1, 2, 0], 3)
    assert list(outbox.pending(9, sink="webhook:gone")) == []


def test_how_many_wait_at_each_sink_and_since_when(
    database: Database, history: SqlHistory, outbox: SqlOutbox
) -> None:
    assert outbox.backlog() == {}
    before = datetime.now(UTC)
    history.record([entry("a")])
    between = datetime.now(UTC)
    hook = message(sink="webhook:mes", destination="mes")
    history.record([Entry(inspected("b"), (message(), hook)), Entry(inspected("c"), (hook,))])
    found = outbox.backlog()
    assert {sink: count for sink, (count, _) in found.items()} == {"mqtt": 2, "webhook:mes": 2}
    assert before <= found["mqtt"][1] <= between <= found["webhook:mes"][1]
    assert SqlOutbox(database, agent_id="cell-8").backlog() == {}
    outbox.mark_sent([outbox.pending(1, sink="mqtt")[0].id])
    count, oldest = outbox.backlog()["mqtt"]
    assert (count, oldest >= between) == (1, True)
    outbox.mark_sent([one.id for one in outbox.pending(9, sink="webhook:mes")])
    assert list(outbox.backlog()) == ["mqtt"]
