"""VerdictMessage, AlertMessage and MaskMessage: what the agent sends, as JSON, whichever sink carries it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.inspection import Defect, Inspection


def rfc3339(time: datetime) -> str:
    """UTC with milliseconds and ``Z`` (RFC 3339). Times without a zone are taken as UTC."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class OutgoingMessage(BaseModel):
    """Every key is always sent, so the published schema requires every key.

    It allows further ones: a later version may add keys within ``/1``, and readers pass over those that they
    do not know.
    """

    model_config = ConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, json_schema_serialization_defaults_required=True
    )

    def encode(self) -> bytes:
        """JSON in UTF-8."""
        return self.model_dump_json(by_alias=True).encode()


class DefectMessage(OutgoingMessage):
    """A connected region of the mask."""

    index: int = Field(description="from 1; the value of its pixels in the mask")
    label: str
    score: float
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height in pixels of the frame")
    area_px: int
    area_fraction: float = Field(description="of the frame's pixels, 0 to 1")

    @classmethod
    def of(cls, defect: Defect) -> DefectMessage:
        return cls(
            index=defect.index,
            label=defect.label,
            score=defect.score,
            bbox=defect.bbox,
            area_px=defect.area_px,
            area_fraction=defect.area_fraction,
        )


class RecipeMessage(OutgoingMessage):
    """Which recipe judged."""

    id: int | None
    version: int
    method: str
    prompt_source: str = Field(description="template, ollama or manual")
    shots: int


class TimingsMessage(OutgoingMessage):
    """Milliseconds in each stage."""

    queue: float
    decode: float
    infer: float
    record: float


class MediaMessage(OutgoingMessage):
    """Files, relative to the media folder."""

    image: str | None
    mask: str | None
    overlay: str | None


class AgentMessage(OutgoingMessage):
    """Who judged."""

    id: str
    version: str


class VerdictMessage(OutgoingMessage):
    """One inspection, as published on the verdict topic."""

    schema_: Literal["sightline.verdict/1"] = Field(default="sightline.verdict/1", alias="schema")
    inspection_id: str
    frame_id: str = Field(description="unique for the camera")
    sent_frame_id: str | None = Field(
        description="as the camera sent it; only if another image of the camera has that id"
    )
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
        identity, recipe, timings, media = (
            inspection.identity,
            inspection.recipe,
            inspection.timings,
            inspection.media,
        )
        return cls(
            inspection_id=inspection.inspection_id,
            frame_id=identity.frame_id,
            sent_frame_id=identity.sent_id,
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


class MaskMessage(OutgoingMessage):
    """The mask of one inspection: 0 is background, i the i-th defect."""

    inspection_id: str
    frame_id: str
    sent_frame_id: str | None
    width: int
    height: int
    png: str = Field(description="8-bit PNG, base64")

    @classmethod
    def of(cls, inspection: Inspection, png: bytes, size: tuple[int, int]) -> MaskMessage:
        """``size``: width and height of the frame."""
        return cls(
            inspection_id=inspection.inspection_id,
            frame_id=inspection.identity.frame_id,
            sent_frame_id=inspection.identity.sent_id,
            width=size[0],
            height=size[1],
            png=base64.b64encode(png).decode("ascii"),
        )


class AlertMessage(OutgoingMessage):
    """Something that people at the production line should know now."""

    schema_: Literal["sightline.alert/1"] = Field(default="sightline.alert/1", alias="schema")
    kind: str = Field(
        description="fail, burst, burst-over, drift, drift-over, gap, silent or heard; of the agent itself "
        "disk-low, disk-full, disk-recovered, emergency-retention, sink-parked or sink-back"
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

    @classmethod
    def of(cls, inspection: Inspection) -> AlertMessage:
        """The alert about a failed part."""
        return cls(
            kind="fail",
            severity="error",
            camera=str(inspection.identity.camera),
            sku=inspection.sku,
            inspection_id=inspection.inspection_id,
            verdict=inspection.verdict.value,
            score=inspection.score,
            threshold=inspection.threshold,
            defects=tuple(DefectMessage.of(one) for one in inspection.defects),
            reason=inspection.reason,
            at=inspection.inspected_at,
        )

    @classmethod
    def about(cls, event: Event, camera: Camera) -> AlertMessage:
        """An event that does not belong to one inspection, on the topic of ``camera``."""
        return cls.model_validate(
            {
                "kind": event.kind,
                "severity": event.severity,
                "camera": str(camera),
                "sku": event.sku,
                "reason": event.message,
                "at": event.at,
            }
        )


def verdict_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the verdict message as it is sent."""
    schema = VerdictMessage.model_json_schema(by_alias=True, mode="serialization")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": "sightline.verdict/1", **schema}
