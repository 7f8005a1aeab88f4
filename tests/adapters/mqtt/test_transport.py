"""The transport against a real mosquitto: versions, presence, acknowledgements, limits, security."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from functools import partial

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.mqtt.publish_queue import PublishPacket
from agent.domain.errors import TransportError, UndeliverableError
from agent.domain.frame import DeliveryKind
from agent.ports import OutboxMessage
from tests.adapters.mqtt.helpers import Agent, OldBroker, Wire, options, plain_client, until
from tests.fixtures.mosquitto import Mosquitto, StartMosquitto

VERSIONS = ("5", "3.1.1")


def connected(agent: Agent) -> bool:
    return agent.transport.wait_connected(15)


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_come_in_and_messages_go_out(mosquitto: Mosquitto, version: str) -> None:
    with Agent(options(mosquitto.url, version=version)) as agent:
        assert connected(agent)
        assert agent.transport.version == version
        with plain_client(mosquitto.url, agent.topic("verdict")) as (other, received):
            image = PublishPacket(
                agent.topic(), b"\xff\xd8image", content_type="image/jpeg", user_properties=(("sku", "A"),)
            )
            assert other.publish(image).wait(5)
            assert until(lambda: agent.deliveries)
            delivery = agent.deliveries[0]
            assert (delivery.kind, delivery.payload) == (DeliveryKind.FRAME, b"\xff\xd8image")
            assert str(delivery.camera) == f"{agent.topics.site}/line/cam"
            if version == "5":
                assert delivery.properties == {"sku": "A"}
                assert delivery.content_type == "image/jpeg"
            answer = OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}", correlation_data=b"7")
            assert agent.transport.publish(answer).wait(5)
            assert until(lambda: received)
            assert received[0].payload == b"{}"
            expected = b"7" if version == "5" else None
            # The other client speaks MQTT 5: what 3.1.1 cannot carry never reached the broker.
            assert getattr(received[0].properties, "CorrelationData", None) == expected
    assert not agent.transport.connected


def test_the_response_topic_reaches_the_delivery(mosquitto: Mosquitto) -> None:
    with Agent(options(mosquitto.url)) as agent:
        assert connected(agent)
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic, properties.CorrelationData = "plc/answer", b"\x01"
        plc = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        plc.connect("127.0.0.1", mosquitto.port)
        plc.loop_start()
        plc.publish(agent.topic(), b"x", 1, properties=properties).wait_for_publish(5)
        assert until(lambda: agent.deliveries)
        plc.disconnect()
        plc.loop_stop()
        assert agent.deliveries[0].response_topic == "plc/answer"
        assert agent.deliveries[0].correlation_data == b"\x01"


@pytest.mark.parametrize("manner", ["refuse", "close"])
def test_auto_falls_back_to_311_and_remembers(mosquitto: Mosquitto, manner: str) -> None:
    old = OldBroker(mosquitto.port, manner)
    try:
        with Agent(options(old.url)) as agent:
            assert connected(agent)
            assert agent.transport.version == "3.1.1"
            agent.sever()
            assert until(lambda: agent.counters.get("mqtt_connections") == 2)
            assert old.levels == [5, 4, 4]
    finally:
        old.close()


@pytest.mark.parametrize(("refused", "taken"), [(1, True), (2, False)])
def test_a_broker_may_refuse_commands_and_nothing_else(
    mosquitto: Mosquitto, refused: int, taken: bool
) -> None:
    strict = OldBroker(mosquitto.port, "refuse", refused)
    try:
        with Agent(options(strict.url, version="3.1.1"), prompt=True) as agent:
            if taken:
                assert connected(agent)
                with plain_client(mosquitto.url) as (other, _):
                    assert other.publish(PublishPacket(agent.topic(), b"frame")).wait(5)
                assert until(lambda: agent.has(1))
            else:
                assert until(lambda: agent.counters.get("mqtt_connections_lost") >= 1)
                reason = agent.transport.last_error or ""
                assert "feedback" in reason
                assert "command" not in reason
    finally:
        strict.close()


def test_version_5_alone_says_why_it_cannot_connect(mosquitto: Mosquitto) -> None:
    old = OldBroker(mosquitto.port, "refuse")
    try:
        with Agent(options(old.url, version="5")) as agent:
            assert until(lambda: agent.counters.get("mqtt_connection_failures") >= 1)
            assert "protocol version" in (agent.transport.last_error or "")
            assert not agent.transport.connected
    finally:
        old.close()


# ----------------------------------------------------------------------------------------- presence


def test_an_agent_that_cannot_publish_stopped_does_not_stay_online(mosquitto: Mosquitto) -> None:
    """The broker acknowledges nothing more, so "stopped" cannot be published: the will has to serve."""
    wire = Wire(mosquitto.port)
    try:
        with Agent(options(wire.url, max_outgoing=2)) as agent:
            assert connected(agent)
            with plain_client(mosquitto.url, agent.topics.status) as (_, received):
                assert until(lambda: received)
                wire.mute.set()
                for _ in range(2):
                    agent.transport.publish(OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}"))
                agent.transport.stop()
                assert until(lambda: len(received) == 2)
                assert json.loads(received[1].payload)["status"] == "offline"
    finally:
        wire.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_presence_online_and_stopped_are_retained(mosquitto: Mosquitto, version: str) -> None:
    with Agent(options(mosquitto.url, version=version)) as agent:
        assert connected(agent)
        with plain_client(mosquitto.url, agent.topics.status) as (_, received):
            assert until(lambda: received)
            assert received[0].retain
            body = json.loads(received[0].payload)
            assert (body["status"], body["agent"], body["version"]) == ("online", "cell-7", "1.2.3")
            agent.transport.stop()
            assert until(lambda: len(received) == 2)
            assert json.loads(received[1].payload)["status"] == "stopped"
    with plain_client(mosquitto.url, agent.topics.status) as (_, received):
        assert until(lambda: received)
        assert received[0].retain
        assert json.loads(received[0].payload)["status"] == "stopped"


def test_the_status_names_the_cameras_that_have_sent_something(mosquitto: Mosquitto) -> None:
    with Agent(options(mosquitto.url)) as agent:
        assert connected(agent)
        with plain_client(mosquitto.url, agent.topics.status) as (other, received):
            assert until(lambda: received)
            assert json.loads(received[0].payload)["cameras"] == []
            for camera in ("two", "one", "two"):
                assert other.publish(PublishPacket(agent.topic(camera=camera), b"x")).wait(5)
            assert until(lambda: agent.has(3))
            assert until(lambda: len(received) == 3)
            last = json.loads(received[2].payload)
            assert (last["status"], last["cameras"]) == ("online", ["line/one", "line/two"])


def test_invented_cameras_do_not_make_the_status_larger_than_a_will_may_be(mosquitto: Mosquitto) -> None:
    with Agent(options(mosquitto.url), prompt=True) as agent:
        assert connected(agent)
        with plain_client(mosquitto.url) as (other, _):
            for number in range(100):
                topic = agent.topic(camera=f"{number:04}{'é' * 120}")
                assert other.publish(PublishPacket(topic, b"x")).wait(5)
            assert until(lambda: agent.has(100))
        assert agent.counters.get("mqtt_cameras_unlisted") > 0
        agent.sever()
        assert until(lambda: agent.counters.get("mqtt_connections") == 2)


KILLED = """
import sys, time
from adapters.mqtt.transport import MqttTransport
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
options = BrokerOptions(sys.argv[1], client_id="killed", version=sys.argv[2])
transport = MqttTransport(options, Topics(sys.argv[3], "k"))
transport.start(lambda delivery: None)
transport.wait_connected(15)
time.sleep(60)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_will_of_a_killed_agent(mosquitto: Mosquitto, version: str) -> None:
    site = f"killed-{version}"
    with plain_client(mosquitto.url, f"{site}/#") as (_, received):
        process = subprocess.Popen([sys.executable, "-c", KILLED, mosquitto.url, version, site])
        assert until(lambda: received, 30)
        assert json.loads(received[0].payload)["status"] == "online"
        process.kill()
        process.wait()
        assert until(lambda: len(received) == 2)
        assert json.loads(received[1].payload)["status"] == "offline"
    with plain_client(mosquitto.url, f"{site}/#") as (_, received):
        assert until(lambda: received)
        assert received[0].retain


@pytest.mark.parametrize("version", VERSIONS)
def test_a_restarted_broker_sees_subscriptions_and_birth_again(
    start_mosquitto: StartMosquitto, version: str
) -> None:
    broker = start_mosquitto(persistence=True)
    with Agent(options(broker.url, version=version)) as agent:
        assert connected(agent)
        broker.stop(kill=True)
        assert until(lambda: not agent.transport.connected)
        with pytest.raises(TransportError, match="no connection"):
            agent.transport.publish(OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}"))
        broker.start()
        assert until(lambda: agent.transport.connected)
        with plain_client(broker.url, agent.topics.status) as (other, received):
            assert until(lambda: received)
            assert json.loads(received[0].payload)["status"] == "online"
            assert other.publish(PublishPacket(agent.topic(), b"after")).wait(5)
            assert until(lambda: agent.deliveries)


# --------------------------------------------------------------------------------- acknowledgements


@pytest.mark.parametrize("version", VERSIONS)
def test_unacknowledged_frames_come_again_after_a_reconnect(mosquitto: Mosquitto, version: str) -> None:
    with Agent(options(mosquitto.url, version=version)) as agent:
        assert connected(agent)
        with plain_client(mosquitto.url) as (other, _):
            for number in range(3):
                other.publish(PublishPacket(agent.topic(), b"%d" % number))
            assert until(lambda: len(agent.deliveries) == 3)
            first = list(agent.deliveries)
            assert not any(one.stale() for one in first)
            first[0].acknowledge()
            assert until(lambda: agent.transport.unacknowledged == 2)
            # Its PUBACK was sent before this message, so the broker has seen it.
            assert agent.transport.publish(
                OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"")
            ).wait(5)
            agent.sever()
            assert until(lambda: len(agent.deliveries) == 5)
            again = agent.deliveries[3:]
            assert [one.payload for one in again] == [b"1", b"2"]
            assert all(one.redelivered for one in again)
            assert all(one.stale() for one in first)
            assert not any(one.stale() for one in again)
            assert agent.counters.get("mqtt_redelivered") == 2
            first[1].acknowledge()  # of the old connection: the broker would take it for another message
            assert agent.counters.get("mqtt_stale_acknowledgements") == 1
            assert agent.transport.unacknowledged == 2
            for one in again:
                one.acknowledge()
            assert agent.transport.unacknowledged == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_sent_while_the_agent_is_away_are_kept(mosquitto: Mosquitto, version: str) -> None:
    opts = options(mosquitto.url, version=version)
    with Agent(opts) as before:
        assert connected(before)
    with plain_client(mosquitto.url) as (other, _):
        assert other.publish(PublishPacket(before.topic(), b"while away")).wait(5)
    with Agent(opts, before.topics.site) as after:
        assert until(lambda: after.deliveries)
        assert after.deliveries[0].payload == b"while away"
        after.deliveries[0].acknowledge()


