"""WebhookSink: verdicts and alerts posted to one configured URL."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from adapters.http.connection import Resolve
from adapters.messages.outgoing import AgentMessage, AlertMessage, VerdictMessage
from adapters.webhook.client import ForbiddenAddressError, WebhookClient, message_id
from adapters.webhook.options import WebhookOptions
from agent import __version__
from agent.domain.errors import TransportError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery
from agent.domain.inspection import Inspection
from agent.ports.sinks import OutboxMessage, SinkPolicy
from config import Settings

logger = logging.getLogger(__name__)

PROBE_S = 900.0
"""How often a parked receiver is asked again."""
MOST_REFUSED = 3
"""This many refusals with nothing accepted between them are due to the receiver, not the messages."""
LONGEST_RETRY_AFTER_S = 300.0

_TEMPORARY = frozenset({408, 425, 429})
"""Statuses below 500 that mean "later"."""
_OF_ONE_MESSAGE = frozenset({400, 406, 409, 411, 412, 413, 415, 417, 422, 431})
"""Statuses that may concern this message only, and not the URL or the key."""
_POLICY = SinkPolicy(longest_pause_s=30.0, most_refusals=20)
"""Twenty refusals of one message take about an hour."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The ticket of a post that has ended."""

    acknowledged: bool
    refused: str | None = None

    @property
    def failed(self) -> bool:
        return not self.acknowledged

    def wait(self, timeout_s: float) -> bool:
        """Returns at once: the answer is there."""
        return self.acknowledged


class WebhookSink:
    """Posts the verdicts and alerts that one URL wants.

    2xx acknowledges. 408, 425, 429, 5xx, timeouts and broken connections are temporary. Everything else
    refuses the message. A receiver that refuses :data:`MOST_REFUSED` times, without accepting anything in
    between, is parked: its messages stay in the outbox, and every ``probe_s`` it is asked again with up to
    as many different messages, none of which is counted as refused. Refusals that may be about the message
    alone park only if they are of different messages.
    """

    policy = _POLICY

    def __init__(
        self,
        options: WebhookOptions,
        agent_id: str,
        *,
        probe_s: float = PROBE_S,
        resolve: Resolve | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``agent_id``: named in each verdict."""
        self._options = options
        self._agent = AgentMessage(id=agent_id, version=__version__)
        self._client = WebhookClient(options, resolve=resolve)
        self._probe_s = probe_s
        self._monotonic = monotonic
        self._parked: str | None = None
        self._not_before = 0.0
        """When the receiver may be asked again: it is parked, or asked for a pause."""
        self._refusals: set[tuple[str, int]] = set()
        """Refusals since it last accepted a message, or since this probe began."""
        self._away = False

    @property
    def name(self) -> str:
        return self._options.sink

    @property
    def parked(self) -> str | None:
        return self._parked

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        """The verdict, byte for byte as on MQTT, if it is wanted. Masks are not posted."""
        if not self._options.wanted.wants_verdict(inspection):
            return ()
        return (self._message("verdict", VerdictMessage.of(inspection, self._agent).encode()),)

    def compose_alert(self, event: Event, camera: Camera) -> tuple[OutboxMessage, ...]:
        if not self._options.wanted.wants_alert(event, camera):
            return ()
        return (self._message("alert", AlertMessage.about(event, camera).encode()),)

    def publish(self, message: OutboxMessage) -> Outcome:
        """Post and wait for the answer, in the thread that calls.

        Raises:
            TransportError: no answer came, the answer is "later", or the receiver is parked.
        """
        if self._monotonic() < self._not_before:
            raise TransportError(self._parked or f"{self._options} asked for a pause")
        if self._parked is not None and (message_id(message), 0) in self._refusals:
            raise self._still_parked()  # nothing else is there to ask with
        try:
            answer = self._client.post(message)
        except ForbiddenAddressError as error:
            self._park(str(error))
            raise
        except TransportError as error:
            self._log_absence(str(error))
            raise
        status = answer.status
        if 200 <= status < 300:
            self._served()
            return Outcome(acknowledged=True)
        if status in _TEMPORARY or status >= 500:
            if answer.retry_after_s is not None:
                self._not_before = self._monotonic() + min(answer.retry_after_s, LONGEST_RETRY_AFTER_S)
            sentence = f"{self._options} answers HTTP {status}"
            self._log_absence(sentence)
            raise TransportError(sentence)
        return self._refused(message, status)

    def close(self) -> None:
        """Close the connection. Call it when the publisher has ended."""
        self._client.close()

    def _message(self, kind: str, body: bytes) -> OutboxMessage:
        return OutboxMessage(self.name, kind, self._options.name, body)

    def _served(self) -> None:
        if self._away:
            logger.info("%s answers again", self._options)
        self._away = False
        self._parked = None
        self._refusals.clear()

    def _refused(self, message: OutboxMessage, status: int) -> Outcome:
        of_one = status in _OF_ONE_MESSAGE
        self._refusals.add((message_id(message), 0 if of_one else 1 + len(self._refusals)))
        probing = self._parked is not None
        if len(self._refusals) >= MOST_REFUSED or (probing and not of_one):
            self._park(f"{self._options} answers HTTP {status}; {_remedy(status)}")
            if probing:
                raise self._still_parked()
        # A refusal in a probe counts neither as acknowledged nor as refused: the next message is tried.
        return Outcome(acknowledged=False, refused=None if probing else f"HTTP {status}")

    def _park(self, sentence: str) -> None:
        self._parked = sentence
        self._not_before = self._monotonic() + self._probe_s
        self._refusals.clear()

    def _still_parked(self) -> TransportError:
        """End a probe without success."""
        sentence = self._parked or ""
        self._park(sentence)
        return TransportError(sentence)

    def _log_absence(self, sentence: str) -> None:
        """Log once that the receiver is away, until it answers again."""
        level = logging.DEBUG if self._away else logging.WARNING
        logger.log(level, "%s; its messages stay in the outbox", sentence)
        self._away = True


def configured_webhooks(settings: Settings) -> tuple[WebhookSink, ...]:
    """The sinks of the section ``webhooks``. Raises ConfigurationError."""
    return tuple(
        WebhookSink(WebhookOptions.of(name, section), settings.agent.id)
        for name, section in settings.webhooks.items()
    )


def _remedy(status: int) -> str:
    if status < 400:
        return "redirects are not followed: write the URL that it leads to"
    if status in _OF_ONE_MESSAGE:
        return "look at the receiver's log for what it does not like about the messages"
    return "put the URL or its key right"
