"""``legible``, ``fit`` and others: text that the built-in font can draw, as long as there is room.

Pillow's built-in font has Latin letters alone. Identifiers may have any, and no frame fails for a letter:
what the font lacks is written in Latin ones, or as its code point.
"""

from __future__ import annotations

import functools
import unicodedata

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LONGEST = 300
"""Characters of a text that are looked at; no overlay has room for more."""

_CYRILLIC = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i",
    "й": "y", "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t",
    "у": "u", "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "",
    "э": "e", "ю": "yu", "я": "ya", "і": "i", "ї": "yi", "є": "ye", "ґ": "g",
}  # fmt: skip
_GREEK = {
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k",
    "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t",
    "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o",
}  # fmt: skip
_LATIN = {**_CYRILLIC, **_GREEK}
_NO_SUCH = "\U0010fffd"
"""A code point of private use, which no font of Pillow's draws."""


@functools.lru_cache(maxsize=16)
def font(size: int) -> Font:
    """The built-in font at a height in pixels."""
    return ImageFont.load_default(size)


def legible(text: str) -> str:
    """``text`` in one line, in letters that the font has."""
    plain = " ".join(text[:LONGEST].split())
    return "".join(_drawn(one) for one in unicodedata.normalize("NFC", plain))


def shortened(text: str, most: int) -> str:
    """At most ``most`` characters: ids differ at their beginning and end, so the middle goes."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return text[: most - 1 - end] + "…" + text[len(text) - end :]


def fit(draw: ImageDraw.ImageDraw, text: str, of: Font, width: float) -> str:
    """``text`` as :func:`legible`, cut at its end to ``width`` pixels."""
    text = legible(text)
    if draw.textlength(text, font=of) <= width:
        return text
    least, most = 0, len(text)  # so many characters fit, so many do not
    while most - least > 1:
        middle = (least + most) // 2
        if draw.textlength(text[:middle] + "…", font=of) <= width:
            least = middle
        else:
            most = middle
    return text[:least] + "…"


@functools.lru_cache(maxsize=4096)
def _drawn(character: str) -> str:
    if _has(character):
        return character
    latin = _LATIN.get(character.lower())
    if latin is not None:
        return latin if character.islower() else latin.capitalize()
    name = unicodedata.name(character, "")
    parts = [one for one in unicodedata.normalize("NFKD", character) if not unicodedata.combining(one)]
    if " SYLLABLE " not in name and parts not in ([], [character]):
        # Full-width letters, ligatures, letters with marks.
        return "".join(_drawn(one) for one in parts)
    return _described(character, name)


def _described(character: str, name: str) -> str:
    """HIRAGANA LETTER KA, HANGUL SYLLABLE GANG, ARABIC LETTER BEH: the last word is how it sounds."""
    sound, category = name.rpartition(" ")[2].lower(), unicodedata.category(character)[0]
    if (" LETTER " in name or " SYLLABLE " in name) and sound.isalpha():
        return sound
    if category in "CMZ":  # controls, marks without their letter, spaces
        return " " if category == "Z" else ""
    return f"{{{ord(character):X}}}"


@functools.lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    """Whether the font draws it."""
    if " " <= character <= "~":
        return True
    built_in = font(16)
    if not isinstance(built_in, ImageFont.FreeTypeFont):
        return False  # a bitmap font, without FreeType: it raises for most others
    if not character.isprintable():
        return False
    return bytes(built_in.getmask(character)) not in (b"", bytes(built_in.getmask(_NO_SUCH)))
