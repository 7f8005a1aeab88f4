"""indefinite_article(): "a" or "an", by the sound with which a phrase begins."""

from __future__ import annotations

import re
import unicodedata

_SPELLED_WITH_A_VOWEL = frozenset("aefhilmnorsx")
"""Letters whose English names begin with a vowel: an M6 bolt, an LED, but a USB plug."""
_SPELLED_WORDS = "led lcd rfid hdmi ic usb ups ufo uv eu uk us id io"
_SPELLED = frozenset(_SPELLED_WORDS.split())
"""Abbreviations that hold a vowel and are spelled all the same, if they stand in lower case."""
_ACRONYM_WORDS = """
fakra fet fifo hepa laser lego lidar mems mosfet nand nato nema radar ram rom lan rtos sata scart
sim
"""
_ACRONYMS = frozenset(_ACRONYM_WORDS.split())
"""Abbreviations that are read as words."""
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)")
_YOU_OR_WON = re.compile(
    r"eu|ewe|on(?:e|ce)\b|uni(?:[bcfloptvx]|q|s(?!s)|ax|directional)|us(?:e|a[bg]|u)|ut(?:e|il|op)"
    r"|ur(?:ea|eth|in|an)|ubi|uku|ukr|u\b"
)
"""Beginnings with a vowel letter and a consonant's sound: a uniform, a used part, a one-piece lid."""
_EIGHT_ELEVEN_EIGHTEEN = re.compile(r"8|1[18](?:\D|$)|1[18]\d{3}(?!\d)")


def indefinite_article(phrase: str) -> str:
    """The article that English puts before a phrase.

    >>> [indefinite_article(p) for p in ("alien", "uniform", "hourglass", "LED", "M6 bolt", "8-pin plug")]
    ['an', 'a', 'an', 'an', 'an', 'an']
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", phrase) if not unicodedata.combining(c))
    found = re.search(r"[A-Za-z0-9]+", plain)
    if found is None:
        return "a"
    word = found[0]
    if word[0].isdigit():
        return "an" if _EIGHT_ELEVEN_EIGHTEEN.match(plain[found.start() :].replace(",", "")) else "a"
    if _is_spelled(word, shouted=phrase.isupper()):
        return "an" if word[0].lower() in _SPELLED_WITH_A_VOWEL else "a"
    lowered = word.lower()
    if _YOU_OR_WON.match(lowered):
        return "a"
    if _SILENT_H.match(lowered) or re.match(r"y[^aeiou]", lowered):
        return "an"
    return "an" if lowered[0] in "aeiou" else "a"


def with_article(text: str, noun: str) -> str:
    """A text in which the noun stands after "a" or "an", with the right one of both."""
    return re.sub(rf"\b([Aa])n? (?={re.escape(noun)}(?!\w))", rf"\1{indefinite_article(noun)[1:]} ", text)


def _is_spelled(word: str, *, shouted: bool) -> bool:
    """Whether a word is read letter by letter: M6, PCB, LED, the U of U-bolt; not the HEX of HEX NUT."""
    letters, lowered = re.match(r"[A-Za-z]*", word)[0], word.lower()  # type: ignore[index]
    if lowered in _ACRONYMS:
        return False
    if len(letters) == 1 or lowered in _SPELLED or not re.search(r"[aeiouy]", lowered):
        return True
    return letters.isupper() and len(letters) <= 4 and not shouted
