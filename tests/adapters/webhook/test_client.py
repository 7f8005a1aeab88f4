"""WebhookClient: a message is posted signed, within one time limit, over a connection that stays open."""

from __future__ import annotations

import hashlib
import hmac
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.http.hosts import AllowedHosts
from adapters.webhook.client import ForbiddenAddressError, WebhookClient
from agent import __version__
from agent.domain.errors import TransportError
from tests.adapters.webhook.conftest import LOCAL, message, options
from tests.fixtures.mosquitto import free_port, make_certificates
from tests.support.webhook_receiver import Received, WebhookReceiver, webhook_receiver

KEY = b"0123456789abcdef"


def verify(received: Received, key: bytes, now: float) -> bool:
    """As docs/messages.md shows it to receivers."""
    parts = dict(part.split("=", 1) for part in received.headers["sightline-signature"].split(","))
    expected = hmac.new(key, parts["t"].encode() + b"." + received.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(now - int(parts["t"])) < 300


def here(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def test_what_is_posted(receiver: WebhookReceiver) -> None:
    client = WebhookClient(options(receiver.url("hook?key=a b")), clock=lambda: 1764410000.9)
    body = '{"reason": "größer"}'.encode()
    assert client.post(message(body)).status == 200
    (one,) = receiver.received
    assert (one.path, one.body) == ("/hook?key=a%20b", body)
    assert one.headers["content-type"] == "application/json"
    assert one.headers["user-agent"] == f"sightline/{__version__}"
    assert one.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert one.headers["sightline-timestamp"] == "1764410000"
    assert "sightline-signature" not in one.headers


def test_the_signature_is_what_a_receiver_computes(receiver: WebhookReceiver) -> None:
    client = WebhookClient(options(receiver.url(), key=KEY), clock=lambda: 1764410000.0)
    client.post(message())
    (one,) = receiver.received
    assert verify(one, KEY, 1764410001.0)
    assert not verify(one, KEY, 1764420000.0), "an old message that somebody sends again"
    assert not verify(one, b"another secret of 23 b", 1764410001.0)


def test_the_message_id_is_the_same_at_each_attempt_and_another_for_another_message(
    receiver: WebhookReceiver,
) -> None:
    for body in (b"a", b"a", b"b"):
        WebhookClient(options(receiver.url())).post(message(body))
    first, again, other = (one.headers["sightline-message-id"] for one in receiver.received)
    assert first == again != other
    assert len(first) == 32


def test_messages_share_a_connection(receiver: WebhookReceiver) -> None:
    client = WebhookClient(options(receiver.url()))
    for number in range(5):
        client.post(message(b"%d" % number))
    assert len({one.connection for one in receiver.received}) == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_again(receiver: WebhookReceiver) -> None:
    client = WebhookClient(options(receiver.url()))
    receiver.manner = "close"
    for number in range(5):
        assert client.post(message(b"%d" % number)).status == 200
    assert len({one.connection for one in receiver.received}) == 5
    assert set(receiver.bodies) == {b"0", b"1", b"2", b"3", b"4"}


def test_a_receiver_that_was_started_again_is_found() -> None:
    with webhook_receiver() as first:
        client = WebhookClient(options(first.url()))
        client.post(message())
        port = first.port
    with pytest.raises(TransportError):
        client.post(message())
    with webhook_receiver(port=port) as second:
        assert client.post(message()).status == 200
        assert len(second.received) == 1


@pytest.mark.parametrize("status", [200, 202, 204, 301, 404, 500, 503])
def test_the_answer_is_returned_whatever_it_is(receiver: WebhookReceiver, status: int) -> None:
    receiver.status, receiver.headers = status, {"Location": receiver.url("elsewhere"), "Retry-After": "7"}
    answer = WebhookClient(options(receiver.url())).post(message())
    assert (answer.status, answer.retry_after_s) == (status, 7.0)
    assert [one.path for one in receiver.received] == ["/hook"], "redirects are not followed"


@pytest.mark.parametrize("value", ["soon", "-1", "", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400])
def test_pauses_that_are_none(receiver: WebhookReceiver, value: str) -> None:
    receiver.headers = {"Retry-After": value}
    assert WebhookClient(options(receiver.url())).post(message()).retry_after_s is None


@pytest.mark.parametrize(
    ("manner", "word"), [("silent", "did not answer within 0.3 s"), ("hang-up", "cannot be reached")]
)
def test_receivers_that_misbehave(receiver: WebhookReceiver, manner: str, word: str) -> None:
    receiver.manner = manner
    client = WebhookClient(options(receiver.url("t0ken"), timeout_s=0.3 if manner == "silent" else 10.0))
    with pytest.raises(TransportError, match=word) as caught:
        client.post(message())
    assert str(caught.value).startswith("webhook 'mes' at http://127.0.0.1 ")
    assert "t0ken" not in str(caught.value)
    receiver.manner = "answer"
    assert client.post(message()).status == 200


def test_a_receiver_that_is_down() -> None:
    client = WebhookClient(options(f"http://127.0.0.1:{free_port()}/hook"))
    for use in (lambda: client.post(message()), client.connect):
        with pytest.raises(TransportError, match=r"cannot be reached: .*refused"):
            use()


def test_a_name_needs_its_private_address_listed(receiver: WebhookReceiver) -> None:
    url = receiver.url("t0ken", "mes.plant")
    client = WebhookClient(options(url, hosts=AllowedHosts()), resolve=here)
    for use in (lambda: client.post(message()), client.connect):
        with pytest.raises(ForbiddenAddressError, match=r"name that address .* webhooks\.mes\.allowed_addr"):
            use()
    assert receiver.received == []
    assert WebhookClient(options(url), resolve=here).post(message()).status == 200


def test_a_name_that_means_nothing() -> None:
    def nowhere(_host: str, _port: int) -> Sequence[str]:
        raise OSError

    client = WebhookClient(options("http://mes.plant/hook"), resolve=nowhere)
    with pytest.raises(TransportError, match=r"the host mes\.plant has no address"):
        client.post(message())


def test_looking_connects_and_posts_nothing(receiver: WebhookReceiver) -> None:
    WebhookClient(options(receiver.url())).connect()
    assert receiver.received == []


def test_by_tls_with_a_certificate_authority_of_the_plant(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, names="DNS:mes.plant")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(made.server_cert, made.server_key)
    trusting = ssl.create_default_context(cafile=str(made.ca))
    with webhook_receiver(serving) as receiver:
        url, other = (receiver.url(host=host) for host in ("mes.plant", "other.plant"))
        client = WebhookClient(options(url, trusted=trusting), resolve=here)
        client.connect()
        assert client.post(message()).status == 200
        for stranger in (options(url), options(other, trusted=trusting)):
            with pytest.raises(TransportError, match="certificate verify failed"):
                WebhookClient(stranger, resolve=here).post(message())
        assert len(receiver.received) == 1


def test_neither_key_nor_token_is_logged(receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = WebhookClient(options(receiver.url("t0ken?key=t0ken"), key=KEY, hosts=LOCAL))
        client.post(message())
        receiver.manner = "hang-up"
        with pytest.raises(TransportError):
            client.post(message())
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("adapters"))
    assert "t0ken" not in ours
    assert KEY.decode() not in caplog.text
