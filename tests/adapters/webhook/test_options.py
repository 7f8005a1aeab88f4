"""WebhookOptions: what is posted to which URL, and which URLs may be configured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.topics import Topics
from adapters.webhook.options import MessageFilter, WebhookOptions
from adapters.webhook.sink import configured_webhooks
from agent import __version__
from agent.domain.errors import ConfigurationError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.verdict import Verdict
from agent.ports import Sink
from config.sections.webhooks import WebhookSettings
from config.settings import Settings
from tests.adapters.messages.examples import CAMERA, NOW, delivery, inspection
from tests.adapters.webhook.conftest import sink

URL = "https://mes.example/hook/t0ken"
OTHER = Camera("factory", "line-2", "side")


def wanting(**more: Any) -> MessageFilter:
    return MessageFilter(**{name: frozenset(values) for name, values in more.items()})


def verdicts(wanted: MessageFilter, **more: Any) -> list[str]:
    messages = sink(URL, wanted=wanted).compose(inspection(**more), b"png", delivery())
    return [json.loads(one.payload)["verdict"] for one in messages]


def alerts(wanted: MessageFilter, camera: Camera = CAMERA, **more: Any) -> int:
    event = Event("drift", "scores rise", NOW, **{"camera": str(camera), **more})
    return len(sink(URL, wanted=wanted).compose_alert(event, camera))


def test_the_verdict_is_the_one_of_mqtt_byte_for_byte() -> None:
    (message,) = sink(URL).compose(inspection(), b"png", delivery(response_topic="plc/answer"))
    theirs, *_ = MqttMessageComposer(Topics("factory", "cell-7"), __version__).compose(
        inspection(), None, delivery()
    )
    assert message.payload == theirs.payload
    assert (message.sink, message.kind, message.destination) == ("webhook:mes", "verdict", "mes")
    assert message.content_type == "application/json"


def test_the_alert_is_the_one_of_mqtt_byte_for_byte() -> None:
    event = Event("drift", "scores rise", NOW, camera=str(CAMERA), sku="M8", severity="warning")
    (message,) = sink(URL).compose_alert(event, CAMERA)
    (theirs,) = MqttMessageComposer(Topics("factory", "cell-7"), __version__).compose_alert(event, CAMERA)
    assert message.payload == theirs.payload
    assert (message.sink, message.kind, message.destination) == ("webhook:mes", "alert", "mes")


def test_by_default_what_somebody_has_to_act_on_is_posted() -> None:
    posted = [one.value for one in Verdict if verdicts(MessageFilter(), verdict=one)]
    assert sorted(posted) == ["ERROR", "FAIL"]
    assert alerts(MessageFilter()) == 1


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (wanting(verdicts=["PASS"]), 0),
        (wanting(verdicts=["FAIL"]), 1),
        (wanting(kinds=["alert"]), 0),
        (wanting(skus=["M8", "M10"]), 1),
        (wanting(skus=["M10"]), 0),
        (wanting(cameras=["line-1/top"]), 1),
        (wanting(cameras=["line-2/side"]), 0),
    ],
)
def test_which_verdicts(wanted: MessageFilter, count: int) -> None:
    assert len(verdicts(wanted)) == count


def test_a_frame_without_sku_is_of_no_sku() -> None:
    assert verdicts(wanting(skus=["M8"]), sku=None) == []
    assert verdicts(MessageFilter(), sku=None) == ["FAIL"]


def test_verdicts_in_shadow_mode_say_so() -> None:
    (message,) = sink(URL).compose(inspection(shadow=True), None, delivery())
    assert json.loads(message.payload)["shadow"] is True


@pytest.mark.parametrize(
    ("wanted", "more", "count"),
    [
        (wanting(kinds=["verdict"]), {}, 0),
        (wanting(skus=["M8"]), {"sku": "M8"}, 1),
        (wanting(skus=["M8"]), {"sku": "M10"}, 0),
        (wanting(skus=["M8"]), {}, 1),
        (wanting(cameras=["line-1/top"]), {}, 1),
        (wanting(cameras=["line-1/top"]), {"camera": OTHER}, 0),
    ],
)
def test_which_alerts(wanted: MessageFilter, more: dict[str, Any], count: int) -> None:
    assert alerts(wanted, **more) == count


def test_alerts_of_the_agent_itself_pass_every_filter_of_cameras() -> None:
    event = Event("disk-full", "no space is left", NOW, severity="error")
    itself = Camera("factory", "sightline", "cell-7")
    assert len(sink(URL, wanted=wanting(cameras=["line-1/top"])).compose_alert(event, itself)) == 1


# ------------------------------------------------------------------------------------ configuration


def configured(**more: Any) -> WebhookOptions:
    return WebhookOptions.of("mes", WebhookSettings.model_validate({"url": URL, **more}))


def test_each_url_is_a_sink_of_its_own() -> None:
    webhooks = {"mes": {"url": URL, "skus": ["M8"]}, "andon": {"url": URL, "kinds": ["alert"]}}
    sinks: tuple[Sink, ...] = configured_webhooks(Settings.model_validate({"webhooks": webhooks}))
    assert [one.name for one in sinks] == ["webhook:mes", "webhook:andon"]
    assert [one.parked for one in sinks] == [None, None]
    found = [len(one.compose(inspection(), None, delivery())) for one in sinks]
    assert found == [1, 0]


@pytest.mark.parametrize("host", ["192.168.1.20:8080", "127.0.0.1", "[::1]:8080", "169.254.169.254"])
def test_a_private_address_has_to_be_listed(host: str) -> None:
    url = f"http://{host}/hook/t0ken"
    with pytest.raises(ConfigurationError, match="not a public address") as caught:
        configured(url=url)
    address = str(caught.value).partition("allowed_addresses: [")[2].removesuffix("]")
    assert address in url
    assert "t0ken" not in str(caught.value)
    assert configured(url=url, allowed_addresses=[address]).name == "mes"


def test_a_public_address_and_a_name_need_no_entry() -> None:
    assert configured(url="https://93.184.216.34/hook").wanted == MessageFilter()
    assert configured().sink == "webhook:mes"


def test_neither_token_nor_key_is_seen(tmp_path: Path) -> None:
    key = tmp_path / "mes.key"
    key.write_text("0123456789abcdef-secret\n")
    found = configured(url=f"{URL}?token=t0ken", key_file=key)
    assert found.key == b"0123456789abcdef-secret"
    for text in (repr(found), str(found), f"{replace(found, name='x')}"):
        assert "t0ken" not in text
        assert "secret" not in text
    assert str(found) == "webhook 'mes' at https://mes.example"


def test_certificates_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigurationError, match=r"webhooks\.mes\.ca_file: .* cannot be used: No such file"):
        configured(ca_file=file)
    file.write_text("nothing")
    with pytest.raises(ConfigurationError, match="PEM"):
        configured(ca_file=file)
