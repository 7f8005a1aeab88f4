"""What can go wrong between the agent and Ollama. Each message says what to do."""

from __future__ import annotations

from agent.domain.errors import SightlineError


class OllamaError(SightlineError):
    """The language model did not answer."""

    again = True
    """Whether a later try may do better without a person's help."""
    hopeless = False
    """Whether asking at once another time is in vain."""


class UnreachableError(OllamaError):
    """Nobody listens there."""

    hopeless = True


class TimeLimitError(OllamaError):
    """The answer was not complete in time."""


class ServerError(OllamaError):
    """The server failed, broke off or answered something that is not Ollama's."""


class ModelMissingError(OllamaError):
    """The server has no such model; as soon as somebody has pulled it, a later try finds it."""

    hopeless = True


class CannotSeeError(OllamaError):
    """The model takes no pictures."""

    again = False
    hopeless = True


class UnusableAnswerError(OllamaError):
    """The model answered, but with nothing that may be used; the message says what was wrong."""
