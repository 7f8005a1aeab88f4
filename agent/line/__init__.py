"""The flow of a frame: admit, decode, inspect, record, acknowledge, announce."""

from agent.line.line import Line, LineOptions, LineParts
from agent.line.recorder import RecordingOptions
from agent.line.waiting import Overload

__all__ = ["Line", "LineOptions", "LineParts", "Overload", "RecordingOptions"]
