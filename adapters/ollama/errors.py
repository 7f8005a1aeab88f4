"""``OllamaError`` and its kinds: why a language model did not answer, and whether asking again helps."""

from __future__ import annotations

from agent.domain.errors import SightlineError


class OllamaError(SightlineError):
    """The language model did not answer."""

    again = True
    """Whether a later try may succeed without a person's help."""
    hopeless = False
    """Whether asking again at once is useless."""
    server = False
    """Whether it is about the server or its model, whatever is asked of it."""


class UnreachableError(OllamaError):
    """No server listens at the address."""

    hopeless = True
    server = True


class AccessRefusedError(OllamaError):
    """The server, or a proxy before it, wants another key."""

    hopeless = True
    server = True


class TooOldError(OllamaError):
    """The server is older than the answers that it is asked for."""

    hopeless = True
    server = True


class TimeLimitError(OllamaError):
    """The answer was not complete in time."""


class ServerError(OllamaError):
    """The server failed, broke off or did not answer as Ollama does."""


class ModelMissingError(OllamaError):
    """The server does not have the model; a later try finds it once it is pulled."""

    hopeless = True
    server = True


class CannotSeeError(OllamaError):
    """The model takes no images."""

    again = False
    hopeless = True


class UnusableAnswerError(OllamaError):
    """The model's answer cannot be used; the message names the reason."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = reason if hint is None else hint
        """The reason without a word of the answer, for the model itself."""