@pytest.mark.parametrize("version", VERSIONS)
def test_receive_maximum_bounds_what_comes_in(start_mosquitto: StartMosquitto, version: str) -> None:
    broker = start_mosquitto(extra="max_inflight_messages 0")
    with Agent(options(broker.url, receive_maximum=3, version=version)) as agent:
        assert connected(agent)
        with plain_client(broker.url) as (other, _):
            tickets = [other.publish(PublishPacket(agent.topic(), b"%d" % number)) for number in range(10)]
            assert all(ticket.wait(5) for ticket in tickets)
            for number in range(10):
                assert until(partial(agent.has, number + 1))
                assert agent.transport.unacknowledged <= 4
                agent.deliveries[number].acknowledge()
            assert [one.payload for one in agent.deliveries] == [b"%d" % number for number in range(10)]


def test_acknowledgements_from_many_threads(mosquitto: Mosquitto) -> None:
    with Agent(options(mosquitto.url)) as agent:
        assert connected(agent)
        with plain_client(mosquitto.url) as (other, _):
            for number in range(200):
                other.publish(PublishPacket(agent.topic(), b"%d" % number))
            done = threading.Event()

            def acknowledge(share: int) -> None:
                while not done.is_set():
                    for delivery in list(agent.deliveries)[share::4]:
                        delivery.acknowledge()
                    done.wait(0.001)

            threads = [threading.Thread(target=acknowledge, args=(share,)) for share in range(4)]
            for thread in threads:
                thread.start()
            assert until(lambda: len(agent.deliveries) == 200 and agent.transport.unacknowledged == 0)
            done.set()
            for thread in threads:
                thread.join()
    assert len({one.payload for one in agent.deliveries}) == 200


