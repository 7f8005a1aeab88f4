"""Does a description call a part good or bad?

A text that stands in the wrong list spoils the mean of embeddings more than a missing one would, whether the
model mixed the lists up or somebody told it to. Only words that speak of damage on any product are known
here: a hole, a chip or a bend may be what a good part looks like.
"""

from __future__ import annotations

import re

from adapters.ollama.cleaning import without

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
