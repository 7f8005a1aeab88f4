"""WinCLIP's compositional ensemble and the rules of prompt sets (METHODS section 2)."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import RecipeError
from agent.domain.prompts import TEMPLATES, NamedDefect, PromptSet, PromptSource, compositional_ensemble

ENSEMBLE_SHA256 = "aec44fcda91c28e0ace41bf9aaf1a9242f00eff48964d6307c3c586305f0cea3"
"""Of the sorted strings for "metal nut", normal before anomalous; see :func:`fingerprint`."""


def fingerprint(prompts: PromptSet) -> str:
    lines = [*sorted(prompts.normal), "--", *sorted(prompts.anomalous)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def written_out(noun: str) -> tuple[set[str], set[str]]:
    """The ensemble as METHODS section 2 lists it, spelled in another way than the product does."""
    sentences: list[str] = []
    for article in ("a", "the"):
        looks = ("cropped ", "close-up ", "bright ", "dark ", "jpeg corrupted ", "blurry ", "")
        purposes = ("visual inspection", "anomaly detection")
        sentences += [f"a {look}photo of {article} STATE" for look in looks]
        sentences += [f"a photo of {article} {size} STATE" for size in ("small", "large")]
        sentences += [f"a photo of {article} STATE for {purpose}" for purpose in purposes]
    good = [noun, f"flawless {noun}", f"perfect {noun}", f"unblemished {noun}"]
    good += [f"{noun} without {flaw}" for flaw in ("flaw", "defect", "damage")]
    bad = [f"damaged {noun}"] + [f"{noun} with {flaw}" for flaw in ("flaw", "defect", "damage")]
    return (
        {s.replace("STATE", state) for s in sentences for state in good},
        {s.replace("STATE", state) for s in sentences for state in bad},
    )


def test_there_are_22_templates_and_154_and_88_distinct_prompts() -> None:
    prompts = compositional_ensemble("bottle")
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 22
    assert len(prompts.normal) == len(set(prompts.normal)) == 154
    assert len(prompts.anomalous) == len(set(prompts.anomalous)) == 88
    assert not set(prompts.normal) & set(prompts.anomalous)


def test_the_ensemble_is_the_published_one() -> None:
    prompts = compositional_ensemble("metal nut")
    normal, anomalous = written_out("metal nut")
    assert set(prompts.normal) == normal
    assert set(prompts.anomalous) == anomalous


def test_the_ensemble_never_changes_unnoticed() -> None:
    assert fingerprint(compositional_ensemble("metal nut")) == ENSEMBLE_SHA256


def test_underscores_and_spaces_of_a_class_name_become_single_spaces() -> None:
    assert compositional_ensemble(" metal__nut ").normal == compositional_ensemble("metal nut").normal


def test_braces_in_a_noun_are_only_text() -> None:
    assert "a photo of a {0} {nut}" in compositional_ensemble("{0} {nut}").normal


@pytest.mark.parametrize("noun", ["", "  ", "__"])
def test_an_empty_noun_is_refused(noun: str) -> None:
    with pytest.raises(RecipeError, match="noun"):
        compositional_ensemble(noun)


@pytest.mark.parametrize(("normal", "anomalous"), [((), ("bad",)), (("good",), ())])
def test_a_prompt_set_needs_both_sides(normal: tuple[str, ...], anomalous: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError, match="at least one"):
        PromptSet(normal, anomalous)


def test_the_digest_covers_the_words_and_nothing_else() -> None:
    base = PromptSet(("good",), ("bad",), (NamedDefect("dent", ("a dent",)),))
    relabelled = dataclasses.replace(base, source=PromptSource.MANUAL, provenance={"by": "somebody"})
    assert base.digest == relabelled.digest
    others = [
        dataclasses.replace(base, normal=("good", "fine")),
        dataclasses.replace(base, anomalous=("worse",)),
        dataclasses.replace(base, defects=()),
        dataclasses.replace(base, defects=(NamedDefect("dent", ("dents",)),)),
        dataclasses.replace(base, defects=(NamedDefect("bump", ("a dent",)),)),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 6


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.data())
def test_moving_a_prompt_to_the_other_side_changes_the_digest(texts: list[str], data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(texts) - 1))
    one = PromptSet(("n", *texts[:split]), ("a", *texts[split:]))
    other = PromptSet(("n", *texts[: split + 1]), ("a", *texts[split + 1 :]))
    assert one.digest != other.digest
