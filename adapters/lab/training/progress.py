"""``Progress``: a stage of training on disk, with its curve and the checkpoint that it goes on from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agent.domain.errors import ConfigurationError

logger = logging.getLogger(__name__)

EVERY = 100
"""Steps between two checkpoints."""
SHOWN = 25
"""Steps between two points of the curve."""
_MEMORY = 0.95
"""Of the running mean that the curve shows."""


class Progress:
    """One stage's steps, in order; whatever a step draws has to follow from its number alone.

    ``NAME.checkpoint.pt`` holds model, optimiser and the step reached, ``NAME.curve.jsonl`` one line of JSON
    for every ``SHOWN`` steps with running means of the losses. A run that is started again with the same
    settings goes on with the step after the last checkpoint, and ends with the same weights as one that was
    never cut short.
    """

    def __init__(
        self, folder: Path, name: str, model: nn.Module, optimiser: torch.optim.Optimizer, settings: object
    ) -> None:
        """Take up the checkpoint in ``folder``, if there is one.

        Raises:
            ConfigurationError: it was made with other settings.
        """
        self._checkpoint = folder / f"{name}.checkpoint.pt"
        self._curve = folder / f"{name}.curve.jsonl"
        self._name, self._model, self._optimiser = name, model, optimiser
        self._settings = _plain(settings)
        self._running: dict[str, float] = {}
        self.first = 0
        if self._checkpoint.exists():
            self._resume()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._curve.unlink(missing_ok=True)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        if state["settings"] != self._settings:
            raise ConfigurationError(
                f"{self._checkpoint} was made with other settings; delete it, or choose another --out"
            )
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._running, self.first = dict(state["running"]), int(state["step"]) + 1
        kept = [line for line in self._lines() if _step(line) < self.first]
        self._curve.write_text("".join(f"{line}\n" for line in kept))
        logger.info("%s goes on at step %d", self._name, self.first)

    def _lines(self) -> list[str]:
        return self._curve.read_text().splitlines() if self._curve.exists() else []

    def steps(self, count: int) -> Iterator[int]:
        """The numbers of the steps that are still to do."""
        yield from range(self.first, count)

    def done(self, step: int, count: int, losses: Mapping[str, float]) -> None:
        """Note the losses of a finished step; write curve and checkpoint when they are due."""
        for key, value in losses.items():
            self._running[key] = _MEMORY * self._running.get(key, value) + (1 - _MEMORY) * value
        last = step == count - 1
        if step % SHOWN == 0 or last:
            shown = " ".join(f"{key} {value:.4f}" for key, value in self._running.items())
            logger.info("%s step %d/%d %s", self._name, step, count, shown)
            with self._curve.open("a") as curve:
                curve.write(json.dumps({"step": step, **self._running}) + "\n")
        if step % EVERY == EVERY - 1 or last:
            self._save(step)

    def _save(self, step: int) -> None:
        state = {
            "settings": self._settings,
            "step": step,
            "running": self._running,
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)


def _step(line: str) -> float:
    """The step of a line of the curve; never one to keep if the machine stopped within the line."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return float("inf")


def _plain(settings: object) -> dict[str, Any]:
    """Settings as JSON has them, so that they compare equal after a trip to disk."""
    values = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else {"": settings}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain
