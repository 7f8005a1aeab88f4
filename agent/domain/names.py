"""``clean_name``: the one form of SKUs, part ids and frame ids; ``visible``: any text as it can be shown.

A barcode scanner, a spreadsheet and a camera write one product's name with different white space, accents
and invisible characters. Whatever one of them sends, the others find.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

MAX_NAME = 255
"""Longest SKU, part id and frame id in characters."""
MAX_NAME_BYTES = 500
"""Longest part id and frame id in UTF-8, as the columns of the history."""

_WHITE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""Unicode's White_Space: tab, line ends, no-break and narrow spaces included."""
_UNSEEN = re.compile(
    r"[\xad\u061c\u180e\u200b-\u200f\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f]+"
)
"""Joiners, direction marks, soft hyphen and byte order mark: nobody sees or types them."""
_BIDI = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_KINDS = {"Cc": "the control character", "Cs": "half a surrogate pair", "Cn": "the unassigned character"}


def clean_name(text: str, longest: int = MAX_NAME) -> str:
    """``text`` in the one form of names; empty if nothing is left.

    White space of any kind becomes one space and is stripped at both ends. Invisible characters are removed,
    joiners among them. The rest is Unicode NFC. Upper and lower case stay apart.

    Raises ValueError, to be read after what the text is: over ``longest`` characters, or a character that
    cannot be printed, by its U+XXXX: controls, lone surrogates, turns of direction, unassigned ones.
    """
    if len(text) > 16 * longest:  # normalising megabytes takes seconds
        raise ValueError(f"has {len(text):,} characters; 1 to {longest} characters are allowed")
    text = _fold(text)
    if not text.isprintable():
        found = next(one for one in text if not one.isprintable())
        raise ValueError(f"has {described(found)}, which cannot be printed; leave it out")
    text = unicodedata.normalize("NFC", text)
    if len(text) > longest:
        raise ValueError(f"has {len(text)} characters; 1 to {longest} characters are allowed")
    return text


def name_from(text: str) -> str:
    """``text`` in the form of names whatever it holds, for file names, which nobody chose as a name.

    What :func:`clean_name` refuses becomes an escape such as ``\\x07``. Of a text that is too long, the end
    stays, behind a digest of the whole, so that different texts stay different.
    """
    shown = "".join(one if one.isprintable() else _escape(one) for one in _fold(text))
    shown = unicodedata.normalize("NFC", shown) or "-"
    if len(shown) <= MAX_NAME and len(shown.encode()) <= MAX_NAME_BYTES:
        return shown
    head = f"{hashlib.sha256(shown.encode()).hexdigest()[:12]}~"
    end = shown.encode()[-(MAX_NAME_BYTES - len(head)) :].decode("utf-8", "ignore")
    return clean_name(head + end[-(MAX_NAME - len(head)) :])


def visible(text: str) -> str:
    r"""``text`` with what cannot be shown or would act on a terminal as an escape: ``\x1b``, ``\u202e``.

    The bytes of a file name that are not UTF-8 become ``\xff``.
    """
    if text.isprintable():
        return text
    return "".join(_escape(one) if acts(one) else one for one in text)


def described(character: str) -> str:
    """``the control character U+0007``, as errors name what cannot be seen."""
    if _BIDI.match(character):
        kind = "the direction override"
    else:
        kind = _KINDS.get(unicodedata.category(character), "the character")
    return f"{kind} U+{ord(character):04X}"


def spelling(text: str, stored: Iterable[str]) -> str:
    """The stored name that is ``text`` or another spelling of it, else ``text`` in the form of names.

    Names that were stored before there was one form keep theirs, and every spelling finds them.
    Raises ValueError, as :func:`clean_name`, for what is neither stored nor a name.
    """
    others = tuple(stored)
    if text in others:
        return text
    name = clean_name(text)
    return name if name in others else older_spellings(others).get(name, name)


def older_spellings(stored: Iterable[str]) -> dict[str, str]:
    """Stored names that are not in the form of names, by that form."""
    forms = ((_form(one), one) for one in sorted(stored, reverse=True))
    return {name: one for name, one in forms if name != one}


def differs_by_case(name: str, stored: Iterable[str]) -> list[str]:
    """The stored names that are other names than ``name`` by upper and lower case alone."""
    return sorted(one for one in stored if _form(one) != name and _form(one).casefold() == name.casefold())


def _fold(text: str) -> str:
    return _WHITE.sub(" ", _UNSEEN.sub("", text)).strip(" ")


def _form(stored: str) -> str:
    try:
        return clean_name(stored)
    except ValueError:
        return stored


def acts(character: str) -> bool:
    """Whether a character, shown, would do something to a terminal or to the text around it."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or _BIDI.match(character) is not None


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8 (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
