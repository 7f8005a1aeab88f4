"""Two agents on one broker, and the id of an agent: who is told what, at the start and by ``check``."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.commands import application
from adapters.mqtt.publish_queue import PublishPacket
from agent.app import Application
from agent.app.agent import Agent
from agent.domain.events import Event
from agent.ports import OutboxMessage
from config import Settings, load
from config.settings import id_of_host
from storage import Database, SqlHistory, history_identity, upgrade
from tests.adapters.mqtt.helpers import OldBroker, plain_client, unique, until
from tests.fixtures.mosquitto import Mosquitto, StartMosquitto
from tests.storage.examples import entry
from tests.support.factory import wait_until

pytestmark = pytest.mark.system

Start = Callable[..., Agent]
OTHERS = ("other-agent", "outbox-of-other")


def overrides(broker: str, folder: Path, *more: str) -> list[str]:
    return [
        f"database.url=sqlite:///{folder / 'history.db'}",
        f"media.path={folder / 'media'}",
        "inspection.method=null",
        f"broker.url={broker}",
        "metrics.enabled=false",
        "ollama.enabled=false",
        *more,
    ]


@pytest.fixture
def site() -> str:
    return unique("neighbours")


@pytest.fixture
def start(mosquitto: Mosquitto, tmp_path: Path, site: str) -> Iterator[Start]:
    """Start agents, each with a folder of its own: ``start("a", "agent.id=one")``."""
    started: list[Agent] = []

    def begin(folder: str, *more: str) -> Agent:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        agent = Application().agent(settings(mosquitto.url, place, f"agent.site={site}", *more))
        started.append(agent)
        agent.start()
        return agent

    yield begin
    for agent in started:
        agent.stop()


def settings(broker: str, folder: Path, *more: str) -> Settings:
    return load(overrides=overrides(broker, folder, *more), environ={}).settings


def looked(agent: Agent) -> list[str]:
    """What the agent reported of others, once it has looked for them."""
    assert agent.neighbours is not None
    wait_until(
        lambda: agent.neighbours is not None and agent.neighbours.done.is_set(), "a look at the others"
    )
    agent._pipeline._parts.events.flush()  # type: ignore[union-attr]
    query = "SELECT kind, message FROM events ORDER BY event_id"
    return [str(row["message"]) for row in agent.store.query(query) if row["kind"] in OTHERS]


def checked(broker: str, folder: Path, *more: str) -> dict[str, str]:
    """The row ``agents`` of ``sightline check``."""
    words = [word for one in overrides(broker, folder, *more) for word in ("--set", one)]
    done = CliRunner().invoke(application(), ["check", "--json", *words], obj=Application())
    (row,) = (one for one in json.loads(done.stdout) if one["part"] == "agents")
    return dict(row)


def test_a_second_agent_with_a_history_of_its_own_is_told(
    start: Start, mosquitto: Mosquitto, tmp_path: Path, site: str
) -> None:
    first = start("a", "agent.id=one")
    assert looked(first) == []
    second = start("b", "agent.id=two")
    (sentence,) = looked(second)
    assert f"the agent 'one' on {socket.gethostname()} also takes frames of {site}/+/+/frame" in sentence

    third = tmp_path / "c"
    third.mkdir()
    row = checked(mosquitto.url, third, f"agent.site={site}", "agent.id=three")
    assert row["state"] == "warning"
    assert "'one'" in row["detail"]
    assert "'two'" in row["detail"]
    assert checked(mosquitto.url, third, "agent.site=elsewhere")["state"] == "ok"
    assert checked(mosquitto.url, tmp_path / "b", f"agent.site={site}")["state"] == "warning"
    first.stop()
    assert checked(mosquitto.url, tmp_path / "b", f"agent.site={site}")["state"] == "ok", "it is itself"


def test_agents_that_share_a_history_or_have_topics_of_their_own_are_not(start: Start) -> None:
    start("a", "agent.id=one", "topics.frame={site}/hall-1/{line}/{camera}/frame")
    shares = start("a", "agent.id=two", "topics.frame={site}/hall-1/{line}/{camera}/frame")
    assert looked(shares) == []
    elsewhere = start("b", "agent.id=three", "topics.frame={site}/hall-2/{line}/{camera}/frame")
    assert looked(elsewhere) == []
    same_hall = start("c", "agent.id=four", "topics.frame={site}/hall-2/{line}/{camera}/frame")
    (sentence,) = looked(same_hall)
    assert "'three'" in sentence


def test_the_status_tells_no_secret_and_what_is_no_status_is_passed_over(
    start: Start, mosquitto: Mosquitto, site: str
) -> None:
    with plain_client(mosquitto.url, f"{site}/sightline/+/status") as (people, received):
        for number, payload in enumerate((b"", b"[]", b'{"status": "online", "agent": 7}', b"\xff", b"{")):
            topic = f"{site}/sightline/odd-{number}/status"
            assert people.publish(PublishPacket(topic, payload, retain=True)).wait(10)
        agent = start("a", "agent.id=one")
        assert looked(agent) == []
        assert until(lambda: any(one.topic.endswith("/one/status") for one in received))
        (status,) = (json.loads(one.payload) for one in received if one.topic.endswith("/one/status"))
    assert status["frames"] == f"{site}/+/+/frame"
    assert status["history"] == agent.store.identity
    assert "history.db" not in json.dumps(status)


def test_a_broker_that_refuses_the_subscription_is_a_warning_of_check(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    refusing = OldBroker(mosquitto.port, "refuse", refused=1)
    try:
        row = checked(refusing.url, tmp_path)
    finally:
        refusing.close()
    assert row["state"] == "warning"
    assert "refused the subscriptions factory/sightline/+/status" in row["detail"]


def test_an_agent_that_may_read_no_status_says_so_once(
    start_mosquitto: StartMosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As with the rights that older versions shipped: mosquitto grants the subscription and sends nothing."""
    rights = tmp_path / "acl"
    rights.write_text("topic read +/+/+/frame\ntopic write #\n")
    rights.chmod(0o600)
    agent = Application().agent(settings(start_mosquitto(extra=f"acl_file {rights}").url, tmp_path))
    agent.start()
    try:
        assert looked(agent) == []
    finally:
        agent.stop()
    assert caplog.text.count("give its user the right to read factory/sightline/+/status") == 1


