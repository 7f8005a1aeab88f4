"""JsonMessageParser: parses jobs, from JSON or plain text, and feedback from JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from adapters.images.bounded_json import WHITE, as_utf8, load_object, load_value
from agent.domain.errors import MessageError
from agent.domain.frame import Delivery, Job
from agent.domain.inspection import Feedback
from agent.domain.names import MAX_NAME, clean_name

MAX_TEXT = 4_000
"""Longest free text (names, descriptions, notes) in characters."""


def _identifier(value: object) -> object:
    """Identifiers may be numbers in JSON; their form is that of all names."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    return clean_name(value) if isinstance(value, str) else value


def _optional_identifier(value: object) -> object:
    """As an identifier; empty means none."""
    found = _identifier(value)
    return None if found == "" else found


Identifier = Annotated[str, BeforeValidator(_identifier), Field(min_length=1, max_length=MAX_NAME)]
OptionalIdentifier = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None, BeforeValidator(_optional_identifier)
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
    part_id: OptionalIdentifier = None
    by: OptionalIdentifier = None
    note: OptionalText = None


def first_error(error: ValidationError) -> str:
    """What is wrong first, in words, without the value (it may be a whole image)."""
    one = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in one["loc"])
    message = str(one["msg"])
    if one["type"] == "value_error":
        return " ".join((where, message.removeprefix("Value error, "))).strip()
    return f"{where}: {message}" if where else message


MAX_BYTES = 64 * 1024
"""Longest job or feedback in bytes."""


class JsonMessageParser:
    """Parses jobs and feedback. Whatever comes, it raises only MessageError."""

    def job(self, delivery: Delivery) -> Job | None:
        """A JSON object, or the SKU alone as text or as a JSON string.

        None for an empty payload: the retained job was cleared. Raises MessageError.
        """
        _check_size(delivery.payload)
        text = as_utf8(delivery.payload).strip(WHITE)
        if not text:
            return None
        try:
            message = JobMessage.model_validate(_job_fields(delivery.payload, text))
        except ValidationError as error:
            raise MessageError(f"the job is unusable: {first_error(error)}") from None
        return Job(message.sku, message.name, message.description, message.gtin, message.lot)

    def feedback(self, delivery: Delivery) -> Feedback:
        """Raises MessageError."""
        _check_size(delivery.payload)
        try:
            message = FeedbackMessage.model_validate(load_object(as_utf8(delivery.payload)))
            return Feedback(
                truth=message.truth,
                at=delivery.received_at,
                inspection_id=message.inspection_id,
                frame_id=message.frame_id,
                part_id=message.part_id,
                camera=None if message.part_id is not None else str(delivery.camera),
                by=message.by,
                note=message.note,
            )
        except ValidationError as error:
            raise MessageError(f"the feedback is unusable: {first_error(error)}") from None
        except ValueError as error:
            raise MessageError(f"the feedback is unusable: {error}") from None


def _job_fields(payload: bytes, text: bytes) -> dict[str, Any]:
    """The fields of a job; ``text`` is its payload in UTF-8, stripped. Raises MessageError."""
    if text[:1] in (b"{", b"["):
        return load_object(text)
    if text[:1] == b'"':
        value = load_value(text)
        return {"sku": value}
    try:
        sku = payload.decode("utf-8-sig").strip("\0 \t\r\n")
    except UnicodeDecodeError:
        raise MessageError("the job is not JSON, and not a SKU as text in UTF-8") from None
    if sku in ("null", "true", "false"):
        raise MessageError(f"the job is {sku}; send the SKU, or an empty message to clear the job")
    return {"sku": sku}


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_BYTES:
        raise MessageError(f"the message has {len(payload):,} bytes, at most {MAX_BYTES:,} are read")
