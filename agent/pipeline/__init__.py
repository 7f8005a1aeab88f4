"""The flow of a frame: admit, decode, inspect, record, acknowledge, announce."""

from agent.monitors.camera_timeout import CHECK_EVERY_S, SilenceOptions
from agent.monitors.sequence_gaps import NumbersOptions
from agent.pipeline.ingress_queue import Overload
from agent.pipeline.monitors import WatchOptions
from agent.pipeline.pipeline import Line, LineOptions, LineParts
from agent.pipeline.recorder import RecordingOptions
from agent.pipeline.supervisor import Supervision

__all__ = [
    "CHECK_EVERY_S",
    "Line",
    "LineOptions",
    "LineParts",
    "NumbersOptions",
    "Overload",
    "RecordingOptions",
    "SilenceOptions",
    "Supervision",
    "WatchOptions",
]
