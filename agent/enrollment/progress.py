"""``Progress``: how far long work is, step by step."""

from __future__ import annotations


class Progress:
    """Work in steps, each with a number of parts. This one shows nothing; what shows it overrides both."""

    def step(self, what: str, total: int) -> None:
        """The next step begins: what it does, in words, and how many parts it has."""

    def advance(self) -> None:
        """One more part of this step is done."""
