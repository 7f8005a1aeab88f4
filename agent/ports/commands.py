"""CommandParser and Replier: commands that people and programs send to a running agent, and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.domain.errors import MessageError
from agent.domain.frame import Delivery
from agent.domain.regions import Polygon
from agent.ports.sinks import OutboxMessage


@dataclass(frozen=True, slots=True)
class Command:
    """One command, its arguments checked for their form."""

    name: str
    """``recipe.list``, ``recipe.show``, ``recipe.activate``, ``recipe.export``, ``recipe.import``,
    ``recipe.commission``, ``recipe.commissions``, ``recipe.threshold``, ``recipe.add-reference`` or
    ``recipe.region``."""
    request_id: str | None = None
    """The sender's name for it, repeated in the answer and in the event."""
    sku: str | None = None
    version: int | None = None
    recipe: str | None = None
    """The text to import."""
    activate: bool = True
    frames: int | None = None
    threshold: float | None = None
    review: float | None = None
    """Where REVIEW starts; None: the margin stays as wide in proportion."""
    frame_ids: tuple[str, ...] = ()
    camera: str | None = None
    """``site/line/camera`` of the frames."""
    by: str | None = None
    """The person who decided."""
    cancel: bool = False
    inspect: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    clear: bool = False
    """Whether the recipe's own regions are removed before."""


class CommandError(MessageError):
    """A message on the command topic that is not a command, with what could be read of it."""

    def __init__(self, reason: str, *, name: str | None = None, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.name = name
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command."""

    command: str | None
    request_id: str | None
    result: Mapping[str, Any] | None = None
    """The requested values in JSON's types; None if the command failed."""
    error: str | None = None


class CommandParser(Protocol):
    """Payloads to commands."""

    def command(self, delivery: Delivery) -> Command:
        """Raises CommandError: not JSON, an unknown command, or arguments that do not fit it."""
        ...


class Replier(Protocol):
    """Answers to messages."""

    def reply(self, delivery: Delivery, answer: Answer) -> OutboxMessage:
        """To the response topic of the delivery, otherwise to the agent's reply topic."""
        ...
