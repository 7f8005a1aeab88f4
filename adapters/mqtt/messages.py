"""Inspections as messages (agent.ports.Announcer)."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from adapters.images.bounded_json import load_object
from adapters.mqtt.codec import (
    AgentMessage,
    AlertMessage,
    DefectMessage,
    Identifier,
    MaskMessage,
    OptionalIdentifier,
    Time,
    VerdictMessage,
    first_error,
    outgoing_schema,
)
from adapters.mqtt.topics import Topics, check_response_topic
from agent.domain.errors import MessageError
from agent.domain.frame import Camera, Delivery
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.ports import OutboxMessage
from agent.ports.commands import Answer, Command, CommandError
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)


class MqttMessageComposer:
    """Verdict, mask and alert of an inspection."""

    def __init__(self, topics: Topics, version: str, counters: Counters | None = None) -> None:
        self._topics = topics
        self._agent = AgentMessage(id=topics.agent, version=version)
        self._counters = counters if counters is not None else Counters()

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        """Verdict, mask where there is one, alert where it FAILed and shadow mode is off, and the
        verdict once more on the delivery's response topic where it names one."""
        camera = inspection.identity.camera
        body = VerdictMessage.of(inspection, self._agent).encode()
        messages = [OutboxMessage("verdict", self._topics.build("verdict", camera), body)]
        if mask_png is not None and inspection.size is not None:
            messages.append(self._mask(inspection, mask_png, inspection.size))
        if inspection.verdict == Verdict.FAIL and not inspection.shadow:
            messages.append(self._fail(inspection))
        if delivery.response_topic is not None:
            messages.extend(self._response(inspection, delivery, body))
        return tuple(messages)

    def alert(
        self,
        camera: Camera,
        kind: str,
        reason: str,
        at: datetime,
        *,
        severity: str = "warning",
        sku: str | None = None,
    ) -> OutboxMessage:
        """An alert that is no single inspection's: ``burst``, ``drift``, ``gap`` or ``silent``."""
        message = AlertMessage.model_validate(
            {
                "kind": kind,
                "severity": severity,
                "camera": str(camera),
                "sku": sku,
                "reason": reason,
                "at": at,
            }
        )
        return OutboxMessage("alert", self._topics.build("alert", camera), message.encode())

    def _mask(self, inspection: Inspection, png: bytes, size: tuple[int, int]) -> OutboxMessage:
        message = MaskMessage(
            inspection_id=inspection.inspection_id,
            frame_id=inspection.identity.frame_id,
            width=size[0],
            height=size[1],
            png=base64.b64encode(png).decode("ascii"),
        )
        return OutboxMessage("mask", self._topics.build("mask", inspection.identity.camera), message.encode())

    def _fail(self, inspection: Inspection) -> OutboxMessage:
        camera = inspection.identity.camera
        message = AlertMessage(
            kind="fail",
            severity="error",
            camera=str(camera),
            sku=inspection.sku,
            inspection_id=inspection.inspection_id,
            verdict=inspection.verdict.value,
            score=inspection.score,
            threshold=inspection.threshold,
            defects=tuple(DefectMessage.of(one) for one in inspection.defects),
            reason=inspection.reason,
            at=inspection.inspected_at,
        )
        return OutboxMessage("alert", self._topics.build("alert", camera), message.encode())

    def _response(self, inspection: Inspection, delivery: Delivery, body: bytes) -> tuple[OutboxMessage, ...]:
        """One message, or none where answering there would be refused or come back to us as a frame."""
        topic = delivery.response_topic or ""
        try:
            check_response_topic(topic)
            if self._topics.covers(topic):
                raise ValueError(f"the response topic {topic[:80]!r} is one that this agent listens to")
        except ValueError as error:
            self._counters.add("mqtt_response_topics_refused")
            fields = about(inspection.identity, sku=inspection.sku, inspection_id=inspection.inspection_id)
            logger.warning("a frame asked for an answer that cannot be given: %s", error, extra=fields)
            return ()
        return (OutboxMessage("verdict", topic, body, correlation_data=delivery.correlation_data),)


Version = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
"""As the column of the history."""
MAX_BYTES = 512 * 1024
"""A recipe with hundreds of prompts has a tenth of it."""


class _Command(BaseModel):
    """Unlike a camera's messages, a command is refused for a key that it does not have: a slip in
    ``activate`` must not do the opposite of what was meant."""

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
    """Vouch for the first frames of a product: they become its references."""

    command: Literal["recipe.commission"]
    sku: Identifier
    frames: Annotated[StrictInt, Field(ge=1, le=1000)]


COMMANDS: Mapping[str, type[_Command]] = {
    "recipe.list": ListCommand,
    "recipe.show": ShowCommand,
    "recipe.activate": ActivateCommand,
    "recipe.export": ExportCommand,
    "recipe.import": ImportCommand,
    "recipe.commission": CommissionCommand,
}


class JsonCommandParser:
    """Commands out of JSON. Whatever comes, only CommandError is raised."""

    def command(self, delivery: Delivery) -> Command:
        """See the port. Raises CommandError."""
        if len(delivery.payload) > MAX_BYTES:
            raise CommandError(
                f"the command has {len(delivery.payload):,} bytes, at most {MAX_BYTES:,} are read"
            )
        try:
            content = load_object(delivery.payload)
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
    """For the answer, as far as it can be read."""
    found = content.get("request_id")
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    text = str(found)
    return text if 0 < len(text) <= 255 and text.isprintable() else None


class ReplyMessage(BaseModel):
    """What became of one command."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["sightline.reply/1"] = Field(default="sightline.reply/1", alias="schema")
    command: str | None = Field(description="null where the message named none that is known")
    request_id: str | None
    ok: bool
    result: dict[str, Any] | None = Field(description="what was asked for; null where it failed")
    error: str | None = Field(description="what went wrong, a sentence")
    agent: AgentMessage
    at: Time


def reply_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the reply."""
    return outgoing_schema(ReplyMessage, "sightline.reply/1")


class MqttReplier:
    """Answers on the response topic of MQTT 5, else on the agent's reply topic."""

    def __init__(self, topics: Topics, version: str, counters: Counters | None = None) -> None:
        self._topics = topics
        self._agent = AgentMessage(id=topics.agent, version=version)
        self._counters = counters if counters is not None else Counters()

    def reply(self, delivery: Delivery, answer: Answer) -> OutboxMessage:
        """See the port."""
        topic = self._response_topic(delivery)
        body = ReplyMessage(
            command=answer.command,
            request_id=answer.request_id,
            ok=answer.error is None,
            result=None if answer.result is None else dict(answer.result),
            error=answer.error,
            agent=self._agent,
            at=_now(delivery.received_at),
        )
        return OutboxMessage(
            "reply",
            topic or self._topics.reply,
            body.model_dump_json(by_alias=True).encode(),
            correlation_data=delivery.correlation_data,
        )

    def _response_topic(self, delivery: Delivery) -> str | None:
        topic = delivery.response_topic
        if topic is None:
            return None
        try:
            check_response_topic(topic)
            if self._topics.covers(topic):
                raise ValueError(f"the response topic {topic[:80]!r} is one that this agent listens to")
        except ValueError as error:
            self._counters.add("mqtt_response_topics_refused")
            logger.warning("a command is answered on %s: %s", self._topics.reply, error)
            return None
        return topic


def _now(received: datetime) -> datetime:
    """When the answer was written; a clock that was set back does not make it older than the question."""
    return max(received, datetime.now(received.tzinfo))
