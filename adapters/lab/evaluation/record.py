"""``Record``: one JSON file that grows with every trial; an evaluation that was cut short goes on with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.domain.errors import ConfigurationError, ModelError

PARTS = ("families", "photographs", "words", "speed")

KEPT_DIGITS = 9
"""Of a score: more than its 32 bits hold."""


class Record:
    """Results by part and trial. Everything printed follows from it alone."""

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        path: Path | None = None,
        parts: Sequence[str] = PARTS,
    ) -> None:
        """Go on with the file at ``path`` if there is one; None keeps nothing on disk.

        Args:
            settings: what figures depend on, by part, and under ``all`` what every part depends on. Parts
                that are not named here stay as the file holds them.
            parts: what there is to measure.

        Raises:
            ConfigurationError: the file is of an evaluation with other settings, or it is not a record.
        """
        self._path = path
        self.settings: dict[str, dict[str, Any]] = json.loads(json.dumps(settings))
        self.parts: dict[str, dict[str, Any]] = {part: {} for part in parts}
        if path is not None and path.exists():
            self._go_on(path)

    def _go_on(self, path: Path) -> None:
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            settings, parts = held["settings"], held["parts"]
            other = _differing(settings, self.settings)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} is not a record of an evaluation; name another --out"
            ) from error
        if other:
            raise ConfigurationError(
                f"{path} holds an evaluation with another {', another '.join(other)}; name another --out, "
                "or remove the file"
            )
        self.settings = settings | self.settings
        self.parts |= parts

    def has(self, part: str, key: str) -> bool:
        """Whether a trial is through."""
        return key in self.parts[part]

    def put(self, part: str, key: str, result: Mapping[str, Any]) -> None:
        """Keep the result of a trial, on disk at once. Raises ConfigurationError, ModelError."""
        self.parts[part][key] = _trimmed(result)
        self.save()

    def save(self, summary: Mapping[str, Any] | None = None) -> None:
        """Write the file, the old one standing until the new one is whole. Raises ConfigurationError."""
        if self._path is None:
            return
        held = {"settings": self.settings, "summary": summary, "parts": self.parts}
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(held, allow_nan=False) + "\n", encoding="utf-8")
            partial.replace(self._path)
        except OSError as error:
            raise ConfigurationError(f"the record {self._path} cannot be written: {error}") from error


def _differing(held: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The settings that a file and a run disagree on, of the parts that both have."""
    return sorted(
        {
            key
            for part in held.keys() & wanted.keys()
            for key in held[part].keys() | wanted[part].keys()
            if held[part].get(key) != wanted[part].get(key)
        }
    )


def _trimmed(value: Any) -> Any:
    """Plain JSON; a score that is not a number is refused here, before it becomes a figure."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ModelError("a score is not a number; this checkpoint cannot be evaluated")
        return float(f"{value:.{KEPT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _trimmed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_trimmed(each) for each in value]
    return value
