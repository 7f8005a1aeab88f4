"""Payloads in and out, as DESIGN section 4 names them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from adapters.images.bounded_json import load_object
from agent.domain.errors import MessageError
from agent.domain.frame import MAX_SKU, Delivery, Job
from agent.domain.inspection import Defect, Feedback, Inspection

MAX_TEXT = 4_000
"""Longest free text (names, descriptions, notes) in characters."""


def rfc3339(time: datetime) -> str:
    """UTC with milliseconds and ``Z`` (RFC 3339). Times without a zone are taken as UTC."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


# ------------------------------------------------------------------------------------------ incoming


class _Incoming(BaseModel):
    """What others send: unknown keys are theirs and do no harm."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class JobMessage(_Incoming):
    """The retained job of a camera."""

    sku: Identifier
    name: OptionalText = None
    description: OptionalText = None
    gtin: OptionalIdentifier = None
    lot: OptionalIdentifier = None


class FeedbackMessage(_Incoming):
    """An operator's word on an inspection."""

    truth: Literal["good", "defective"]
    inspection_id: OptionalIdentifier = None
    frame_id: OptionalIdentifier = None
    by: OptionalIdentifier = None
    note: OptionalText = None


# ------------------------------------------------------------------------------------------ outgoing


class _Outgoing(BaseModel):
    # Every key is always sent, so the published schema requires every key.
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, json_schema_serialization_defaults_required=True
    )

    def encode(self) -> bytes:
        """JSON in UTF-8."""
        return self.model_dump_json(by_alias=True).encode()


class DefectMessage(_Outgoing):
    """A connected region of the mask."""

    index: int = Field(description="from 1; the value of its pixels in the mask")
    label: str
    score: float
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height in pixels of the frame")
    area_px: int
    area_fraction: float = Field(description="of the frame's pixels, 0 to 1")

    @classmethod
    def of(cls, defect: Defect) -> DefectMessage:
        """From the agent's noun."""
        return cls(
            index=defect.index,
            label=defect.label,
            score=defect.score,
            bbox=defect.bbox,
            area_px=defect.area_px,
            area_fraction=defect.area_fraction,
        )


class RecipeMessage(_Outgoing):
    """Which recipe judged."""

    id: int | None
    version: int
    method: str
    prompt_source: str = Field(description="template, ollama or manual")
    shots: int


class TimingsMessage(_Outgoing):
    """Milliseconds in each stage."""

    queue: float
    decode: float
    infer: float
    record: float


class MediaMessage(_Outgoing):
    """Files, relative to the media folder."""

    image: str | None
    mask: str | None
    overlay: str | None


class AgentMessage(_Outgoing):
    """Who judged."""

    id: str
    version: str


class VerdictMessage(_Outgoing):
    """One inspection, as published on the verdict topic."""

    schema_: Literal["sightline.verdict/1"] = Field(default="sightline.verdict/1", alias="schema")
    inspection_id: str
    frame_id: str
    part_id: str | None
    site: str
    line: str
    camera: str
    sku: str | None
    verdict: Literal["PASS", "FAIL", "REVIEW", "ERROR", "SKIPPED"]
    score: float | None
    threshold: float | None
    calibrated: bool
    shadow: bool = Field(description="inspected and recorded, never alarmed")
    late: bool = Field(description="later than the camera's cycle time")
    reason: str
    defects: tuple[DefectMessage, ...]
    recipe: RecipeMessage | None
    timings_ms: TimingsMessage
    captured_at: Time | None
    received_at: Time
    inspected_at: Time
    media: MediaMessage
    agent: AgentMessage

    @classmethod
    def of(cls, inspection: Inspection, agent: AgentMessage) -> VerdictMessage:
        """From the agent's noun."""
        identity, recipe, timings, media = (
            inspection.identity,
            inspection.recipe,
            inspection.timings,
            inspection.media,
        )
        return cls(
            inspection_id=inspection.inspection_id,
            frame_id=identity.frame_id,
            part_id=identity.part_id,
            site=identity.camera.site,
            line=identity.camera.line,
            camera=identity.camera.camera,
            sku=inspection.sku,
            verdict=inspection.verdict.value,
            score=inspection.score,
            threshold=inspection.threshold,
            calibrated=inspection.calibrated,
            shadow=inspection.shadow,
            late=inspection.late,
            reason=inspection.reason,
            defects=tuple(DefectMessage.of(one) for one in inspection.defects),
            recipe=None
            if recipe is None
            else RecipeMessage(
                id=recipe.id,
                version=recipe.version,
                method=recipe.method,
                prompt_source=recipe.prompt_source,
                shots=recipe.shots,
            ),
            timings_ms=TimingsMessage(
                queue=round(timings.queue, 3),
                decode=round(timings.decode, 3),
                infer=round(timings.infer, 3),
                record=round(timings.record, 3),
            ),
            captured_at=identity.captured_at,
            received_at=inspection.received_at,
            inspected_at=inspection.inspected_at,
            media=MediaMessage(image=media.image, mask=media.mask, overlay=media.overlay),
            agent=agent,
        )


class MaskMessage(_Outgoing):
    """The mask of one inspection: 0 is background, i the i-th defect."""

    inspection_id: str
    frame_id: str
    width: int
    height: int
    png: str = Field(description="8-bit PNG, base64")


class AlertMessage(_Outgoing):
    """Something that somebody on the line should know now."""

    schema_: Literal["sightline.alert/1"] = Field(default="sightline.alert/1", alias="schema")
    kind: str = Field(
        description="fail, burst, burst-over, drift, drift-over, gap, silent or heard; of the agent itself "
        "disk-low, disk-full, disk-recovered or emergency-retention"
    )
    severity: Literal["info", "warning", "error"]
    camera: str = Field(description="site/line/camera; site/sightline/agent of the agent itself")
    sku: str | None = None
    inspection_id: str | None = None
    verdict: str | None = None
    score: float | None = None
    threshold: float | None = None
    defects: tuple[DefectMessage, ...] = ()
    reason: str
    at: Time


def verdict_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the verdict message."""
    return outgoing_schema(VerdictMessage, "sightline.verdict/1")


def alert_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the alert message."""
    return outgoing_schema(AlertMessage, "sightline.alert/1")


def outgoing_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a message as it is sent."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name, **schema}


# ------------------------------------------------------------------------------------------- reading


def first_error(error: ValidationError) -> str:
    """What is wrong first, in words, without the value (it may be a whole image)."""
    one = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in one["loc"])
    return f"{where}: {one['msg']}" if where else str(one["msg"])


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
