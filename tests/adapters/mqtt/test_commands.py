"""Commands through a real broker, in both versions of MQTT, from the topic to the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.mqtt.messages import JsonCommandParser, MqttMessageComposer, MqttReplier
from adapters.mqtt.sink import MqttSink
from adapters.recipes.codec import RecipeYaml
from agent.domain.frame import Delivery, DeliveryKind
from agent.event_log import EventLog
from agent.pipeline.outbox_publisher import OutboxPublisher
from agent.pipeline.worker import StageThread
from agent.recipes.commands import Commands
from agent.recipes.import_export import RecipeTransfer
from storage import upgrade
from tests.adapters.mqtt.helpers import Agent, options, until
from tests.fixtures.mosquitto import Mosquitto
from tests.storage.examples import bolt_recipe
from tests.support.factory import Rooms
from tests.support.plant import AGENT

VERSIONS = {"5": paho.MQTTv5, "3.1.1": paho.MQTTv311}


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    upgrade(f"sqlite:///{tmp_path / 'history.db'}")
    with Rooms(tmp_path) as rooms:
        for version in range(2):
            rooms.book.add(bolt_recipe(references=(), parameters={}, noun=f"bolt {version}"))
        yield rooms


class Answering:
    """Behind a transport, what the pipeline does with commands: execute, acknowledge, publish the reply."""

    def __init__(self, agent: Agent, rooms: Rooms) -> None:
        transfer = RecipeTransfer(rooms.book, rooms.media, RecipeYaml(), rooms.codec)
        replier = MqttReplier(agent.topics, "1", agent.counters)
        events = EventLog(rooms.history, (), agent.counters)
        self._agent = agent
        self._commands = Commands(
            JsonCommandParser(), replier, rooms.book, transfer, events, rooms.samples, agent.counters
        )
        self._ending = threading.Event()
        self._publisher = OutboxPublisher(
            StageThread("publish-mqtt", threading.Event(), agent.counters),
            MqttSink(agent.transport, MqttMessageComposer(agent.topics, "1")),
            rooms.outbox,
            events,
            agent.counters,
            self._ending,
            AGENT,
        )
        self._thread = threading.Thread(target=self._publisher.run)
        self._thread.start()

    def answer(self) -> Delivery:
        """Wait for one delivery and answer it."""
        assert until(lambda: self._agent.deliveries)
        delivery = self._agent.deliveries.pop(0)
        self._commands.handle(delivery)
        delivery.acknowledge()
        self._publisher.wake()
        return delivery

    def close(self) -> None:
        self._ending.set()
        self._publisher.wake()
        self._thread.join()


class Engineer:
    """Another program on the broker that sends commands and collects answers."""

    def __init__(self, port: int, version: str, topic: str) -> None:
        self.answers: list[paho.MQTTMessage] = []
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=VERSIONS[version])
        self._client.on_message = lambda *arguments: self.answers.append(arguments[-1])
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(topic, 1)
        assert subscribed.wait(15)

    def send(self, topic: str, content: dict[str, object], properties: Properties | None = None) -> None:
        self._client.publish(topic, json.dumps(content), 1, properties=properties).wait_for_publish(5)

    def answer(self, number: int) -> dict[str, object]:
        assert until(lambda: len(self.answers) > number)
        found: dict[str, object] = json.loads(self.answers[number].payload)
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.parametrize("theirs", VERSIONS)
@pytest.mark.parametrize("ours", VERSIONS)
def test_a_command_is_answered_on_the_reply_topic(
    mosquitto: Mosquitto, rooms: Rooms, ours: str, theirs: str
) -> None:
    with Agent(options(mosquitto.url, version=ours)) as agent:
        assert agent.transport.wait_connected(15)
        agent_side, engineer = Answering(agent, rooms), Engineer(mosquitto.port, theirs, agent.topics.reply)
        try:
            engineer.send(agent.topics.command, {"command": "recipe.activate", "sku": "bolt", "version": 1})
            assert agent_side.answer().kind is DeliveryKind.COMMAND
            answer = engineer.answer(0)
            assert (answer["ok"], answer["result"]) == (True, {"sku": "bolt", "version": 1, "before": 2})
            assert rooms.book.active_version("bolt") == 1
            engineer.send(agent.topics.command, {"command": "recipe.burn", "request_id": "r"})
            agent_side.answer()
            refused = engineer.answer(1)
            assert (refused["ok"], refused["request_id"]) == (False, "r")
            assert "no command 'recipe.burn'" in str(refused["error"])
            assert until(lambda: agent.transport.unacknowledged == 0)
            assert [row["kind"] for row in rooms.rows("event")] == ["command", "bad-command"]
            assert agent.transport._cameras == frozenset(), "whoever sends commands is not a camera"
        finally:
            engineer.close()
            agent_side.close()


def test_the_response_topic_and_the_correlation_data_are_the_askers(
    mosquitto: Mosquitto, rooms: Rooms
) -> None:
    with Agent(options(mosquitto.url, version="5")) as agent:
        assert agent.transport.wait_connected(15)
        topic = f"{agent.topics.site}-mes/answers"
        agent_side, engineer = Answering(agent, rooms), Engineer(mosquitto.port, "5", topic)
        try:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic, properties.CorrelationData = topic, b"\x01\x02"
            asked: dict[str, object] = {"command": "recipe.export", "sku": "bolt"}
            engineer.send(agent.topics.command, asked, properties)
            agent_side.answer()
            answer = engineer.answer(0)
            assert getattr(engineer.answers[0].properties, "CorrelationData", None) == b"\x01\x02"
            assert "noun: bolt 1" in answer["result"]["recipe"]  # type: ignore[index]
            text = str(answer["result"]["recipe"]).replace("noun: bolt 1", "noun: bolt")  # type: ignore[index]
            engineer.send(agent.topics.command, {"command": "recipe.import", "recipe": text}, properties)
            agent_side.answer()
            imported = engineer.answer(1)["result"]
            assert (imported["version"], imported["new"]) == (3, True)  # type: ignore[index]
        finally:
            engineer.close()
            agent_side.close()
