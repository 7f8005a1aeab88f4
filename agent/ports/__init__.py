"""What the agent needs from outside, as Protocols.

Adapters and storage implement them; :mod:`agent.app` is the one place that wires them.
"""

from agent.ports.disk import Disks
from agent.ports.history import Entry, History, Outbox, StoredMessage
from agent.ports.kept import KeptTensors
from agent.ports.language import Brief, Description, LanguageModel, PromptWriter
from agent.ports.media import FrameDecoder, ImageCodec, MediaFile, MediaStore
from agent.ports.models import (
    Detections,
    Detector,
    ImageFeatures,
    ImagePass,
    ImageSize,
    ImageTextEncoder,
    PatchEncoder,
    Segmenter,
    Tagger,
    WindowEncoder,
    WindowFeatures,
    WindowPass,
)
from agent.ports.onboarding import OnboardingClaims, OnboardingRecord, OnboardingState
from agent.ports.recipes import RecipeBook, RecipeCodec, RecipeFile, ReferenceEntry, ReferenceImages
from agent.ports.retention import Pruned, Retention
from agent.ports.samples import InspectedFrame, RecordedFrame, Samples
from agent.ports.scheduling import Scheduler
from agent.ports.sinks import EventReporter, OutboxMessage, PublishTicket, Sink
from agent.ports.transport import MessageParser, Transport, UnusableTopics

__all__ = [
    "Brief",
    "Description",
    "Detections",
    "Detector",
    "Disks",
    "Entry",
    "EventReporter",
    "FrameDecoder",
    "History",
    "ImageCodec",
    "ImageFeatures",
    "ImagePass",
    "ImageSize",
    "ImageTextEncoder",
    "InspectedFrame",
    "KeptTensors",
    "LanguageModel",
    "MediaFile",
    "MediaStore",
    "MessageParser",
    "OnboardingClaims",
    "OnboardingRecord",
    "OnboardingState",
    "Outbox",
    "OutboxMessage",
    "PatchEncoder",
    "PromptWriter",
    "Pruned",
    "PublishTicket",
    "RecipeBook",
    "RecipeCodec",
    "RecipeFile",
    "RecordedFrame",
    "ReferenceEntry",
    "ReferenceImages",
    "Retention",
    "Samples",
    "Scheduler",
    "Segmenter",
    "Sink",
    "StoredMessage",
    "Tagger",
    "Transport",
    "UnusableTopics",
    "WindowEncoder",
    "WindowFeatures",
    "WindowPass",
]
