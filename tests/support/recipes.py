"""``recipes``: a hypothesis strategy for any recipe, for tests of round trips."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from agent.domain.calibration import Calibration
from agent.domain.prompts import NamedDefect, PromptSet, PromptSource
from agent.domain.recipe import Recipe, Reference
from agent.domain.regions import Polygon, Regions, rectangle

Words = st.SearchStrategy[str]

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def words(**without: Any) -> Words:
    """Short texts; ``without`` goes to ``hypothesis.strategies.characters``."""
    return st.text(st.characters(codec="utf-8", **without), min_size=1, max_size=20)


def recipes(words: Words, **more: Any) -> st.SearchStrategy[Recipe]:
    """Recipes whose texts are ``words``; ``more``: strategies of further fields."""
    phrases = st.lists(words, min_size=1, max_size=3).map(tuple)
    whole = st.integers(-(2**53), 2**53)
    lists = st.lists(whole, max_size=3) | st.lists(FINITE, max_size=3)
    digests = st.text("0123456789abcdef", min_size=64, max_size=64)
    return st.builds(
        Recipe,
        sku=words,
        noun=words.filter(str.strip),
        prompts=st.builds(
            PromptSet,
            normal=phrases,
            anomalous=phrases,
            defects=st.lists(st.builds(NamedDefect, words, phrases, words | st.just("")), max_size=2).map(
                tuple
            ),
            source=st.sampled_from(PromptSource),
            provenance=st.dictionaries(words, words, max_size=2),
        ),
        method=words,
        parameters=st.dictionaries(words, FINITE | whole | st.booleans() | words | lists, max_size=4),
        references=st.lists(st.builds(Reference, digests, words, words), max_size=2).map(tuple),
        calibration=st.none() | _calibrations(words),
        note=st.none() | words,
        regions=st.builds(Regions, inspect=st.lists(_areas(), max_size=2).map(tuple)),
        **more,
    )


@st.composite
def _areas(draw: st.DrawFn) -> Polygon:
    x, y = draw(st.floats(0.0, 0.8)), draw(st.floats(0.0, 0.8))
    return rectangle(x, y, draw(st.floats(0.1, 0.2)), draw(st.floats(0.1, 0.2)))


@st.composite
def _calibrations(draw: st.DrawFn, words: Words) -> Calibration:
    low, high = sorted((draw(FINITE), draw(FINITE)))
    samples, rate, source = draw(st.integers(0, 10_000)), draw(FINITE), draw(words)
    return Calibration(high, low, samples, rate, source, draw(st.none() | FINITE), draw(st.none() | words))
