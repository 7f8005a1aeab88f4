"""SightlineError and its subclasses. Each message is one clear sentence that names the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.frame import FrameIdentity


class SightlineError(Exception):
    """Anything that Sightline raises on purpose."""


class ConfigurationError(SightlineError):
    """The configuration is unusable; the message names the key, the file and the line."""


class FrameError(SightlineError):
    """A delivery on a frame topic without a usable image.

    ``identity`` holds what could be read of the frame's origin, so that the frame still ends as one row.
    """

    def __init__(self, reason: str, identity: FrameIdentity) -> None:
        super().__init__(reason)
        self.reason = reason
        self.identity = identity


class MessageError(SightlineError):
    """A delivery other than a frame (a job, feedback) that cannot be understood."""


class ModelError(SightlineError):
    """A model cannot be loaded or failed while it ran."""


class RecipeError(SightlineError):
    """A recipe is inconsistent, or names a method or parameter that does not exist."""


class RegionError(RecipeError, ValueError):
    """A region that is not a part of an image. As a ValueError, files report it with its line."""


class StorageError(SightlineError):
    """The database or the media folder refused."""


class FrameIdUsedError(SightlineError):
    """Rows of other images have the frame ids of some entries; nothing was written.

    ``positions``: which entries. :meth:`FrameIdentity.with_own_id` gives each an id of its own.
    """

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__(
            f"{len(positions)} frame ids belong to other images; give these frames ids of their own"
        )
        self.positions = tuple(positions)


class DiskFullError(StorageError):
    """The database or the media folder has no space left."""


class TransportError(SightlineError):
    """The broker cannot be reached, or did not acknowledge in time."""


class UndeliverableError(TransportError):
    """A message that its receiver will never take, for instance because it is too large."""


class WriterError(SightlineError):
    """The language model gave no usable prompts. The message is the reason, for the row of the recipe.

    ``again``: True if a later try may succeed as it is (the model was away, not pulled yet, slow, or
    returned nothing). False if a person first has to describe the product.
    ``server``: True if it is about the server or its model, so all products meet it.
    """

    def __init__(self, reason: str, *, again: bool = True, server: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.server = server
