"""What the agent needs from outside, as Protocols.

Adapters and storage implement them; :mod:`agent.app` is the one place that puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.frame import Delivery, Frame, FrameIdentity, Image, Job
from agent.inspection import Event, Feedback, Inspection
from agent.recipe import Recipe, Reference

if TYPE_CHECKING:
    import torch  # only named in annotations: commands that need no model stay quick to start

# ------------------------------------------------------------------------------------------ models


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What one pass of an image tower gives for a batch of B pictures."""

    image: torch.Tensor
    """(B, D) image embeddings of unit length, comparable with text."""
    patches: torch.Tensor
    """(B, h, w, D) patch embeddings of unit length, comparable with text."""
    depths: tuple[torch.Tensor, ...]
    """Patch features of several depths, each (B, h_i, w_i, C_i), as they leave the tower."""


class PatchEncoder(Protocol):
    """A backbone whose patch features are compared with those of references (few-shot)."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """sha256 over the weights: equal digests give equal features."""
        ...

    def encode_patches(
        self, images: Sequence[Image], size: int, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """Patch features of several depths, each (B, h_i, w_i, C_i); pictures resized to size x size.

        With ``keep_aspect`` their shorter side becomes ``size`` and what the last whole patch leaves over at
        the right and at the bottom is cut off; pictures of one batch then have one shape.
        """
        ...


class ImageTextEncoder(PatchEncoder, Protocol):
    """A vision-language model: pictures and words in one space of D dimensions (CLIP)."""

    @property
    def dimensions(self) -> int: ...

    @property
    def logit_scale(self) -> float:
        """The factor on cosines that the model was trained with (100 for CLIP: temperature 0.01)."""
        ...

    def encode_images(self, images: Sequence[Image], size: int) -> ImageFeatures:
        """One pass at size x size pixels for pictures of any sizes."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) text embeddings of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class WindowFeatures:
    """Embeddings of all windows of one side length over the grid of patches."""

    embeddings: torch.Tensor
    """(B, n, D) unit vectors comparable with text."""
    covered: torch.Tensor
    """(n, k) which patches each window covers, counted row by row."""


@dataclass(frozen=True, slots=True)
class WindowPass:
    """What WinCLIP needs of a batch of B pictures."""

    image: torch.Tensor
    """(B, D) image embeddings of unit length."""
    patches: torch.Tensor
    """(B, h, w, C) patch tokens of the last block, normalised by its layer norm, before the projection."""
    windows: tuple[WindowFeatures, ...]
    """One for each side length asked for."""


class WindowEncoder(ImageTextEncoder, Protocol):
    """A vision-language model that can look at windows of patches (WinCLIP)."""

    def encode_windows(self, images: Sequence[Image], size: int, sides: Sequence[int]) -> WindowPass:
        """Pictures resized to size x size; windows of side x side patches at every place (stride 1).

        Raises ModelError where the image tower is no vision transformer, or a window exceeds its grid.
        """
        ...


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector found in one picture, the highest score first."""

    boxes: NDArray[np.float32]
    """(n, 4) x0, y0, x1, y1 in pixels of the picture."""
    scores: NDArray[np.float32]
    """(n,) in [0, 1]."""
    phrases: tuple[str, ...]
    """The words of the caption that each box answers to."""

    def __post_init__(self) -> None:
        if not len(self.boxes) == len(self.scores) == len(self.phrases):
            raise ValueError("each box has one score and one phrase")


class Detector(Protocol):
    """Open-vocabulary detection: words to boxes (Grounding DINO)."""

    @property
    def digest(self) -> str: ...

    def detect(
        self,
        images: Sequence[Image],
        phrases: Sequence[Sequence[str]],
        *,
        box_threshold: float,
        text_threshold: float,
    ) -> list[Detections]:
        """Boxes for the phrases of each picture, before any suppression.

        Phrases that do not fit the text encoder together are asked in several passes, never cut.
        """
        ...


class Segmenter(Protocol):
    """Boxes and points to outlines (SAM)."""

    @property
    def digest(self) -> str: ...

    def segment(
        self,
        image: Image,
        boxes: NDArray[np.float32],
        points: NDArray[np.float32] | None = None,
    ) -> NDArray[np.bool_]:
        """(n, H, W) masks of the (n, 4) boxes in pixels, with one (n, 2) point each where given.

        The picture is embedded once, however many boxes there are; none asks for nothing.
        """
        ...


class Tagger(Protocol):
    """Words for what a picture shows, the likeliest first."""

    def tags(self, image: Image, most: int) -> tuple[str, ...]: ...


# ------------------------------------------------------------------------------------------- media


class FrameDecoder(Protocol):
    """Payloads to pictures, within limits of bytes and pixels."""

    def identify(self, delivery: Delivery) -> FrameIdentity:
        """Whose frame this is, without decoding the picture; never raises (an id is derived if need be)."""
        ...

    def decode(self, delivery: Delivery) -> Frame:
        """Raises FrameError, carrying as much identity as could be read."""
        ...


class ImageCodec(Protocol):
    """Pictures to files and back."""

    def decode(self, encoded: bytes) -> Image: ...

    def encode_mask(self, mask: NDArray[np.uint8]) -> bytes:
        """(H, W) labels, 0 background and i the i-th defect, as an 8-bit PNG."""
        ...

    def encode_overlay(self, image: Image, mask: NDArray[np.uint8], inspection: Inspection) -> bytes:
        """A JPEG for people: the frame with the outlines of its defects, verdict and score."""
        ...


class MediaStore(Protocol):
    """Content-addressed files: equal bytes are stored once; names never come from outside."""

    def put(self, content: bytes, suffix: str) -> str:
        """Store and return the path relative to the media folder. Raises StorageError."""
        ...

    def get(self, path: str) -> bytes:
        """Raises StorageError where the file is missing."""
        ...


# ----------------------------------------------------------------------------------------- history


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message that goes out after the commit, at least once (QoS 1)."""

    kind: str
    """``verdict``, ``mask`` or ``alert``."""
    topic: str
    payload: bytes
    content_type: str = "application/json"
    retain: bool = False
    correlation_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What one frame adds to the history."""

    inspection: Inspection
    messages: tuple[OutboxMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An outbox row that was not yet acknowledged by the broker."""

    id: int
    message: OutboxMessage


