"""How much of a text CLIP reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

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
