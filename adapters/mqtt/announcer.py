"""Inspections as messages (agent.ports.Announcer)."""

from __future__ import annotations

import base64
import logging
from datetime import datetime

from adapters.mqtt.payloads import AgentMessage, AlertMessage, DefectMessage, MaskMessage, VerdictMessage
from adapters.mqtt.topics import Topics, check_response_topic
from agent.domain.frame import Camera, Delivery
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.ports import OutboxMessage
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)


class MqttAnnouncer:
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
