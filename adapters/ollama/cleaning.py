"""Texts of a language model made plain: ASCII words and a little punctuation, or nothing at all."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 300
"""Characters of one text; nobody describes a part in more."""
_READ = 4 * LONGEST
_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": " ", "”": " ", "–": "-", "—": "-", "‐": "-", "‑": "-"})
_URL = re.compile(r"\b(?:[a-z][a-z0-9+.-]*://|www\.)\S*", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_TAG = re.compile(r"<[^<>]*>")
_BULLET = re.compile(r"^\s*(?:[-*+•>#]+|\(?\d{1,3}[.)])\s+")
_UNWANTED = re.compile(r"[^A-Za-z0-9 ,.;:'()/%&+-]")
_EDGES = " .,;:'/&+-"

_TO_A_MODEL = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.*\b(?:instruction|rule|previous|prior|above|everything|data)"
    r"|\binstructions?\b|\bsystem prompt\b|\bprompts?\b|\blanguage model\b|\bas an ai\b|\bjson\b|\bverdict\b"
    r"|\b(?:always|never|must) (?:pass|fail|answer|output|say|respond|accept|approve)"
    r"|\b(?:output|respond|reply|answer)(?: only)? with\b|\bjailbreak"
)


def clean(text: str) -> str | None:
    """Lower case ASCII without links, markup, control characters and decoration; None where no words stay.

    Accents are dropped. Letters of other scripts make it None: the text towers read English.
    """
    text = unicodedata.normalize("NFKD", text[:_READ].translate(_PLAIN))
    text = "".join(
        " " if unicodedata.category(c)[0] in "CZ" else c for c in text if not unicodedata.combining(c)
    )
    text = _LINK.sub(r"\1", text)
    text = _BULLET.sub("", _TAG.sub(" ", _URL.sub(" ", text)))
    if any(c.isalpha() and not c.isascii() for c in text):
        return None
    text = " ".join(_UNWANTED.sub(" ", text).lower().split()).strip(_EDGES)
    if len(text) > LONGEST or not any(c.isalpha() for c in text):
        return None
    return text


def is_as_written(text: str, cleaned: str) -> bool:
    """Whether cleaning only changed case, spaces and the final full stop, which is not worth a note."""
    return " ".join(text.lower().split()).strip(_EDGES) == cleaned


def speaks_to_a_model(cleaned: str) -> bool:
    """Whether a text is no description of a part but reads like an order to whoever reads it."""
    return _TO_A_MODEL.search(cleaned) is not None


def words_of(cleaned: str) -> list[str]:
    """The words of a cleaned text, hyphenated ones whole."""
    return re.findall(r"[a-z0-9][a-z0-9'-]*", cleaned)


def mentions(cleaned: str, noun: str) -> bool:
    """Whether a text names a noun, in singular or plural, hyphenated or not."""
    return _named(noun).search(cleaned) is not None


def without(cleaned: str, noun: str) -> str:
    """A text without the words of a noun."""
    return " ".join(_named(noun).sub(" ", cleaned).split())


def _named(noun: str) -> re.Pattern[str]:
    return re.compile(noun_pattern(noun))


def noun_pattern(noun: str) -> str:
    """A regular expression for a noun as whole words, its last one in singular or plural."""
    *first, last = re.split(r"[ -]+", noun)
    plurals = rf"{re.escape(last)}(?:s|es)?"
    if last.endswith("y"):
        plurals += rf"|{re.escape(last[:-1])}ies"
    return rf"\b{''.join(re.escape(word) + '[ -]?' for word in first)}(?:{plurals})\b"
