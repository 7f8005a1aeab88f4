"""Commands: recipes listed, shown, activated, exported, imported, commissioned, given regions by message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.domain.errors import RecipeError
from agent.domain.events import Event
from agent.domain.frame import Delivery
from agent.domain.names import spelling
from agent.enrollment.first_frames import commission, commissions
from agent.event_log import EventLog
from agent.ports import RecipeBook, Samples
from agent.ports.commands import Answer, Command, CommandError, CommandParser, Replier
from agent.recipes.import_export import RecipeTransfer
from agent.recipes.regions import change_regions
from agent.recipes.threshold import choose_threshold
from agent.recipes.view import listing_record, recipe_record
from agent.telemetry import Counters

_RESCORED = (
    "the threshold is set again from the {} references, beginning with the next frame; verdicts are REVIEW "
    "until then"
)

MOST_LISTED = 200
"""Versions in one answer, which has to fit into a message."""


class ConfirmedFrames(Protocol):
    """Makes inspected frames references, because a person called them good."""

    def add_frames(self, sku: str, frame_ids: Sequence[str], camera: str | None, by: str | None) -> int:
        """Returns how many new references wait to be enrolled at once. Raises RecipeError, StorageError."""
        ...


class Commands:
    """Answers every message on the command topic, and stores an event for it.

    A command may be delivered twice (QoS 1). Listing and showing change nothing, activating again leaves the
    same version active, and importing again finds the version that is there.
    """

    confirmed_frames: ConfirmedFrames | None = None
    """Set by the pipeline."""

    def __init__(
        self,
        parser: CommandParser,
        replier: Replier,
        book: RecipeBook,
        transfer: RecipeTransfer,
        events: EventLog,
        samples: Samples,
        counters: Counters,
    ) -> None:
        self._parser = parser
        self._replier = replier
        self._book = book
        self._transfer = transfer
        self._events = events
        self._samples = samples
        self._counters = counters
        self._handlers: Mapping[str, Callable[[Command], dict[str, Any]]] = {
            "recipe.list": self._list,
            "recipe.show": self._show,
            "recipe.activate": self._activate,
            "recipe.export": self._export,
            "recipe.import": self._import,
            "recipe.commission": self._commission,
            "recipe.threshold": self._choose_threshold,
            "recipe.add-reference": self._add_reference,
            "recipe.commissions": self._commissions,
            "recipe.region": self._region,
        }

    def handle(self, delivery: Delivery) -> None:
        """Carry out a command. Its event and its answer are stored in one transaction.

        Raises:
            StorageError: the database or the media folder refused. The delivery may be handled again.
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
        if command.sku is not None:
            command = replace(command, sku=spelling(command.sku, self._book.skus()))
        handler = self._handlers.get(command.name)
        if handler is None:
            raise RecipeError(f"there is no command {command.name!r}; known are {', '.join(self._handlers)}")
        return handler(command)

    def _answer(self, delivery: Delivery, answer: Answer, sku: str | None) -> None:
        failed = answer.error is not None
        self._counters.add("commands_refused" if failed else "commands")
        name = answer.command or "a message that is not a command"
        outcome = answer.error or "done"
        asked = f", asked for as {answer.request_id}" if answer.request_id else ""
        event = Event(
            kind="bad-command" if failed else "command",
            message=f"{name}{asked}: {outcome}",
            at=datetime.now(UTC),
            sku=sku or _sku_of(answer),
            details={"command": answer.command, "request_id": answer.request_id, **_row_details(answer)},
            severity="warning" if failed else "info",
        )
        self._events.store(event, (self._replier.reply(delivery, answer),))

    # ------------------------------------------------------------------------------------ commands

    def _list(self, command: Command) -> dict[str, Any]:
        lines = self._book.listing(command.sku)
        return {
            "recipes": [listing_record(line) for line in lines[:MOST_LISTED]],
            "left_out": max(0, len(lines) - MOST_LISTED),
        }

    def _show(self, command: Command) -> dict[str, Any]:
        recipe = self._transfer.find(_sku(command), command.version)
        active = self._book.active_version(recipe.sku) == recipe.version
        lines = self._book.listing(recipe.sku)
        changed = any(line.model_changed for line in lines if line.version == recipe.version)
        return {"recipe": recipe_record(recipe, active=active, model_changed=changed)}

    def _activate(self, command: Command) -> dict[str, Any]:
        sku, version = _sku(command), command.version
        if version is None:
            raise RecipeError("recipe.activate needs a version")
        before = self._book.active_version(sku)
        self._book.activate(sku, version)
        return {"sku": sku, "version": version, "before": before}

    def _export(self, command: Command) -> dict[str, Any]:
        recipe = self._transfer.find(_sku(command), command.version)
        return {"sku": recipe.sku, "version": recipe.version, "recipe": self._transfer.export_text(recipe)}

    def _import(self, command: Command) -> dict[str, Any]:
        if command.recipe is None:
            raise RecipeError("recipe.import needs the recipe")
        imported = self._transfer.import_text(
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
        if command.cancel:
            return {"sku": _sku(command), "cancelled": self._book.drop_commission(_sku(command))}
        if command.frames is None:
            raise RecipeError("recipe.commission needs frames: how many of the first ones are good")
        return commission(self._book, self._samples, _sku(command), command.frames).record()

    def _commissions(self, command: Command) -> dict[str, Any]:
        waiting = commissions(self._book, self._samples, command.sku)
        return {"waiting": [one.record() for one in waiting[:MOST_LISTED]]}

    def _choose_threshold(self, command: Command) -> dict[str, Any]:
        if command.threshold is None:
            raise RecipeError("recipe.threshold needs a threshold")
        chosen = choose_threshold(self._book, _sku(command), command.threshold, command.review, command.by)
        recipe, calibration = chosen.recipe, chosen.recipe.calibration
        return {
            "sku": recipe.sku,
            "version": recipe.version,
            "new": chosen.new,
            "threshold": None if calibration is None else calibration.threshold,
            "review_below": None if calibration is None else calibration.review_below,
            "note": recipe.note,
        }

    def _add_reference(self, command: Command) -> dict[str, Any]:
        if not command.frame_ids or self.confirmed_frames is None:
            raise RecipeError("recipe.add-reference needs frame_ids, and an agent that inspects")
        sku = _sku(command)
        count = self.confirmed_frames.add_frames(sku, command.frame_ids, command.camera, command.by)
        return {"sku": sku, "frames": list(command.frame_ids), "references": count}

    def _region(self, command: Command) -> dict[str, Any]:
        """Without regions to add and nothing to clear, it only tells those that there are."""
        active = self._transfer.find(_sku(command))
        draft = change_regions(active, inspect=command.inspect, ignore=command.ignore, clear=command.clear)
        recipe = active if draft is active else self._book.add(draft)
        later = draft is not active and recipe.calibration is not None
        return {
            "sku": recipe.sku,
            "version": recipe.version,
            "before": active.version,
            "new": draft is not active,
            "regions": recipe.regions.record(),
            "remarks": [_RESCORED.format(recipe.shots)] if later else [],
        }


def _sku(command: Command) -> str:
    if command.sku is None:
        raise RecipeError(f"{command.name} needs a sku")
    return command.sku


def _sku_of(answer: Answer) -> str | None:
    sku = (answer.result or {}).get("sku")
    return sku if isinstance(sku, str) else None


def _row_details(answer: Answer) -> dict[str, int | float | str | None]:
    """The values of the result that fit into a row."""
    kept = (
        "version",
        "before",
        "new",
        "active",
        "calibrated",
        "threshold",
        "review_below",
        "note",
        "references",
    )
    return {name: value for name, value in (answer.result or {}).items() if name in kept}
