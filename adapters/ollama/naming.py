"""``Called``, ``checked_nouns`` and ``checked_translation``: what people and models call a product."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial

from adapters.ollama.answers import NounsAnswer, TranslationAnswer
from adapters.ollama.errors import UnusableAnswerError
from adapters.ollama.instructions import LONGEST_NAME
from adapters.ollama.products import is_english, is_recognised, is_same_kind, looks_foreign, own_noun
from adapters.ollama.text import Ledger, TokenCounter, clean, clip_tokens, speaks_to_a_model, words_of
from adapters.ollama.validation import (
    Checked,
    at_most,
    noun_objection,
    require,
    usable_nouns,
    without_objections,
)
from agent.ports import Brief

MOST_NOUNS = 5
_WORDS_OF_A_NAME = 6
_ALIKE = 0.75
"""From this share of equal letters on, two words count as one: models misspell what they copy."""


@dataclass(frozen=True, slots=True)
class Called:
    """What people call a product, as far as it bears on what a model may call it."""

    name: str | None = None
    """In English, cleaned; None if it has no name, or one that could not be translated."""
    foreign: str = ""
    """Its name if it is in another language, or not known to be English; then it is translated first."""
    suspect: bool = False
    """Whether its description gives orders to a model."""
    certain: bool = False
    """Whether ``name`` is English for sure."""

    @classmethod
    def of(cls, brief: Brief, count: TokenCounter = clip_tokens) -> Called:
        """What the operator's words say before a model is asked."""
        name, description = (brief.name or "").strip()[:LONGEST_NAME], brief.description or ""
        suspect = speaks_to_a_model((clean(description) or description).lower())
        plain = clean(name)
        if plain is None or looks_foreign(name, description):
            return cls(None, name, suspect)
        certain = is_english(plain, count)
        # An unusual English word is asked about as well, and stays as it is.
        return cls(plain, "" if certain else name, suspect, certain)

    def is_of(self, noun: str) -> bool:
        """Whether a noun is known to name the product."""
        return self.certain and self.name is not None and is_same_kind(noun, self.name) is True

    @property
    def own(self) -> str | None:
        """The noun that the name itself gives."""
        noun = own_noun(self.name)
        return noun if noun is not None and noun_objection(noun) is None else None


def checked_nouns(answer: NounsAnswer, called: Called = Called()) -> Checked[tuple[str, ...]]:
    """One to five nouns, the likeliest first.

    A noun that names another product than its name says is left out, so injected text cannot turn a nut into
    a banana. If none is known to fit, the name's own noun is taken, unless that may not be English.

    Raises:
        UnusableAnswerError: none is usable.
    """
    ledger = Ledger()
    nouns = usable_nouns(answer.nouns, "nouns", ledger)
    nouns = without_objections(nouns, "nouns", ledger, partial(_other_name, called=called))
    fitting = [noun for noun in nouns if called.is_of(noun)]
    own, uncertain = called.own, "not known to be what its name says"
    if fitting:
        nouns = without_objections(nouns, "nouns", ledger, lambda n: None if n in fitting else uncertain)
    elif nouns and own and (called.suspect or called.certain):
        for noun in nouns:
            ledger.left_out("nouns", uncertain, noun)
        ledger.mended("nouns", "the name's own noun taken", own)
        nouns = [own]
    elif called.foreign:
        # Nothing decides, so what is known to be a product is safer than what is not.
        nouns = sorted(nouns, key=lambda noun: not is_recognised(noun))
    nouns = at_most(nouns, MOST_NOUNS, "nouns", ledger)
    require(len(nouns), 1, "nouns", ledger)
    return Checked(tuple(nouns), ledger.sentences())


def _other_name(noun: str, called: Called) -> str | None:
    """Why a usable noun cannot name the product that people call so."""
    if looks_foreign(noun):
        return "not English"
    if called.is_of(noun):
        return None
    if called.foreign and not is_recognised(noun) and _repeats(noun, called.foreign):
        return "its name not translated"
    if called.name and is_same_kind(noun, called.name) is False:
        return "another product than its name says"
    return None


def _repeats(text: str, name: str) -> bool:
    """Whether a text holds a word of a name, also misspelled."""
    words, others = (re.findall(r"[^\W\d_]{3,}", each.lower()) for each in (text, name))
    return any(SequenceMatcher(None, one, other).ratio() > _ALIKE for one in words for other in others)


def checked_translation(answer: TranslationAnswer, name: str) -> Checked[str]:
    """A product's name in English. Raises UnusableAnswerError if it is not."""
    plain = clean(answer.english)
    if plain is None or looks_foreign(answer.english) or own_noun(plain) is None or speaks_to_a_model(plain):
        raise UnusableAnswerError("the name was not translated into English")
    if len(words_of(plain)) > _WORDS_OF_A_NAME:
        raise UnusableAnswerError(f"the English name had more than {_WORDS_OF_A_NAME} words")
    if looks_foreign(name) and not is_recognised(plain) and _repeats(plain, name):
        raise UnusableAnswerError("the name was not translated into English")
    return Checked(plain)