class History(Protocol):
    """The inspection history."""

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        """Inspections, their defects and outbox messages in one transaction.

        True for each entry that was new; False where (camera, frame_id) already had its row, then
        nothing of that entry is written. Raises StorageError, and then nothing is written at all.
        """
        ...

    def knows(self, identity: FrameIdentity) -> bool:
        """Whether (camera, frame_id) already has its row."""
        ...

    def occurrences(self, identity: FrameIdentity) -> int:
        """How many rows have this frame id or one derived from it (``id``, ``id-2``, ``id-3``...)."""
        ...

    def record_event(self, event: Event) -> None: ...

    def record_feedback(self, feedback: Feedback) -> bool:
        """False where no inspection matches; nothing is written then."""
        ...


class Outbox(Protocol):
    """Messages written with the history and not yet acknowledged by the broker."""

    def pending(self, limit: int) -> Sequence[StoredMessage]:
        """The oldest first."""
        ...

    def mark_sent(self, ids: Sequence[int]) -> None: ...

    def depth(self) -> int: ...


class RecipeBook(Protocol):
    """Recipes of all SKUs, versioned; one version of each SKU is active."""

    def active(self, sku: str) -> Recipe | None: ...

    def active_version(self, sku: str) -> int | None:
        """Cheap enough to ask before each batch."""
        ...

    def register(self, job: Job) -> bool:
        """Write down a SKU; True for the one caller, of all agents, that made the row."""
        ...

    def without_recipe(self) -> Sequence[Job]:
        """SKUs that were registered and never got a recipe: whoever registered them was stopped."""
        ...

    def job(self, sku: str) -> Job | None:
        """Name and description of a SKU, as last registered."""
        ...

    def add(self, recipe: Recipe, *, activate: bool = True) -> Recipe:
        """Store as the next version of its SKU and return it with id and version."""
        ...

    def hold_reference(self, sku: str, reference: Reference) -> None:
        """Write down a reference that came in and is in no recipe yet; repeating it changes nothing."""
        ...

    def held_references(self, sku: str) -> Sequence[Reference]:
        """References of ``sku`` that no version of its recipe holds yet, in the order they came."""
        ...

    def skus_with_held_references(self) -> Sequence[str]:
        """SKUs whose references came in and are in no recipe yet (after a restart)."""
        ...


# --------------------------------------------------------------------------------------- transport


class PublishTicket(Protocol):
    """A publish under way."""

    def wait(self, timeout_s: float) -> bool:
        """True once the broker has acknowledged."""
        ...

    @property
    def failed(self) -> bool:
        """Whether no acknowledgement can come any more; one that is only late has not failed."""
        ...


class Publisher(Protocol):
    """The way out."""

    def publish(self, message: OutboxMessage) -> PublishTicket:
        """Hand over for sending with QoS 1. Raises TransportError where there is no connection or
        the bounded outgoing queue is full; the message then stays in the outbox."""
        ...


class Transport(Publisher, Protocol):
    """A connection to the broker: deliveries in, messages out, presence kept."""

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect in the background and keep connected. ``on_delivery`` must only enqueue."""
        ...

    def stop(self, *, final_status: str = "stopped") -> None:
        """Publish the retained status and disconnect cleanly."""
        ...

    @property
    def connected(self) -> bool: ...


class Announcer(Protocol):
    """Inspections as messages."""

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        """Verdict, mask where there is one, alert where it FAILed and shadow mode is off, and the
        verdict once more on the delivery's response topic where it names one."""
        ...


class MessageParser(Protocol):
    """The small messages: job, feedback."""

    def job(self, delivery: Delivery) -> Job | None:
        """None for an empty payload: the retained job was cleared. Raises MessageError."""
        ...

    def feedback(self, delivery: Delivery) -> Feedback:
        """Raises MessageError."""
        ...
