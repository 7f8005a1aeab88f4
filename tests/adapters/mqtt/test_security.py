"""Passwords and rights at a real broker: a refusal is never taken for a connection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.mqtt.options import BrokerOptions, Tls
from adapters.mqtt.publish_queue import PublishPacket
from agent.domain.errors import ConfigurationError, TransportError
from agent.ports import OutboxMessage
from tests.adapters.mqtt.helpers import Agent, options, plain_client, until
from tests.fixtures.mosquitto import Mosquitto, StartMosquitto, free_port, make_certificates

VERSIONS = ("5", "3.1.1")


def connected(agent: Agent) -> bool:
    return agent.transport.wait_connected(15)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_password_is_never_connected(start_mosquitto: StartMosquitto, version: str) -> None:
    broker = start_mosquitto(users={"agent": "right"})
    opts = options(broker.url, version=version, username="agent", password="wrong")
    seen: list[bool] = []

    def failed() -> str | None:
        seen.append(agent.transport.connected)
        return agent.transport.last_error

    with Agent(opts) as agent:
        assert until(failed)
        assert until(lambda: agent.counters.get("mqtt_connection_failures") >= 3)
        assert not any(seen)
        assert not agent.transport.connected
        assert "Not authorized" in (agent.transport.last_error or "")
        assert "wrong" not in (agent.transport.last_error or "")
        with pytest.raises(TransportError):
            agent.transport.publish(OutboxMessage("mqtt", "verdict", agent.topic("verdict"), b"{}"))
    assert "wrong" not in repr(opts)


def test_the_password_may_stand_in_a_file(start_mosquitto: StartMosquitto, tmp_path: Path) -> None:
    broker = start_mosquitto(users={"agent": "right"})
    file = tmp_path / "password"
    file.write_text("right\n")
    with Agent(options(broker.url, username="agent", password_file=file)) as agent:
        assert connected(agent), agent.transport.last_error


def test_tls_with_client_certificates(start_mosquitto: StartMosquitto, tmp_path: Path) -> None:
    made = make_certificates(tmp_path, require_client=True)
    broker = start_mosquitto(tls=made)
    good = options(broker.url, tls=Tls(made.ca, made.client_cert, made.client_key))
    with Agent(good) as agent:
        assert connected(agent), agent.transport.last_error
        with plain_client(broker.url, tls=good.tls) as (other, _):
            assert other.publish(PublishPacket(agent.topic(), bytes(300_000))).wait(5)
            assert until(lambda: agent.deliveries)
            assert len(agent.deliveries[0].payload) == 300_000
    with Agent(replace(good, tls=Tls(None))) as stranger:
        assert until(lambda: stranger.transport.last_error)
        assert "CERTIFICATE_VERIFY_FAILED" in (stranger.transport.last_error or "")
        assert not stranger.transport.connected


def test_the_name_in_the_certificate_may_go_unverified_but_not_who_signed_it(
    start_mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path, names="DNS:broker.example")
    broker = start_mosquitto(tls=made)
    for tls in (Tls(made.ca), Tls(None, verify_hostname=False)):
        with Agent(options(broker.url, tls=tls)) as refused:
            assert until(lambda: refused.counters.get("mqtt_connection_failures"))
            assert "CERTIFICATE_VERIFY_FAILED" in (refused.transport.last_error or "")
    with Agent(options(broker.url, tls=Tls(made.ca, verify_hostname=False))) as agent:
        assert connected(agent), agent.transport.last_error


def test_nobody_there() -> None:
    with Agent(options(f"mqtt://127.0.0.1:{free_port()}")) as agent:
        assert until(lambda: agent.counters.get("mqtt_connection_failures") >= 2)
        assert "refused" in (agent.transport.last_error or "")


def test_another_agent_with_our_client_id_is_named(mosquitto: Mosquitto) -> None:
    opts = options(mosquitto.url)
    with Agent(opts) as first, Agent(opts) as second:

        def named() -> bool:
            errors = (first.transport.last_error, second.transport.last_error)
            return any("give each its own" in (error or "") for error in errors)

        assert until(named)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"url": "http://x"}, "mqtt://"),
        ({"url": "mqtt://"}, "mqtt://"),
        ({"url": "mqtt://h:99999"}, "port"),
        ({"version": "4"}, "version"),
        ({"receive_maximum": 0}, "receive_maximum"),
        ({"max_outgoing": 0}, "max_outgoing"),
        ({"password_file": "/does/not/exist"}, "password_file"),
        ({"tls": Tls(cert=__file__)}, "belong together"),  # type: ignore[arg-type]
    ],
)
def test_unusable_options(given: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        BrokerOptions(**given)  # type: ignore[arg-type]


def test_user_and_password_in_the_url() -> None:
    assert BrokerOptions("mqtt://me:p%40ss@host").credentials() == ("me", "p@ss")
    assert BrokerOptions("mqtts://host").port == 8883
