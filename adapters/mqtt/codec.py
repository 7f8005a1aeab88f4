"""JsonMessageParser: parses jobs and feedback from JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from adapters.images.bounded_json import load_object
from agent.domain.errors import MessageError
from agent.domain.frame import MAX_SKU, Delivery, Job
from agent.domain.inspection import Feedback

MAX_TEXT = 4_000
"""Longest free text (names, descriptions, notes) in characters."""


def check_printable(text: str) -> str:
    """Raises ValueError for control characters and halves of surrogate pairs."""
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


def _identifier(value: object) -> object:
    """Identifiers may be numbers in JSON; white space around them means nothing."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    return check_printable(value.strip()) if isinstance(value, str) else value


def _optional_identifier(value: object) -> object:
    """As an identifier; empty means none."""
    found = _identifier(value)
    return None if found == "" else found


Identifier = Annotated[str, BeforeValidator(_identifier), Field(min_length=1, max_length=MAX_SKU)]
OptionalIdentifier = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_SKU)] | None, BeforeValidator(_optional_identifier)
]
OptionalText = Annotated[str, Field(max_length=MAX_TEXT)] | None


class _Incoming(BaseModel):
    """Messages that others send: unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class JobMessage(_Incoming):
    """The retained job of a camera."""

    sku: Identifier
    name: OptionalText = None
    description: OptionalText = None
    gtin: OptionalIdentifier = None
    lot: OptionalIdentifier = None


class FeedbackMessage(_Incoming):
    """An operator's feedback on an inspection."""

    truth: Literal["good", "defective"]
    inspection_id: OptionalIdentifier = None
    frame_id: OptionalIdentifier = None
    by: OptionalIdentifier = None
    note: OptionalText = None


def first_error(error: ValidationError) -> str:
    """What is wrong first, in words, without the value (it may be a whole image)."""
    one = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in one["loc"])
    return f"{where}: {one['msg']}" if where else str(one["msg"])


MAX_BYTES = 64 * 1024
"""Longest job or feedback in bytes."""


class JsonMessageParser:
    """Parses jobs and feedback. Whatever comes, it raises only MessageError."""

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