def test_a_copied_file_is_another_history(tmp_path: Path) -> None:
    """A machine that was cloned with its history is another one."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    upgrade(f"sqlite:///{tmp_path}/a/history.db")
    (tmp_path / "b" / "history.db").write_bytes((tmp_path / "a" / "history.db").read_bytes())
    names = []
    for name in ("a", "b", "a"):
        with Database(f"sqlite:///{tmp_path}/{name}/history.db") as database:
            names.append(history_identity(database))
    assert names[0] == names[2]
    assert names[0] != names[1]


def test_the_history_of_a_url_with_options_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    upgrade(url)
    with Database(url) as database:
        SqlHistory(database, agent_id="cell-7", agent_version="0.1.0").record([entry("f-1")])
        identity = history_identity(database)
    asked = load(overrides=[f"database.url={url}?timeout=5"], environ={}).settings
    assert Application().database(asked).identity() == identity
    assert Application().settled(asked).agent.id == "cell-7"


def test_an_agent_without_an_id_is_called_as_its_host_unless_its_history_is_older(
    start: Start, mosquitto: Mosquitto, tmp_path: Path, site: str
) -> None:
    """An upgrade changes no id: the session on the broker and the messages that wait belong to it."""
    new = settings(mosquitto.url, tmp_path / "new")
    assert Application().settled(new).agent.id == id_of_host(socket.gethostname())
    assert not (tmp_path / "new").exists(), "looking makes nothing"

    folder = tmp_path / "old"
    folder.mkdir()
    url, topic = f"sqlite:///{folder / 'history.db'}", f"{site}/l/c/verdict"
    upgrade(url)
    with Database(url) as database:
        history = SqlHistory(database, agent_id="cell-7", agent_version="0.1.0")
        history.record([entry("f-1")])
        owed = OutboxMessage("mqtt", "verdict", topic, b"owed")
        history.record_event(Event("job", "a job", datetime.now(UTC)), (owed,))
    assert Application().settled(settings(mosquitto.url, folder, "agent.id=own")).agent.id == "own"
    with plain_client(mosquitto.url, topic) as (_, received):
        start("old")
        assert until(lambda: [one.payload for one in received] == [b"owed"])
    row = checked(mosquitto.url, folder, f"agent.site={site}")
    assert (row["state"], row["detail"].partition(" on ")[0]) == ("ok", "online: 'cell-7'")


def test_messages_of_an_agent_that_is_not_there_are_told_with_the_way_to_send_them(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    url = f"sqlite:///{folder / 'history.db'}"
    upgrade(url)
    with Database(url) as database:
        for name in ("gone", "beside"):
            SqlHistory(database, agent_id=name, agent_version="1").record([entry(f"of-{name}")])
    new = start("shared", "agent.id=new")
    assert len(looked(new)) == 2, "neither is online"
    start("shared", "agent.id=beside")
    *_, sentence = looked(start("shared", "agent.id=newer"))
    assert sentence.startswith("1 messages in this database wait for the agent 'gone', which is not online")
    assert "set agent.id: gone" in sentence
