"""COUNTED: which metric holds which counters. Counters that it does not list go out under OTHER."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "sightline_"


@dataclass(frozen=True, slots=True)
class Counted:
    """One metric of one or more counters."""

    name: str
    """Without prefix and without ``_total``."""
    help: str
    counters: Mapping[str, str]
    """A counter's name to the value of the label; to an empty text if the metric has no label."""
    label: str | None = None


def _one(name: str, help_text: str, counter: str) -> Counted:
    return Counted(name, help_text, {counter: ""})


COUNTED = (
    _one("frames_received", "Frames taken from the broker, repeated ones included.", "frames_received"),
    _one("frames_repeated", "Frames that had a row already or were under way.", "frames_repeated"),
    _one(
        "frame_ids_used_again",
        "Frames whose id another image of their camera has; each got an id of its own.",
        "frame_ids_used_again",
    ),
    Counted(
        "frames_judged",
        "Frames recorded with a verdict; ERROR: unreadable, or the model failed on it.",
        {f"verdict_{verdict}": verdict for verdict in ("PASS", "FAIL", "REVIEW", "ERROR")},
        "verdict",
    ),
    _one(
        "frames_skipped",
        "Frames recorded as skipped: a newer one of their camera came first (overload: latest).",
        "verdict_SKIPPED",
    ),
    Counted(
        "deliveries_refused",
        "Deliveries that became no frame: not understood, unknown topic, queue full, after the close.",
        {
            "messages_refused": "unusable",
            "mqtt_unparsable_topics": "topic",
            "deliveries_refused": "full",
            "deliveries_after_close": "closing",
        },
        "reason",
    ),
    Counted(
        "deliveries_left",
        "Deliveries left for the broker to send again: unfinished at the end, or their connection gone.",
        {"deliveries_left": "unfinished", "deliveries_stale_dropped": "stale"},
        "reason",
    ),
    _one(
        "deliveries_given_up",
        "Deliveries that a stage died of twice; frames among them end as ERROR.",
        "deliveries_given_up",
    ),
    _one("frames_unrecorded", "Frames without a row of their own; a row sums them up.", "frames_unrecorded"),
    _one("frames_unidentified", "Frames whose id had to be derived from their bytes.", "frames_unidentified"),
    Counted(
        "frames_odd",
        "Frames with a field that was ignored, or with next to no levels; they are judged all the same.",
        {
            "captured_at_unusable": "captured_at_unusable",
            "captured_at_implausible": "captured_at_implausible",
            "sequence_unusable": "sequence_unusable",
            "frames_of_few_levels": "few_levels",
        },
        "what",
    ),
    _one("frames_missing", "Frames that a camera's running numbers show to be lost.", "frames_missing"),
    Counted(
        "camera_silences",
        "How often a camera became silent and was heard again.",
        {"cameras_silent": "silent", "cameras_heard_again": "heard"},
        "change",
    ),
    _one(
        "cameras_unwatched",
        "Frames of cameras that are too many to be watched for silence and gaps.",
        "cameras_unwatched",
    ),
    _one("model_failures", "Frames or recipes that a model failed on.", "model_failures"),
    _one(
        "device_out_of_memory", "Times that a batch did not fit the device and was divided.", "out_of_memory"
    ),
    Counted(
        "decoder_failures",
        "Decoding processes that had to be killed, and those that could not be started.",
        {"decoder_restarts": "killed", "decoder_starts_failed": "not_started"},
        "kind",
    ),
    _one("stage_hangs", "Stages that did not come back and made the pipeline end.", "stage_hangs"),
    _one(
        "rescues_failed",
        "Stages that died with frames which could not be given rows; the broker delivers those again.",
        "rescues_failed",
    ),
    _one("images_released", "Images deleted before their time to make room.", "images_released"),
    _one("disk_watch_failures", "Looks at the disk that storage refused.", "disk_watch_failed"),
    _one(
        "messages_put_off",
        "Messages that a receiver refused; they rest and are tried again, those behind them go out.",
        "messages_put_off",
    ),
    _one(
        "sinks_parked",
        "Times that a receiver was given up for a while, since it refused everything.",
        "sinks_parked",
    ),
    _one("storage_retries", "Times that a stage waited for the database or the disk.", "storage_retries"),
    _one("events_lost", "Events that could not be written to the history.", "events_lost"),
    _one("feedback", "Feedback of operators that was recorded.", "feedback"),
    _one("references", "Reference images that were taken in over MQTT.", "references"),
    Counted(
        "commands",
        "Commands that came over MQTT.",
        {"commands": "done", "commands_refused": "refused"},
        "outcome",
    ),
    Counted(
        "mqtt_connections",
        "How connections to the broker began and ended.",
        {
            "mqtt_connections": "made",
            "mqtt_connections_lost": "lost",
            "mqtt_connection_failures": "failed",
            "mqtt_unforeseen_errors": "unforeseen",
        },
        "outcome",
    ),
    _one(
        "mqtt_sessions_lost",
        "Connects at which the broker had forgotten the session and the messages that waited in it.",
        "mqtt_sessions_lost",
    ),
    _one(
        "mqtt_lenient_deliveries",
        "Deliveries whose properties MQTT does not allow, read as far as they go.",
        "mqtt_lenient_deliveries",
    ),
    _one("mqtt_redelivered", "Deliveries that the broker marked as sent before.", "mqtt_redelivered"),
    _one(
        "mqtt_stale_acknowledgements",
        "Acknowledgements dropped because their connection had gone; those frames are delivered again.",
        "mqtt_stale_acknowledgements",
    ),
    _one(
        "mqtt_response_topics_refused",
        "Response topics that no answer may go to.",
        "mqtt_response_topics_refused",
    ),
    _one(
        "mqtt_cameras_unlisted",
        "Messages of cameras for whose name the status has no room.",
        "mqtt_cameras_unlisted",
    ),
    _one("tasks_failed", "Periodic tasks that ended with an error.", "scheduled_tasks_failed"),
    _one("clock_jumps", "Times that the wall clock was set by more than half a minute.", "clock_jumps"),
    _one("retention_failures", "Rounds of retention that storage refused.", "retention_failed"),
    _one("health_checks_failed", "Checks that could not be made at all.", "health_checks_failed"),
)

TOLD_ELSEWHERE = frozenset(
    {"stage_restarts", "messages_sent", "publishes_postponed", "messages_undeliverable"}
)
"""Counters whose metrics come from the state of the pipeline: by stage, or by sink."""

OTHER = "other"
"""The metric of counters that no entry names, by their own name."""


def listed() -> frozenset[str]:
    """The counters that have a metric."""
    return frozenset(counter for one in COUNTED for counter in one.counters) | TOLD_ELSEWHERE
