"""Texts of a language model made plain: ASCII words and a little punctuation, or nothing at all."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache

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


_DAMAGE = re.compile(
    r"\b(?:scratch|crack|dented\b|dents?\b|broken|breakage|damag|defect|flaw(?!less)|fault(?!less)|stain(?!less)"
    r"|contaminat|rust|corro[ds]|torn|deform|missing|misprint|misshap|discolou?r|fractur|smudg|smear|blemish"
    r"|imperfect|abnormal|anomal(?!y detection)|scuff|shatter|gouge)[a-z]*"
)
_DENIAL = re.compile(
    r".*\b(?:no|not|nothing|without|free|non|never|zero|lacks?|lacking|absence|neither|nor|less than)\b"
    r"([^.;]*)$"
)
_TURN = re.compile(r"\b(?:but|except|though|although|however|with|has|having|shows?|showing)\b")
_DENIED_AFTER = re.compile(r"^[ -]?(?:free|less|proof|resistant)\b")
_GOOD = re.compile(
    r"\b(?:flawless|perfect|pristine|undamaged|unblemished|unscratched|unbroken|intact|faultless|spotless"
    r"|immaculate|unscathed)(?:ly)?\b"
)


def says_bad(text: str, noun: str) -> bool:
    """Whether a cleaned text tells of damage that it does not deny. The noun's own words do not count."""
    text = without(text, noun)
    return any(not _denied(text, found) for found in _DAMAGE.finditer(text))


def says_good(text: str, noun: str) -> bool:
    """Whether a cleaned text praises the part, or denies all the damage that it names."""
    if says_bad(text, noun):
        return False
    text = without(text, noun)
    praised = any(not _denied(text, found) for found in _GOOD.finditer(text))
    return praised or _DAMAGE.search(text) is not None


def _denied(text: str, found: re.Match[str]) -> bool:
    denial = _DENIAL.match(text[: found.start()])
    # A "no" holds for the whole list that follows, up to a word that turns the sentence.
    if denial is not None and _TURN.search(denial[1]) is None:
        return True
    return _DENIED_AFTER.match(text[found.end() :]) is not None


CONTEXT = 77
"""Tokens that CLIP's text tower takes, start and end of the text among them (METHODS section 0.1)."""

TokenCounter = Callable[[str], int]


def clip_tokens(text: str) -> int:
    """How many tokens the text has for CLIP, start and end among them."""
    return len(_encoder()(text)) + 2


@cache
def _encoder() -> Callable[[str], list[int]]:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer().encode


def fits(text: str, count: TokenCounter = clip_tokens) -> bool:
    """Whether CLIP reads all of it, also where it is wrapped as FADE does (METHODS section 1.3)."""
    wrapped = f"a photo of a {text}."
    # No token is shorter than a byte: most texts need no tokenizer to be known as short enough.
    return len(wrapped.encode()) + 2 <= CONTEXT or count(wrapped) <= CONTEXT


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
