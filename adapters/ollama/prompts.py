"""Descriptions of good and bad parts of one product (APG-GD; METHODS sections 4.1 and 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.ollama.answers import PromptsAnswer
from adapters.ollama.checked import Checked, at_most, cleaned, require, sifted
from adapters.ollama.cleaning import mentions, words_of
from adapters.ollama.ledger import Ledger
from adapters.ollama.polarity import says_bad, says_good
from adapters.ollama.tokens import TokenCounter, clip_tokens, fits

LEAST, MOST = 5, 20
"""Descriptions of each side (METHODS section 6)."""
_LONGEST_WORDS = 30
_STAND_IN = re.compile(r"\b(?:object|product|item)\b")


@dataclass(frozen=True, slots=True)
class Sides:
    """Descriptions that passed."""

    normal: tuple[str, ...]
    anomalous: tuple[str, ...]


def checked_prompts(
    answer: PromptsAnswer,
    noun: str,
    *,
    least: int = LEAST,
    most: int = MOST,
    count: TokenCounter = clip_tokens,
) -> Checked[Sides]:
    """Descriptions that name the product, fit into CLIP, and say what their list is for.

    "the object" becomes the noun, which is safe; a text that stands in both lists is dropped from both, since
    nobody knows which was meant.

    Raises:
        UnusableAnswerError: fewer than ``least`` are left of a side.
    """
    ledger = Ledger()
    sides = {
        side: _named(cleaned(texts, side_name, ledger), side_name, noun, ledger, count)
        for side, side_name, texts in (
            ("normal", "normal prompts", answer.normal),
            ("anomalous", "anomalous prompts", answer.anomalous),
        )
    }
    return settled(sides["normal"], sides["anomalous"], noun, ledger, least=least, most=most)


def settled(
    normal: list[str], anomalous: list[str], noun: str, ledger: Ledger, *, least: int, most: int
) -> Checked[Sides]:
    """Two lists of sound texts without what contradicts itself or the other list.

    Raises UnusableAnswerError where fewer than ``least`` are left of a side.
    """
    both = set(normal) & set(anomalous)
    for text in sorted(both):
        ledger.left_out("prompts", "in both lists", text)
    normal = sifted(
        (text for text in normal if text not in both),
        "normal prompts",
        ledger,
        lambda text: "tells of damage" if says_bad(text, noun) else None,
    )
    anomalous = sifted(
        (text for text in anomalous if text not in both),
        "anomalous prompts",
        ledger,
        lambda text: "tells of a good part" if says_good(text, noun) else None,
    )
    normal = at_most(normal, most, "normal prompts", ledger)
    anomalous = at_most(anomalous, most, "anomalous prompts", ledger)
    require(len(normal), least, "normal prompts", ledger)
    require(len(anomalous), least, "anomalous prompts", ledger)
    return Checked(Sides(tuple(normal), tuple(anomalous)), ledger.sentences())


def _named(texts: list[str], what: str, noun: str, ledger: Ledger, count: TokenCounter) -> list[str]:
    """Texts that name the product and that CLIP reads to their end, each once."""
    named: dict[str, None] = {}
    for text in texts:
        full = text
        if not mentions(text, noun) and _STAND_IN.search(text):
            full = _STAND_IN.sub(noun, text, count=1)
            ledger.mended(what, f"the {noun} named", text)
        named[full] = None

    def objection(text: str) -> str | None:
        if not mentions(text, noun):
            return f"no {noun} in it"
        if not 2 <= len(words_of(text)) <= _LONGEST_WORDS:
            return f"not 2 to {_LONGEST_WORDS} words"
        return None if fits(text, count) else "longer than CLIP reads"

    return sifted(named, what, ledger, objection)
