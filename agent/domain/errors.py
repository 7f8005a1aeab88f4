"""The exceptions of Sightline. Each message is one clear sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.frame import FrameIdentity


class SightlineError(Exception):
    """Anything that Sightline raises on purpose."""


class ConfigurationError(SightlineError):
    """The configuration is unusable; the message names the key, the file and the line."""


class FrameError(SightlineError):
    """A delivery on a frame topic that holds no usable image.

    ``identity`` is as much as could be read of whose frame it was, so that it still ends as one row.
    """

    def __init__(self, reason: str, identity: FrameIdentity) -> None:
        super().__init__(reason)
        self.reason = reason
        self.identity = identity


class MessageError(SightlineError):
    """A delivery that is no frame (job, feedback) and cannot be understood."""


class ModelError(SightlineError):
    """A model cannot be loaded or failed while it ran."""


class RecipeError(SightlineError):
    """A recipe is inconsistent, or names a method or parameter that does not exist."""


class StorageError(SightlineError):
    """The database or the media folder refused."""


class DiskFullError(StorageError):
    """The database or the media folder has no space left."""


class TransportError(SightlineError):
    """The broker cannot be reached, or did not acknowledge in time."""


class UndeliverableError(TransportError):
    """A message that this broker will never take, too large for it for instance."""


class WriterError(SightlineError):
    """The language model gave no usable prompts; the message says why, for the row of the recipe.

    ``again`` says whether a later try may do better without more knowledge of the product (the model was
    away, not pulled yet, slow or wordless), or a person has to say what the product is.
    """

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
