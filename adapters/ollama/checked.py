"""An answer that passed its checks, and what all checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapters.ollama.cleaning import clean, is_as_written, speaks_to_a_model
from adapters.ollama.errors import UnusableAnswerError
from adapters.ollama.ledger import Ledger

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """What may be used of an answer."""

    value: T
    notes: tuple[str, ...] = ()
    """What was repaired or left out, a sentence each."""


def cleaned(texts: Iterable[str], what: str, ledger: Ledger) -> list[str]:
    """Plain texts, each once; what is none, or speaks to a model instead of about a part, is left out."""
    kept: dict[str, None] = {}
    for text in texts:
        plain = clean(text)
        if plain is None:
            ledger.left_out(what, "no English words", text)
        elif speaks_to_a_model(plain):
            ledger.left_out(what, "an order instead of a description")
        elif plain in kept:
            ledger.left_out(what, "said before", text)
        else:
            if not is_as_written(text, plain):
                ledger.mended(what, "links, markup or special characters removed", text)
            kept[plain] = None
    return list(kept)


def sifted(
    texts: Iterable[str], what: str, ledger: Ledger, objection: Callable[[str], str | None]
) -> list[str]:
    """The texts to which there is no objection; the others are left out with it."""
    kept = []
    for text in texts:
        why = objection(text)
        if why is None:
            kept.append(text)
        else:
            ledger.left_out(what, why, text)
    return kept


def at_most(texts: list[str], most: int, what: str, ledger: Ledger) -> list[str]:
    """The first ones."""
    for text in texts[most:]:
        ledger.left_out(what, f"more than {most}", text)
    return texts[:most]


def require(count: int, least: int, what: str, ledger: Ledger) -> None:
    """Raises UnusableAnswerError where too few stay, with all that was wrong."""
    if count < least:
        wrong = "; ".join(ledger.sentences())
        raise UnusableAnswerError(
            f"only {count} usable {what} where at least {least} are needed" + (f" ({wrong})" if wrong else "")
        )
