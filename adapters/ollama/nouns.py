"""Nouns: what a product is called, for the detector and for prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from adapters.models.vocabulary import VOCABULARY
from adapters.ollama.answers import NounsAnswer, TagsAnswer
from adapters.ollama.checked import Checked, at_most, cleaned, require, sifted
from adapters.ollama.cleaning import clean, mentions, noun_pattern, words_of
from adapters.ollama.ledger import Ledger

MOST_NOUNS = 5
_LONGEST = 40
_WORDS = re.compile(r"[a-z]+(?:[ -][a-z]+){0,2}")
_ARTICLE = re.compile(r"^(?:an?|the|one|some) (?=[a-z])")
_ANYTHING = """
object item product thing part component article unit sample image photo picture photograph camera background
unknown none other nothing something
"""
_WRONG = "defect defects damage anomaly anomalies abnormal normal scratch crack stain dent flaw"
_GENERIC, _DAMAGE = frozenset(_ANYTHING.split()), frozenset(_WRONG.split())


def is_noun(text: str) -> bool:
    """Whether a cleaned text is one to three words of letters."""
    return len(text) <= _LONGEST and _WORDS.fullmatch(text) is not None


def checked_nouns(answer: NounsAnswer, name: str | None = None) -> Checked[tuple[str, ...]]:
    """One to five nouns, the likeliest first.

    Args:
        name: what people call the product. Where it holds a noun of the vocabulary ("brass hex nut M8"),
            only nouns that share a word with the name are taken: whoever talked the model into it, a nut is
            no banana.

    Raises:
        UnusableAnswerError: none is usable.
    """
    ledger = Ledger()
    nouns = _sound(answer.nouns, "nouns", ledger)
    plain = clean(name) if name else None
    if plain and named_products().search(plain):
        nouns = sifted(
            nouns,
            "nouns",
            ledger,
            lambda noun: None if _related(noun, plain) else "another product than its name says",
        )
    nouns = at_most(nouns, MOST_NOUNS, "nouns", ledger)
    require(len(nouns), 1, "nouns", ledger)
    return Checked(tuple(nouns), ledger.sentences())


def checked_tags(answer: TagsAnswer, most: int) -> Checked[tuple[str, ...]]:
    """At most ``most`` words for what a picture shows. Raises UnusableAnswerError where none is usable."""
    ledger = Ledger()
    tags = at_most(_sound(answer.tags, "tags", ledger), most, "tags", ledger)
    require(len(tags), 1, "tags", ledger)
    return Checked(tuple(tags), ledger.sentences())


@cache
def named_products(but: frozenset[str] = frozenset()) -> re.Pattern[str]:
    """Finds the vocabulary's nouns in a cleaned text, longer ones before their parts."""
    nouns = sorted((noun.lower() for noun in VOCABULARY if noun.lower() not in but), key=len, reverse=True)
    return re.compile("|".join(noun_pattern(noun) for noun in nouns))


def _sound(texts: Sequence[str], what: str, ledger: Ledger) -> list[str]:
    bare = [_ARTICLE.sub("", text) for text in cleaned(texts, what, ledger)]
    return sifted(dict.fromkeys(bare), what, ledger, _objection)


def _objection(noun: str) -> str | None:
    if not is_noun(noun):
        return "not one to three words of letters"
    words = set(words_of(noun.replace("-", " ")))
    if words <= _GENERIC:
        return "names nothing in particular"
    return "names a defect, not a product" if words & _DAMAGE else None


def _related(noun: str, name: str) -> bool:
    """Whether two cleaned texts share a word, in singular or plural."""
    pairs = ((name, noun), (noun, name))
    return any(mentions(one, word) for one, other in pairs for word in words_of(other) if len(word) > 2)
