"""The flow of a frame: admit, decode, inspect, record, acknowledge, announce."""

from agent.monitors.camera_timeout import CHECK_EVERY_S, CameraTimeoutOptions
from agent.monitors.sequence_gaps import SequenceGapOptions
from agent.pipeline.ingress_queue import Overload
from agent.pipeline.monitors import MonitorOptions
from agent.pipeline.pipeline import Pipeline, PipelineOptions, PipelineParts
from agent.pipeline.recorder import RecordingOptions
from agent.pipeline.supervisor import Supervision

__all__ = [
    "CHECK_EVERY_S",
    "CameraTimeoutOptions",
    "MonitorOptions",
    "Overload",
    "Pipeline",
    "PipelineOptions",
    "PipelineParts",
    "RecordingOptions",
    "SequenceGapOptions",
    "Supervision",
]
