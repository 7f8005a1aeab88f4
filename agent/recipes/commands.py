"""Commands from outside, carried out beside the frames: recipes listed, shown, activated, in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.domain.errors import RecipeError
from agent.domain.events import Event
from agent.domain.frame import Delivery
from agent.enrollment.first_frames import enroll_first_frames
from agent.ports import History, RecipeBook, Samples
from agent.ports.commands import Answer, Command, CommandError, CommandParser, Replier
from agent.recipes.import_export import RecipeImporter
from agent.recipes.view import listed, shown
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

MOST_LISTED = 200
"""Versions in one answer: it has to fit into a message."""


class Commands:
    """Answers every message on the command topic, and writes down what was asked.

    A command may be delivered twice (QoS 1): listing and showing change nothing, activating again leaves
    the same version active, and importing again finds the version that is there.
    """

    def __init__(
        self,
        parser: CommandParser,
        replier: Replier,
        book: RecipeBook,
        exchange: RecipeImporter,
        history: History,
        samples: Samples,
        counters: Counters,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._parser = parser
        self._replier = replier
        self._book = book
        self._exchange = exchange
        self._history = history
        self._samples = samples
        self._counters = counters
        self._clock = clock
        self._handlers: Mapping[str, Callable[[Command], dict[str, Any]]] = {
            "recipe.list": self._list,
            "recipe.show": self._show,
            "recipe.activate": self._activate,
            "recipe.export": self._export,
            "recipe.import": self._import,
            "recipe.commission": self._commission,
        }

    def handle(self, delivery: Delivery) -> None:
        """Carry a command out; its event and its answer are written in one transaction.

        Raises:
            StorageError: the database or the media folder refused; the delivery may be handled again.
        """
        try:
            if delivery.retained:
                raise CommandError("a command must not be retained: it would be carried out at each start")
            command = self._parser.command(delivery)
        except CommandError as error:
            self._answer(delivery, Answer(error.name, error.request_id, error=str(error)), None)
            return
        try:
            answer = Answer(command.name, command.request_id, result=self._run(command))
        except RecipeError as error:
            answer = Answer(command.name, command.request_id, error=str(error))
        self._answer(delivery, answer, command.sku)

    def _run(self, command: Command) -> dict[str, Any]:
        handler = self._handlers.get(command.name)
        if handler is None:
            raise RecipeError(f"there is no command {command.name!r}; known are {', '.join(self._handlers)}")
        return handler(command)

    def _answer(self, delivery: Delivery, answer: Answer, sku: str | None) -> None:
        failed = answer.error is not None
        self._counters.add("commands_refused" if failed else "commands")
        name = answer.command or "a message that is no command"
        outcome = answer.error or "done"
        asked = f", asked for as {answer.request_id}" if answer.request_id else ""
        logger.info("command %s%s: %s", name, asked, outcome)
        event = Event(
            kind="bad-command" if failed else "command",
            message=f"{name}{asked}: {outcome}",
            at=self._clock(),
            sku=sku or _sku_of(answer),
            details={"command": answer.command, "request_id": answer.request_id, **_told(answer)},
            severity="warning" if failed else "info",
        )
        self._history.announce(event, (self._replier.reply(delivery, answer),))

    # ------------------------------------------------------------------------------------ commands

    def _list(self, command: Command) -> dict[str, Any]:
        lines = self._book.listing(command.sku)
        return {
            "recipes": [listed(line) for line in lines[:MOST_LISTED]],
            "left_out": max(0, len(lines) - MOST_LISTED),
        }

    def _show(self, command: Command) -> dict[str, Any]:
        recipe = self._exchange.find(_sku(command), command.version)
        active = self._book.active_version(recipe.sku) == recipe.version
        return {"recipe": shown(recipe, active=active)}

    def _activate(self, command: Command) -> dict[str, Any]:
        sku, version = _sku(command), command.version
        if version is None:
            raise RecipeError("recipe.activate needs a version")
        before = self._book.active_version(sku)
        self._book.activate(sku, version)
        return {"sku": sku, "version": version, "before": before}

    def _export(self, command: Command) -> dict[str, Any]:
        recipe = self._exchange.find(_sku(command), command.version)
        return {"sku": recipe.sku, "version": recipe.version, "recipe": self._exchange.export(recipe)}

    def _import(self, command: Command) -> dict[str, Any]:
        if command.recipe is None:
            raise RecipeError("recipe.import needs the recipe")
        imported = self._exchange.import_text(
            command.recipe, "the recipe", sku=command.sku, activate=command.activate
        )
        recipe = imported.recipe
        return {
            "sku": recipe.sku,
            "version": recipe.version,
            "new": imported.new,
            "active": imported.active,
            "calibrated": recipe.calibration is not None,
            "remarks": list(imported.remarks),
        }

    def _commission(self, command: Command) -> dict[str, Any]:
        if command.frames is None:
            raise RecipeError("recipe.commission needs frames: how many of the first ones are good")
        found = enroll_first_frames(self._book, self._samples, _sku(command), command.frames)
        return {"sku": command.sku, "frames": [frame.frame_id for frame in found]}


def _sku(command: Command) -> str:
    if command.sku is None:
        raise RecipeError(f"{command.name} needs a sku")
    return command.sku


def _sku_of(answer: Answer) -> str | None:
    sku = (answer.result or {}).get("sku")
    return sku if isinstance(sku, str) else None


def _told(answer: Answer) -> dict[str, int | str | None]:
    """Of the result, what fits a row."""
    kept = ("version", "before", "new", "active", "calibrated")
    return {name: value for name, value in (answer.result or {}).items() if name in kept}
