"""MqttMessageComposer, JsonCommandParser and MqttReplier: messages out, commands in, replies."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from adapters.images.bounded_json import as_utf8, load_object
from adapters.messages.outgoing import (
    AgentMessage,
    AlertMessage,
    MaskMessage,
    Time,
    VerdictMessage,
)
from adapters.mqtt.codec import Identifier, OptionalIdentifier, first_error
from adapters.mqtt.topics import Topics, check_response_topic
from agent.domain.errors import MessageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery
from agent.domain.inspection import Inspection
from agent.domain.names import clean_name
from agent.domain.regions import Polygon, polygon_of
from agent.domain.verdict import Verdict
from agent.ports import OutboxMessage
from agent.ports.commands import Answer, Command, CommandError
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)


SINK = "mqtt"
"""The name of the broker as a sink; it stands in the outbox."""


class MqttMessageComposer:
    """Verdict, mask and alert of an inspection; alerts about events."""

    def __init__(self, topics: Topics, version: str, counters: Counters | None = None) -> None:
        self._topics = topics
        self._agent = AgentMessage(id=topics.agent, version=version)
        self._counters = counters if counters is not None else Counters()

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        """Verdict, mask if there is one, alert if it FAILed and shadow mode is off, and the verdict once
        more on the delivery's response topic if it names one."""
        camera = inspection.identity.camera
        body = VerdictMessage.of(inspection, self._agent).encode()
        messages = [self._message("verdict", camera, body)]
        if mask_png is not None and inspection.size is not None:
            mask = MaskMessage.of(inspection, mask_png, inspection.size)
            messages.append(self._message("mask", camera, mask.encode()))
        if inspection.verdict == Verdict.FAIL and not inspection.shadow:
            messages.append(self._message("alert", camera, AlertMessage.of(inspection).encode()))
        if delivery.response_topic is not None:
            fields = about(inspection.identity, sku=inspection.sku, inspection_id=inspection.inspection_id)
            topic = _response_topic(delivery, self._topics, self._counters, fields)
            if topic is not None:
                correlation = delivery.correlation_data
                messages.append(OutboxMessage(SINK, "verdict", topic, body, correlation_data=correlation))
        return tuple(messages)

    def compose_alert(self, event: Event, camera: Camera) -> tuple[OutboxMessage, ...]:
        """An alert that does not belong to one inspection: ``burst``, ``drift``, ``gap``, ``silent``."""
        return (self._message("alert", camera, AlertMessage.about(event, camera).encode()),)

    def _message(self, kind: str, camera: Camera, body: bytes) -> OutboxMessage:
        return OutboxMessage(SINK, kind, self._topics.build(kind, camera), body)


def _response_topic(
    delivery: Delivery, topics: Topics, counters: Counters, fields: Mapping[str, Any]
) -> str | None:
    """The sender's response topic; None if it would be refused or come back to this agent."""
    topic = delivery.response_topic
    if topic is None:
        return None
    try:
        check_response_topic(topic)
        if topics.covers(topic):
            raise ValueError(f"the response topic {topic[:80]!r} is one that this agent listens to")
    except ValueError as error:
        counters.add("mqtt_response_topics_refused")
        logger.warning("the asked response topic is not used: %s", error, extra=fields)
        return None
    return topic


Version = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
"""As the column of the history."""
Score = Annotated[float, Field(strict=True, allow_inf_nan=False)]
MOST_FRAMES = 200
"""Frames in one command that adds references."""
MAX_BYTES = 512 * 1024
"""Longest command in bytes; a recipe with hundreds of prompts has a tenth of it."""


class _Command(BaseModel):
    """Unlike a camera's messages, a command with an unknown key is refused: a typing error in ``activate``
    must not do the opposite of what was meant."""

    model_config = ConfigDict(extra="forbid")

    request_id: OptionalIdentifier = None


class ListCommand(_Command):
    """All versions of one SKU or of all."""

    command: Literal["recipe.list"]
    sku: OptionalIdentifier = None


class ShowCommand(_Command):
    """One version, by default the active one."""

    command: Literal["recipe.show"]
    sku: Identifier
    version: Version | None = None


class ActivateCommand(_Command):
    """Inspect with a version from the next batch on."""

    command: Literal["recipe.activate"]
    sku: Identifier
    version: Version


class ExportCommand(_Command):
    """One version as YAML, without images."""

    command: Literal["recipe.export"]
    sku: Identifier
    version: Version | None = None


class ImportCommand(_Command):
    """A new version from YAML. Images do not travel by MQTT: references have to be known here."""

    command: Literal["recipe.import"]
    recipe: Annotated[str, Field(min_length=1, max_length=MAX_BYTES)]
    sku: OptionalIdentifier = None
    activate: StrictBool = True