def test_a_topic_that_is_not_ours_is_counted_and_acknowledged(mosquitto: Mosquitto) -> None:
    with Agent(options(mosquitto.url)) as agent:
        assert connected(agent)
        with plain_client(mosquitto.url) as (other, _):
            assert other.publish(PublishPacket(f"{agent.topics.site}/{'x' * 256}/cam/frame", b"x")).wait(5)
            assert until(lambda: agent.counters.get("mqtt_unparsable_topics") == 1)
            assert agent.transport.unacknowledged == 0
            assert not agent.deliveries


def test_a_failing_consumer_loses_nothing(mosquitto: Mosquitto) -> None:
    agent = Agent(options(mosquitto.url))
    calls: list[bytes] = []

    def consume(delivery: object) -> None:
        calls.append(delivery.payload)  # type: ignore[attr-defined]
        if len(calls) == 1:
            raise RuntimeError("the queue broke")

    agent.transport.start(consume)
    try:
        assert connected(agent)
        with plain_client(mosquitto.url) as (other, _):
            assert other.publish(PublishPacket(agent.topic(), b"x")).wait(5)
            assert until(lambda: len(calls) == 2)
            assert agent.counters.get("mqtt_unforeseen_errors") == 1
    finally:
        agent.transport.stop()


# ------------------------------------------------------------------------------------------- limits


def test_the_brokers_packet_size_is_honoured(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(extra="max_packet_size 20000")
    with Agent(options(broker.url)) as agent:
        assert connected(agent)
        topic = agent.topic("mask")
        with pytest.raises(UndeliverableError, match=r"30,\d+ bytes and the broker takes at most 20,000"):
            agent.transport.publish(OutboxMessage("mqtt", "mask", topic, bytes(30_000)))
        assert agent.transport.publish(OutboxMessage("mqtt", "mask", topic, bytes(19_900))).wait(5)
        assert agent.transport.connected


def test_outgoing_messages_are_bounded(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with Agent(options(broker.url, max_outgoing=4)) as agent:
        assert connected(agent)
        assert broker.process is not None
        message = OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}")
        assert agent.transport.publish(message).wait(5)  # and so the birth before it
        broker.process.send_signal(19)  # SIGSTOP: connected, but silent
        try:
            tickets = [agent.transport.publish(message) for _ in range(4)]
            with pytest.raises(TransportError, match="4 messages wait"):
                agent.transport.publish(message)
            assert not tickets[0].wait(0.05)
        finally:
            broker.process.send_signal(18)
        assert all(ticket.wait(10) for ticket in tickets)


def test_more_messages_than_the_broker_takes_at_once(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(extra="max_inflight_messages 2")
    with Agent(options(broker.url, max_outgoing=200)) as agent:
        assert connected(agent)
        message = OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}")
        tickets = [agent.transport.publish(message) for _ in range(100)]
        assert all(ticket.wait(10) for ticket in tickets)
        assert agent.counters.get("mqtt_connections") == 1


def test_a_lost_connection_settles_the_tickets(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with Agent(options(broker.url)) as agent:
        assert connected(agent)
        assert broker.process is not None
        broker.process.send_signal(19)
        ticket = agent.transport.publish(OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}"))
        broker.stop(kill=True)
        assert not ticket.wait(15)
        assert not agent.transport.connected
