"""The embedded broker: our transport through amqtt, from the fallback to the last message."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from adapters.mqtt.embedded_broker import EmbeddedBroker
from adapters.mqtt.publish_queue import PublishPacket
from agent.domain.errors import TransportError
from agent.ports import OutboxMessage
from tests.adapters.mqtt.helpers import Agent, options, plain_client, until


@pytest.fixture(scope="module")
def broker() -> Iterator[Any]:
    with EmbeddedBroker() as one:
        yield one


def test_it_listens_on_the_loopback_interface_only(broker: EmbeddedBroker) -> None:
    assert broker.url == f"mqtt://sightline@127.0.0.1:{broker.port}"


def test_auto_falls_back_at_once(broker: EmbeddedBroker) -> None:
    with Agent(options(broker.url, connect_timeout_s=5.0)) as agent:
        # The refusal is an answer: were it the time-out, this would take the whole five seconds.
        assert agent.transport.wait_connected(4)
        assert agent.transport.version == "3.1.1"
        assert agent.counters.get("mqtt_connection_failures") == 0


def test_many_large_frames_each_exactly_once(broker: EmbeddedBroker) -> None:
    count, image = 120, bytes(100_000)
    with Agent(options(broker.url, receive_maximum=16)) as agent:
        assert agent.transport.wait_connected(10)
        done = threading.Event()

        def acknowledge() -> None:
            position = 0
            while not done.is_set():
                while position < len(agent.deliveries):
                    agent.deliveries[position].acknowledge()
                    position += 1
                time.sleep(0.001)

        thread = threading.Thread(target=acknowledge)
        thread.start()
        with plain_client(broker.url, version="3.1.1") as (camera, _):
            tickets = [
                camera.publish(PublishPacket(agent.topic(), n.to_bytes(4, "big") + image))
                for n in range(count)
            ]
            assert all(ticket.wait(10) for ticket in tickets)
            assert until(lambda: len(agent.deliveries) >= count)
        done.set()
        thread.join()
        assert [int.from_bytes(one.payload[:4], "big") for one in agent.deliveries] == list(range(count))


def test_a_slow_agent_gets_no_more_than_its_limit(broker: EmbeddedBroker) -> None:
    with Agent(options(broker.url, receive_maximum=4)) as agent:
        assert agent.transport.wait_connected(10)
        with plain_client(broker.url, version="3.1.1") as (camera, _):
            tickets = [camera.publish(PublishPacket(agent.topic(), b"%d" % n)) for n in range(40)]
            assert all(ticket.wait(10) for ticket in tickets)
            for number in range(40):
                assert until(partial(agent.has, number + 1))
                assert agent.transport.unacknowledged <= 5
                agent.deliveries[number].acknowledge()


def test_retained_job_will_and_stopped(broker: EmbeddedBroker) -> None:
    # amqtt waits for acknowledgements before it answers the next SUBSCRIBE of a session.
    with Agent(options(broker.url), prompt=True) as agent:
        assert agent.transport.wait_connected(10)
        with plain_client(broker.url, agent.topics.status, version="3.1.1") as (other, seen):
            assert other.publish(PublishPacket(agent.topic("sku"), b'{"sku": "A"}', retain=True)).wait(5)
            assert until(lambda: agent.deliveries)
            assert until(lambda: len(seen) >= 2)  # the second names the camera
            agent.sever()
            assert until(lambda: len(seen) >= 4)
            statuses = [json.loads(one.payload)["status"] for one in seen]
            assert statuses[:4] == ["online", "online", "offline", "online"]
            assert until(lambda: agent.transport.connected)
            agent.transport.stop()
            assert until(lambda: len(seen) >= 5)
            assert json.loads(seen[4].payload)["status"] == "stopped"
    with Agent(options(broker.url), agent.topics.site, prompt=True) as later:
        assert until(lambda: later.deliveries)
        assert later.deliveries[0].retained


def test_a_goodbye_is_never_taken_for_a_death(broker: EmbeddedBroker) -> None:
    with plain_client(broker.url, "+/sightline/+/status", version="3.1.1") as (_, seen):
        for _ in range(5):
            with Agent(options(broker.url)) as agent:
                assert agent.transport.wait_connected(10)
        assert until(lambda: sum(json.loads(one.payload)["status"] == "stopped" for one in seen) >= 5)
        mine = [json.loads(one.payload)["status"] for one in seen if not one.retain]
        assert "offline" not in mine


def test_frames_sent_while_the_agent_is_away_are_kept(broker: EmbeddedBroker) -> None:
    opts = options(broker.url)
    with Agent(opts) as before:
        assert before.transport.wait_connected(10)
    with plain_client(broker.url, version="3.1.1") as (camera, _):
        assert camera.publish(PublishPacket(before.topic(), b"while away")).wait(5)
    with Agent(opts, before.topics.site, prompt=True) as after:
        assert until(lambda: after.deliveries)
        assert after.transport.wait_connected(10)


def test_stopping_ends_its_thread_and_its_port() -> None:
    broker = EmbeddedBroker().start()
    agent = Agent(options(broker.url))
    with agent:
        assert agent.transport.wait_connected(10)
        broker.stop()
        assert until(lambda: not agent.transport.connected)
        assert not any(
            thread.name == "embedded-broker" and thread.is_alive() for thread in [broker._thread] if thread
        )
        with pytest.raises(TransportError):
            agent.transport.publish(OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b""))


def test_a_taken_port_is_an_error(broker: EmbeddedBroker) -> None:
    with pytest.raises(TransportError, match="did not start"):
        EmbeddedBroker(broker.port).start()
