"""WebhookSink: what each answer of a receiver means, from acknowledged to parked."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from adapters.http.hosts import AllowedHosts
from adapters.webhook.sink import MOST_REFUSED, PROBE_S, WebhookSink
from agent.domain.errors import TransportError
from agent.ports import Sink
from tests.adapters.webhook.conftest import Clock, message, sink
from tests.support.webhook_receiver import WebhookReceiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hook(receiver: WebhookReceiver, clock: Clock) -> WebhookSink:
    return sink(receiver.url("t0ken"), clock)


def probe(hook: WebhookSink) -> None:
    """As the publisher does: one message after the other until the sink answers that it is parked."""
    for body in bodies(10):
        try:
            ticket = hook.publish(message(body))
        except TransportError:
            return
        assert (ticket.failed, ticket.refused) == (True, None), "a probe counts against no message"
    pytest.fail("the probe did not end")


def bodies(count: int, start: int = 0) -> list[bytes]:
    return [b"message %d" % number for number in range(start, start + count)]


def test_an_accepted_message_is_acknowledged(hook: WebhookSink, receiver: WebhookReceiver) -> None:
    published: Sink = hook
    ticket = published.publish(message())
    assert (ticket.wait(0.0), ticket.failed, ticket.refused) == (True, False, None)
    assert receiver.bodies == [message().payload]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_later_is_not_a_refusal(hook: WebhookSink, receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    for body in bodies(5):
        with pytest.raises(TransportError, match=f"answers HTTP {status}$"):
            hook.publish(message(body))
    assert hook.parked is None
    receiver.status = 200
    assert hook.publish(message()).wait(0.0)


@pytest.mark.parametrize("manner", ["silent", "hang-up"])
def test_no_answer_is_not_a_refusal(receiver: WebhookReceiver, manner: str) -> None:
    hook = sink(receiver.url(), timeout_s=0.2 if manner == "silent" else 10.0)
    receiver.manner = manner
    for _ in range(MOST_REFUSED + 1):
        with pytest.raises(TransportError):
            hook.publish(message())
    assert hook.parked is None


@pytest.mark.parametrize(("asked", "pause"), [("20", 20.0), ("100000", 300.0)])
def test_a_receiver_that_asks_for_a_pause_gets_it(
    hook: WebhookSink, receiver: WebhookReceiver, clock: Clock, asked: str, pause: float
) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": asked}
    with pytest.raises(TransportError):
        hook.publish(message())
    receiver.status = 200
    clock.now += pause - 1.0
    with pytest.raises(TransportError, match="asked for a pause"):
        hook.publish(message())
    assert len(receiver.received) == 1
    clock.now += 1.0
    assert hook.publish(message()).wait(0.0)


def test_a_refused_message_stands_in_nobodys_way(hook: WebhookSink, receiver: WebhookReceiver) -> None:
    receiver.refuse = b"bad"
    for number in range(5):
        refused = hook.publish(message(b"bad"))
        assert (refused.wait(0.0), refused.failed, refused.refused) == (False, True, "HTTP 422")
        assert hook.publish(message(b"good %d" % number)).wait(0.0)
    assert hook.parked is None


def test_one_bad_message_alone_does_not_park(hook: WebhookSink, receiver: WebhookReceiver) -> None:
    receiver.refuse = b"bad"
    for _ in range(20):
        assert hook.publish(message(b"bad")).refused == "HTTP 422"
    assert hook.parked is None
    assert hook.publish(message(b"good")).wait(0.0)


@pytest.mark.parametrize("status", [400, 301, 401, 403, 404, 410])
def test_a_receiver_that_refuses_everything_is_parked(
    hook: WebhookSink, receiver: WebhookReceiver, status: int
) -> None:
    receiver.status = status
    for body in bodies(MOST_REFUSED):
        assert hook.parked is None
        assert hook.publish(message(body)).refused == f"HTTP {status}"
    assert hook.parked is not None
    assert hook.parked.startswith(f"webhook 'mes' at http://127.0.0.1 answers HTTP {status}; ")
    assert "t0ken" not in hook.parked
    with pytest.raises(TransportError, match=f"answers HTTP {status}"):
        hook.publish(message())
    assert len(receiver.received) == MOST_REFUSED, "a parked receiver is left alone"


def test_a_wrong_key_parks_also_where_there_is_one_message_only(
    hook: WebhookSink, receiver: WebhookReceiver
) -> None:
    receiver.status = 401
    for _ in range(MOST_REFUSED):
        hook.publish(message())
    assert hook.parked is not None
    assert hook.parked.endswith("put the URL or its key right")


@pytest.mark.parametrize("status", [403, 400])
def test_a_parked_receiver_is_asked_again_and_served_again(
    hook: WebhookSink, receiver: WebhookReceiver, clock: Clock, status: int
) -> None:
    receiver.status = status
    for body in bodies(MOST_REFUSED):
        hook.publish(message(body))
    for _ in range(3):
        before = len(receiver.received)
        clock.now += PROBE_S - 1.0
        with pytest.raises(TransportError):
            hook.publish(message())
        assert len(receiver.received) == before
        clock.now += 1.0
        probe(hook)
        assert hook.parked is not None
        assert len(receiver.received) - before == (1 if status == 403 else MOST_REFUSED)
    receiver.status = 200
    clock.now += PROBE_S
    assert hook.publish(message()).wait(0.0)
    assert hook.parked is None
    assert all(hook.publish(message(body)).wait(0.0) for body in bodies(5))


def test_a_probe_gets_past_a_bad_message(hook: WebhookSink, receiver: WebhookReceiver, clock: Clock) -> None:
    receiver.status = 400
    for body in (b"bad", b"a", b"b"):
        hook.publish(message(body))
    receiver.status, receiver.refuse = 200, b"bad"
    clock.now += PROBE_S
    assert hook.publish(message(b"bad")).refused is None
    assert hook.publish(message(b"a")).wait(0.0)
    assert hook.parked is None
    assert hook.publish(message(b"bad")).refused == "HTTP 422"


def test_a_probe_with_one_message_ends_by_itself(
    hook: WebhookSink, receiver: WebhookReceiver, clock: Clock
) -> None:
    receiver.status = 400
    for body in bodies(MOST_REFUSED):
        hook.publish(message(body))
    clock.now += PROBE_S
    assert hook.publish(message(b"alone")).failed
    with pytest.raises(TransportError):
        hook.publish(message(b"alone"))
    assert len(receiver.received) == MOST_REFUSED + 1


def test_a_probe_that_meets_nobody_is_repeated_soon(
    hook: WebhookSink, receiver: WebhookReceiver, clock: Clock
) -> None:
    receiver.status = 403
    for body in bodies(MOST_REFUSED):
        hook.publish(message(body))
    clock.now += PROBE_S
    receiver.status = 503
    with pytest.raises(TransportError):
        hook.publish(message())
    assert hook.parked is not None
    receiver.status = 200
    assert hook.publish(message()).wait(0.0)
    assert hook.parked is None


def test_an_address_that_is_not_allowed_parks_at_once(receiver: WebhookReceiver, clock: Clock) -> None:
    def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    hook = sink(receiver.url(host="mes.plant"), clock, hosts=AllowedHosts(), resolve=here)
    with pytest.raises(TransportError, match=r"leads to 127\.0\.0\.1"):
        hook.publish(message())
    assert hook.parked is not None
    assert "webhooks.mes.allowed_addresses" in hook.parked
    assert receiver.received == []


def test_an_absence_is_logged_once(
    hook: WebhookSink, receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 503
    with caplog.at_level(logging.INFO, logger="adapters.webhook"):
        for _ in range(5):
            with pytest.raises(TransportError):
                hook.publish(message())
        receiver.status = 200
        hook.publish(message())
        hook.publish(message())
    assert [record.getMessage() for record in caplog.records] == [
        "webhook 'mes' at http://127.0.0.1 answers HTTP 503; its messages stay in the outbox",
        "webhook 'mes' at http://127.0.0.1 answers again",
    ]


def test_a_closed_sink_may_be_used_again(hook: WebhookSink, receiver: WebhookReceiver) -> None:
    hook.publish(message())
    hook.close()
    assert hook.publish(message()).wait(0.0)
    assert len({one.connection for one in receiver.received}) == 2
