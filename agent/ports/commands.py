"""Commands that people and other programs send to a running agent, and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.domain.errors import MessageError
from agent.domain.frame import Delivery
from agent.ports.history import OutboxMessage


@dataclass(frozen=True, slots=True)
class Command:
    """One command, its arguments checked for their form."""

    name: str
    """``recipe.list``, ``recipe.show``, ``recipe.activate``, ``recipe.export``, ``recipe.import`` or
    ``recipe.commission``."""
    request_id: str | None = None
    """What the sender calls it; stands in the answer and in the event."""
    sku: str | None = None
    version: int | None = None
    recipe: str | None = None
    """The text to import."""
    activate: bool = True
    frames: int | None = None


class CommandError(MessageError):
    """A message on the command topic that is no command, as much of it as could be read beside it."""

    def __init__(self, reason: str, *, name: str | None = None, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.name = name
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command."""

    command: str | None
    request_id: str | None
    result: Mapping[str, Any] | None = None
    """What was asked for, as JSON holds it; None where it failed."""
    error: str | None = None


class CommandParser(Protocol):
    """Payloads to commands."""

    def command(self, delivery: Delivery) -> Command:
        """Raises CommandError: no JSON, an unknown command, or arguments that do not fit it."""
        ...


class Replier(Protocol):
    """Answers to messages."""

    def reply(self, delivery: Delivery, answer: Answer) -> OutboxMessage:
        """For the response topic of the delivery, else for the agent's reply topic."""
        ...
