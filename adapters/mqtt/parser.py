"""Job and feedback messages (agent.ports.MessageParser)."""

from __future__ import annotations

from pydantic import ValidationError

from adapters.mqtt.bounded_json import load_object
from adapters.mqtt.payloads import FeedbackMessage, JobMessage, first_error
from agent.domain.errors import MessageError
from agent.domain.frame import Delivery, Job
from agent.domain.inspection import Feedback

MAX_BYTES = 64 * 1024
"""The small messages are small."""


class JsonMessageParser:
    """The small messages as JSON. Whatever comes, only MessageError is raised."""

    def job(self, delivery: Delivery) -> Job | None:
        """None for an empty payload: the retained job was cleared. Raises MessageError."""
        if not delivery.payload:
            return None
        _check_size(delivery.payload)
        try:
            message = JobMessage.model_validate(load_object(delivery.payload))
        except ValidationError as error:
            raise MessageError(f"the job is unusable: {first_error(error)}") from None
        return Job(message.sku, message.name, message.description, message.gtin, message.lot)

    def feedback(self, delivery: Delivery) -> Feedback:
        """Raises MessageError."""
        _check_size(delivery.payload)
        try:
            message = FeedbackMessage.model_validate(load_object(delivery.payload))
            return Feedback(
                truth=message.truth,
                at=delivery.received_at,
                inspection_id=message.inspection_id,
                frame_id=message.frame_id,
                camera=str(delivery.camera),
                by=message.by,
                note=message.note,
            )
        except ValidationError as error:
            raise MessageError(f"the feedback is unusable: {first_error(error)}") from None
        except ValueError as error:
            raise MessageError(f"the feedback is unusable: {error}") from None


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_BYTES:
        raise MessageError(f"the message has {len(payload):,} bytes, at most {MAX_BYTES:,} are read")