class CommissionCommand(_Command):
    """Declare the first frames of a product good, also before they come: they become its references."""

    command: Literal["recipe.commission"]
    sku: Identifier
    frames: Annotated[StrictInt, Field(ge=1, le=1000)] | None = None
    cancel: StrictBool = False


class CommissionsCommand(_Command):
    """How far the products are whose first frames are still to come."""

    command: Literal["recipe.commissions"]
    sku: OptionalIdentifier = None


class ThresholdCommand(_Command):
    """Inspect with another threshold from the next batch on."""

    command: Literal["recipe.threshold"]
    sku: Identifier
    threshold: Score
    review: Score | None = None
    by: OptionalIdentifier = None


class AddReferenceCommand(_Command):
    """Declare inspected frames good: they become references of the next version."""

    command: Literal["recipe.add-reference"]
    sku: Identifier
    frame_ids: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=MOST_FRAMES)]
    camera: OptionalIdentifier = None
    by: OptionalIdentifier = None


def _polygon(value: Any) -> Polygon:
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        raise ValueError("should be a list of numbers: x, y, width, height")
    return polygon_of(numbers)


Region = Annotated[Polygon, BeforeValidator(_polygon)]


class RegionCommand(_Command):
    """Add inspected and ignored regions to a recipe, or replace its own with them: the next version."""

    command: Literal["recipe.region"]
    sku: Identifier
    inspect: tuple[Region, ...] = ()
    ignore: tuple[Region, ...] = ()
    clear: StrictBool = False


COMMANDS: Mapping[str, type[_Command]] = {
    "recipe.list": ListCommand,
    "recipe.show": ShowCommand,
    "recipe.activate": ActivateCommand,
    "recipe.export": ExportCommand,
    "recipe.import": ImportCommand,
    "recipe.commission": CommissionCommand,
    "recipe.threshold": ThresholdCommand,
    "recipe.add-reference": AddReferenceCommand,
    "recipe.commissions": CommissionsCommand,
    "recipe.region": RegionCommand,
}


class JsonCommandParser:
    """Parses commands from JSON. Whatever comes, it raises only CommandError."""

    def command(self, delivery: Delivery) -> Command:
        """Raises CommandError."""
        if len(delivery.payload) > MAX_BYTES:
            raise CommandError(
                f"the command has {len(delivery.payload):,} bytes, at most {MAX_BYTES:,} are read"
            )
        try:
            content = load_object(as_utf8(delivery.payload))
        except MessageError as error:
            raise CommandError(str(error)) from None
        name, asked = content.get("command"), _request_id(content)
        model = COMMANDS.get(name) if isinstance(name, str) else None
        if model is None:
            shown = repr(name)[:60] if name is not None else "without a name"
            known = ", ".join(COMMANDS)
            raise CommandError(f"there is no command {shown}; known are {known}", request_id=asked)
        try:
            found = model.model_validate(content).model_dump()
        except ValidationError as error:
            raise CommandError(
                f"{name} is unusable: {first_error(error)}", name=str(name), request_id=asked
            ) from None
        return Command(name=found.pop("command"), **found)


def _request_id(content: Mapping[str, Any]) -> str | None:
    """The command's id for the answer, if it can be read."""
    found = content.get("request_id")
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    try:
        return clean_name(str(found)) or None
    except ValueError:
        return None


class ReplyMessage(BaseModel):
    """The result of one command."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["sightline.reply/1"] = Field(default="sightline.reply/1", alias="schema")
    command: str | None = Field(description="null where the message named none that is known")
    request_id: str | None
    ok: bool
    result: dict[str, Any] | None = Field(description="what was asked for; null where it failed")
    error: str | None = Field(description="what went wrong, a sentence")
    agent: AgentMessage
    at: Time


class MqttReplier:
    """Answers on the response topic of MQTT 5, else on the agent's reply topic."""

    def __init__(self, topics: Topics, version: str, counters: Counters | None = None) -> None:
        self._topics = topics
        self._agent = AgentMessage(id=topics.agent, version=version)
        self._counters = counters if counters is not None else Counters()

    def reply(self, delivery: Delivery, answer: Answer) -> OutboxMessage:
        topic = _response_topic(delivery, self._topics, self._counters, {}) or self._topics.reply
        body = ReplyMessage(
            command=answer.command,
            request_id=answer.request_id,
            ok=answer.error is None,
            result=None if answer.result is None else dict(answer.result),
            error=answer.error,
            agent=self._agent,
            at=_now(delivery.received_at),
        )
        payload = body.model_dump_json(by_alias=True).encode()
        return OutboxMessage(SINK, "reply", topic, payload, correlation_data=delivery.correlation_data)


def _now(received: datetime) -> datetime:
    """When the answer was written; a clock that was set back does not make it older than the question."""
    return max(received, datetime.now(received.tzinfo))
