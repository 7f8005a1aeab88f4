"""The flow of a frame: decode, inspect, record, acknowledge, publish."""

from agent.pipeline.ingress_queue import Bounds
from agent.pipeline.pipeline import Pipeline, PipelineOptions, PipelineParts
from agent.pipeline.supervisor import Supervision
from agent.pipeline.worker import Pace

__all__ = ["Bounds", "Pace", "Pipeline", "PipelineOptions", "PipelineParts", "Supervision"]
