"""Kinds of defect: nouns for the detector with phrases and severity (IAP-AS; METHODS sections 3.1 and 6)."""

from __future__ import annotations

import re

from adapters.ollama.answers import DefectAnswer, DefectsAnswer
from adapters.ollama.checked import Checked, at_most, cleaned, require, sifted
from adapters.ollama.cleaning import clean, mentions, speaks_to_a_model, without, words_of
from adapters.ollama.ledger import Ledger
from adapters.ollama.nouns import is_noun
from adapters.ollama.polarity import says_good
from adapters.ollama.tokens import TokenCounter, clip_tokens, fits
from agent.domain.prompts import NamedDefect

LEAST, MOST = 5, 15
"""Kinds of defect. Fifteen of three words are far fewer than the 256 tokens that a caption may have."""
MOST_PHRASES = 5
_ARTICLE = re.compile(r"^(?:an?|the|any|some) (?=[a-z])")
_LOOSE = re.compile(r"^(?:(?:on|in|of|the|with|an?) )+|(?: (?:on|in|of|the|with|an?))+$")
# Chat around the answer, and what IAP-AS asks for anyway.
_EMPTY = """
word words none nothing no normal good part parts object item product image noun nouns defect defects abnormal
anomaly anomalies damage flaw flaws other etc pass fail ok unknown
"""
_NO_DEFECT = frozenset(_EMPTY.split())


def checked_defects(
    answer: DefectsAnswer, noun: str, *, count: TokenCounter = clip_tokens
) -> Checked[tuple[NamedDefect, ...]]:
    """Five to fifteen kinds of defect, each named once. Raises UnusableAnswerError where fewer are usable."""
    ledger = Ledger()
    kept: dict[str, NamedDefect] = {}
    for defect in answer.defects:
        name = _name(defect.name, noun, ledger)
        if name is None:
            continue
        if name in kept:
            ledger.left_out("defects", "named before", defect.name)
            continue
        if not defect.severity:
            ledger.mended("defects", "severity unknown", defect.name)
        kept[name] = NamedDefect(name, _phrases(defect, name, noun, ledger, count), defect.severity)
    names = at_most(list(kept), MOST, "defects", ledger)
    require(len(names), LEAST, "defects", ledger)
    return Checked(tuple(kept[name] for name in names), ledger.sentences())


def _name(text: str, noun: str, ledger: Ledger) -> str | None:
    """One to three words without the product; None where that leaves nothing that names a defect."""
    plain = clean(text)
    if plain is None or speaks_to_a_model(plain):
        ledger.left_out("defects", "no English words" if plain is None else "an order instead of a name")
        return None
    name = _ARTICLE.sub("", plain)
    if mentions(name, noun):
        name = _LOOSE.sub("", without(name, noun))
        if name:
            ledger.mended("defects", f"the {noun} not named again", text)
    if not name or not is_noun(name) or set(words_of(name.replace("-", " "))) <= _NO_DEFECT:
        ledger.left_out("defects", "no defect in one to three words", text)
        return None
    if says_good(name, noun):
        ledger.left_out("defects", "tells of a good part", text)
        return None
    return name


def _phrases(
    defect: DefectAnswer, name: str, noun: str, ledger: Ledger, count: TokenCounter
) -> tuple[str, ...]:
    """At most five short descriptions; the name itself where none is usable."""

    def objection(phrase: str) -> str | None:
        if len(words_of(phrase)) > 15 or not fits(phrase, count):
            return "too long"
        return "tells of a good part" if says_good(phrase, noun) else None

    phrases = sifted(cleaned(defect.phrases, "phrases", ledger), "phrases", ledger, objection)
    if not phrases:
        ledger.mended("defects", "described by their name alone", defect.name)
        return (name,)
    return tuple(at_most(phrases, MOST_PHRASES, "phrases", ledger))
