"""What docs/messages.md shows about webhooks is true."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from pathlib import Path
from typing import Any

from adapters.webhook.client import WebhookClient
from adapters.webhook.options import WebhookOptions
from config import load
from tests.adapters.webhook.conftest import message, options
from tests.support.webhook_receiver import WebhookReceiver

SECTION = (
    (Path(__file__).parents[3] / "docs" / "messages.md")
    .read_text()
    .split("\n## Webhooks\n")[1]
    .split("\n## ")[0]
)
KEY = b"0123456789abcdef"


def shown(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", SECTION, flags=re.DOTALL)
    return str(block)


def test_the_configuration_can_be_loaded(tmp_path: Path) -> None:
    key, file = tmp_path / "mes.key", tmp_path / "sightline.yaml"
    key.write_bytes(KEY)
    file.write_text(shown("yaml").replace("/etc/sightline/mes.key", str(key), 1))
    webhooks = load(file).settings.webhooks
    mes, andon = (WebhookOptions.of(name, webhooks[name]) for name in ("mes", "andon"))
    assert mes.key == KEY
    assert sorted(mes.wanted.verdicts) == ["ERROR", "FAIL"]
    assert andon.wanted.cameras == {"line-1/cam-1"}


def test_a_receiver_can_verify_who_sent_a_message(receiver: WebhookReceiver) -> None:
    names: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib, "time": time}
    exec(shown("python"), names)  # noqa: S102 - our own document
    is_genuine = names["is_genuine"]
    WebhookClient(options(receiver.url(), key=KEY)).post(message())
    (one,) = receiver.received
    headers = {"Sightline-Signature": one.headers["sightline-signature"]}
    assert is_genuine(headers, one.body, KEY)
    assert not is_genuine(headers, one.body + b" ", KEY)
    assert not is_genuine(headers, one.body, b"another key, 19 byt")
    WebhookClient(options(receiver.url(), key=KEY), clock=lambda: time.time() - 3600).post(message())
    old = receiver.received[-1]
    assert not is_genuine({"Sightline-Signature": old.headers["sightline-signature"]}, old.body, KEY)
