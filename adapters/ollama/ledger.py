"""What was repaired or left out of an answer, as sentences for the recipe's row."""

from __future__ import annotations

from collections import Counter

from adapters.ollama.cleaning import clean

_QUOTED = 48
"""Characters of an example."""


class Ledger:
    """Counts what happened to the texts of an answer, one example of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def left_out(self, what: str, why: str, text: str = "") -> None:
        """A text is not used; without it, it is only counted."""
        self._enter((what, f"left out: {why}"), text)

    def mended(self, what: str, how: str, text: str) -> None:
        """A text is used in another form than it was written."""
        self._enter((what, f"mended: {how}"), text)

    def __bool__(self) -> bool:
        return bool(self._counts)

    def sentences(self) -> tuple[str, ...]:
        """One for each kind, in the order in which they came."""
        return tuple(
            f"{count} of the {what} {done}{self._examples.get((what, done), '')}"
            for (what, done), count in self._counts.items()
        )

    def _enter(self, kind: tuple[str, str], text: str) -> None:
        self._counts[kind] += 1
        # Never the model's own text: notes end in rows, logs and on screens.
        plain = clean(text)
        if plain:
            self._examples.setdefault(kind, f" ({plain[:_QUOTED]!r})")
