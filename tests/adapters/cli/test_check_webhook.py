"""``sightline check`` on webhooks: does the receiver connect, and what to do if it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.cli.checks import State, check_webhook
from agent.domain.errors import ConfigurationError
from config import Settings
from tests.fixtures.mosquitto import free_port
from tests.support.webhook_receiver import WebhookReceiver, webhook_receiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as running:
        yield running


def settings(url: str, **keys: Any) -> Settings:
    given = {"url": url, "allowed_addresses": ["127.0.0.1", "::1"], **keys}
    return Settings.model_validate({"webhooks": {"mes": given}})


def test_a_receiver_that_connects(receiver: WebhookReceiver, tmp_path: Path) -> None:
    key = tmp_path / "mes.key"
    key.write_text("0123456789abcdef")
    finding = check_webhook(settings(receiver.url("t0ken"), key_file=key), "mes")
    assert (finding.part, finding.state) == ("webhook mes", State.OK)
    sentence = "http://127.0.0.1 connects without encryption; ERROR, FAIL, alerts, signed"
    assert finding.detail == sentence
    finding = check_webhook(settings(receiver.url(), kinds=["alert"]), "mes")
    assert finding.detail == "http://127.0.0.1 connects without encryption; alerts, not signed"
    assert receiver.received == [], "nothing is posted"


def test_a_receiver_that_is_away_is_waited_for() -> None:
    finding = check_webhook(settings(f"http://127.0.0.1:{free_port()}/t0ken"), "mes")
    assert finding.state is State.WARNING
    assert "refused; until it answers, its messages wait in the database" in finding.detail
    assert "t0ken" not in finding.detail


def test_a_receiver_without_tls(receiver: WebhookReceiver) -> None:
    url = receiver.url().replace("http:", "https:")
    finding = check_webhook(settings(url, timeout="5s"), "mes")
    assert finding.state is State.WARNING
    assert finding.detail.startswith("webhook 'mes' at https://127.0.0.1 ")


def test_a_private_address_is_named_with_what_to_write(receiver: WebhookReceiver) -> None:
    named = settings(receiver.url(host="localhost"), allowed_addresses=[])
    finding = check_webhook(named, "mes")
    assert finding.state is State.FAILED
    assert "name that address or its network in webhooks.mes.allowed_addresses" in finding.detail
    with pytest.raises(ConfigurationError, match=r"webhooks\.mes\.allowed_addresses: \[127\.0\.0\.1\]"):
        check_webhook(settings(receiver.url(), allowed_addresses=[]), "mes")


def test_a_key_that_is_missing_is_named(receiver: WebhookReceiver) -> None:
    with pytest.raises(ConfigurationError, match=r"webhooks\.mes\.key_file: nowhere cannot be read"):
        check_webhook(settings(receiver.url(), key_file="nowhere"), "mes")
