"""Which metrics a PromQL expression asks for; as much of the language as the shipped files use."""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACES = re.compile(r"\{[^}]*\}")
_RANGES = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])")
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "on"}
_NOT_OURS = {"up"}
"""What Prometheus itself records of a target."""


def metrics_of(expression: str) -> set[str]:
    """The names, without those of Prometheus itself."""
    text = _STRING.sub('""', expression)
    for noise in (_BRACES, _RANGES, _GROUPING):
        text = noise.sub(" ", text)
    return {name for name in _NAME.findall(text) if name not in _WORDS | _NOT_OURS}
