"""The flow of a frame: admit, decode, inspect, record, acknowledge, announce."""

from agent.line.line import Line, LineOptions, LineParts
from agent.line.numbers import NumbersOptions
from agent.line.recorder import RecordingOptions
from agent.line.silences import CHECK_EVERY_S, SilenceOptions
from agent.line.supervisor import Supervision
from agent.line.waiting import Overload
from agent.line.watches import WatchOptions

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
