"""A receiver, and a sink that posts to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.http.connection import HttpUrl
from adapters.http.hosts import AllowedHosts
from adapters.webhook.options import WebhookOptions
from adapters.webhook.sink import WebhookSink
from agent.ports import OutboxMessage
from tests.support.webhook_receiver import WebhookReceiver, webhook_receiver

LOCAL = AllowedHosts(["127.0.0.1"])


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def options(url: str, **more: Any) -> WebhookOptions:
    return WebhookOptions("mes", HttpUrl.parse(url, "URL"), **{"hosts": LOCAL, **more})


def sink(url: str, clock: Clock | None = None, **more: Any) -> WebhookSink:
    given = {name: more.pop(name) for name in ("resolve", "probe_s") if name in more}
    return WebhookSink(options(url, **more), "cell-7", monotonic=clock or Clock(), **given)


def message(body: bytes = b'{"n": 1}') -> OutboxMessage:
    return OutboxMessage("webhook:mes", "verdict", "mes", body)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as running:
        yield running
