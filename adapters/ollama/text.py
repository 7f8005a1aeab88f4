"""``clean``, ``mentions``, ``fits`` and ``Ledger``: a model's texts made plain, measured and counted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache

LONGEST = 300
"""Characters of one text; no description of a part needs more."""
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

CONTEXT = 77
"""Tokens that CLIP's text tower takes, with start and end of the text (METHODS section 0.1)."""

TokenCounter = Callable[[str], int]

_QUOTED = 48
"""Characters of an example."""


def clean(text: str) -> str | None:
    """Lower case ASCII without links, markup, control characters and decoration; None if no words are left.

    Accents are dropped. A text with letters of other scripts gives None: the text towers read English.
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
    """Whether a text reads like an order to its reader, not like a description of a part."""
    return _TO_A_MODEL.search(cleaned) is not None


def words_of(cleaned: str) -> list[str]:
    """The words of a cleaned text; hyphenated ones stay whole."""
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


def clip_tokens(text: str) -> int:
    """How many tokens the text has for CLIP, with start and end."""
    return len(_encoder()(text)) + 2


@cache
def _encoder() -> Callable[[str], list[int]]:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer().encode


def fits(text: str, count: TokenCounter = clip_tokens) -> bool:
    """Whether CLIP reads all of it, also when wrapped as FADE does (METHODS section 1.3)."""
    wrapped = f"a photo of a {text}."
    # No token is shorter than a byte, so most texts need no tokenizer.
    return len(wrapped.encode()) + 2 <= CONTEXT or count(wrapped) <= CONTEXT


class Ledger:
    """Counts what happened to the texts of an answer, with one example of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def left_out(self, what: str, why: str, text: str = "") -> None:
        """Record that a text is not used; an empty ``text`` gives no example."""
        self._enter((what, f"left out: {why}"), text)

    def mended(self, what: str, how: str, text: str) -> None:
        """Record that a text is used in another form than it was written."""
        self._enter((what, f"mended: {how}"), text)

    def __bool__(self) -> bool:
        return bool(self._counts)

    def sentences(self, *, examples: bool = True) -> tuple[str, ...]:
        """One sentence for each kind, in order of appearance."""
        shown = self._examples if examples else {}
        return tuple(
            f"{count} of the {what} {done}{shown.get((what, done), '')}"
            for (what, done), count in self._counts.items()
        )

    def _enter(self, kind: tuple[str, str], text: str) -> None:
        self._counts[kind] += 1
        # Never the model's own text: notes go to rows, logs and screens.
        plain = clean(text)
        if plain:
            self._examples.setdefault(kind, f" ({plain[:_QUOTED]!r})")
