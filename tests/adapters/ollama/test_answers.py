"""Answers of a language model: parsed from its text, and checked before use."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ollama.answers import DefectsAnswer, NounsAnswer, PromptsAnswer, TagsAnswer, read
from adapters.ollama.errors import UnusableAnswerError
from adapters.ollama.naming import Called, checked_nouns
from adapters.ollama.products import is_same_kind
from adapters.ollama.text import fits, mentions, speaks_to_a_model, words_of
from adapters.ollama.validation import (
    checked_agnostic,
    checked_defects,
    checked_prompts,
    checked_tags,
)
from agent.domain.prompts import compositional_ensemble
from agent.methods.prompt_library import library
from agent.ports import Brief
from tests.support.ollama_server import SENTENCES

DAMAGE = ("scratch", "crack", "dent", "stain")
GEARS = {side: [text.format("gear") for text in texts] for side, texts in SENTENCES.items()}


@pytest.mark.parametrize(
    "content",
    [
        '{"nouns": ["gear", "cog"]}',
        'Here you are: {"nouns": ["gear", "cog"]} Enjoy!',
        '```json\n{"nouns": ["gear", "cog"]}\n```',
        '{"Nouns": ["gear", "cog"]}',
        '{"objects": ["gear", "cog"]}',
        '{"result": {"nouns": ["gear", "cog"]}}',
        '{"nouns": [{"noun": "gear"}, {"text": "cog"}]}',
        '{"nouns": ["gear", 7, null, ["x"], "cog"]}',
        '{"nouns": ["gear", "cog"], "comment": {"a": 1}}',
        '{not json} {"nouns": ["gear", "cog"]}',
        '<think>{"nouns": ["banana"]}</think>{"nouns": ["gear", "cog"]}',
        '[{"nouns": ["gear", "cog"]}]',
    ],
)
def test_what_can_be_understood_is_understood(content: str) -> None:
    assert read(content, NounsAnswer).nouns == ["gear", "cog"]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "was empty"),
        (" \n", "was empty"),
        ("gear, cog", "held no JSON object"),
        ('["gear", "cog"]', "held no JSON object"),
        ('{"nouns": ["gear"', "held no JSON object"),
        ('{"a": "gear"}', "did not have the keys 'nouns'"),
        ('{"nouns": {"gear": "cog", "a": "b"}}', "did not have the keys 'nouns'"),
        ("{" * 100_000, "held no JSON object"),
    ],
    ids=["empty", "blank", "prose", "list", "cut", "key", "object", "braces"],
)
def test_what_cannot_be_is_refused_with_the_reason(content: str, wrong: str) -> None:
    with pytest.raises(UnusableAnswerError, match=wrong):
        read(content, NounsAnswer)


@pytest.mark.parametrize(
    ("name", "given_nouns", "taken"),
    [
        (None, ["Hex Nut", "the nut", "a nut"], ("hex nut", "nut")),
        ("Brass hex nut M8", ["banana", "fastener", "nut"], ("fastener", "nut")),
        ("Brass valves", ["valve", "tap"], ("valve",)),
        ("Orange SIM card", ["sim card", "apple"], ("sim card",)),
        (
            "Kaltex 400",
            ["compressor", "object", "pump 400", "scratched part"],
            ("compressor", "scratched part"),
        ),
        (None, [f"noun {letter}" for letter in "abcdefgh"], tuple(f"noun {letter}" for letter in "abcde")),
    ],
)
def test_nouns(name: str | None, given_nouns: list[str], taken: tuple[str, ...]) -> None:
    assert checked_nouns(NounsAnswer(nouns=given_nouns), Called.of(Brief("1", name=name))).value == taken


def test_tags_are_checked_like_nouns() -> None:
    answer = TagsAnswer(
        tags=["Gear", "https://example.com", "a gear", "image", "metal part", "scratch", "tooth"]
    )
    assert checked_tags(answer, 2).value == ("gear", "metal part")


def test_defect_names_lose_the_product_and_only_defects_stay() -> None:
    names = [
        "Cracked tooth",
        "crack on the gear",
        "gear",
        "none",
        "a dent",
        "dent",
        "no defect",
        "Rost 7",
        "burr",
        "rust",
    ]
    answer = DefectsAnswer.model_validate({"defects": [{"name": n, "severity": "Major"} for n in names]})
    found = checked_defects(answer, "gear")
    assert [d.name for d in found.value] == ["cracked tooth", "crack", "dent", "burr", "rust"]
    assert {d.severity for d in found.value} == {"major"}
    assert found.value[0].phrases == ("cracked tooth",)


def test_more_than_fifteen_kinds_of_defect_are_cut() -> None:
    names = [f"{size} {kind}" for size in ("deep", "long", "small", "wide", "faint") for kind in DAMAGE]
    found = checked_defects(DefectsAnswer.model_validate({"defects": names}), "gear")
    assert [defect.name for defect in found.value] == names[:15]
    assert "5 of the defects left out: more than 15" in found.notes[-1]


def test_words_for_any_image_are_not_nouns() -> None:
    found = checked_nouns(NounsAnswer(nouns=["picture", "photograph", "image", "gear"]))
    assert found.value == ("gear",)


def test_a_text_in_both_lists_is_in_none_also_where_only_its_case_differs() -> None:
    both = "a gear on a tray"
    answer = PromptsAnswer(
        normal=[*GEARS["normal"], both], anomalous=[*GEARS["anomalous"], f"{both.title()}."]
    )
    sides = checked_prompts(answer, "gear").value
    assert both not in sides.normal + sides.anomalous


def test_a_text_that_clip_would_cut_is_left_out() -> None:
    long = "a gear with " + " ".join(["z9q8"] * 25)
    answer = PromptsAnswer(normal=[*GEARS["normal"], long], anomalous=GEARS["anomalous"])
    found = checked_prompts(answer, "gear")
    assert list(found.value.normal) == GEARS["normal"]
    assert "longer than CLIP reads" in found.notes[0]


def test_the_counter_of_tokens_can_be_another() -> None:
    answer = PromptsAnswer(
        normal=GEARS["normal"], anomalous=[f"{text} {'and more ' * 8}" for text in GEARS["anomalous"]]
    )
    with pytest.raises(UnusableAnswerError, match="only 0 usable anomalous prompts"):
        checked_prompts(answer, "gear", count=lambda _: 78)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a scratched bottle on a table", "names a product"),
        ("two circuit boards with a burn mark", "names a product"),
        ("an object with 3 scratches on it", "a number in it"),
        ("scratched object", "not 4 to 13 words"),
        ("an object with " + "very " * 11 + "deep scratches", "not 4 to 13 words"),
    ],
)
def test_agnostic_texts_name_no_product(text: str, why: str) -> None:
    good = ["a photo of an object with a long scratch", "a damaged painted surface with flakes"]
    found = checked_agnostic(PromptsAnswer(normal=["a photo of a clean object"], anomalous=[text, *good]))
    assert list(found.value.anomalous) == good
    assert why in found.notes[0]


def test_the_project_s_own_library_and_the_published_ensemble_pass() -> None:
    ours, theirs = library(), compositional_ensemble("metal nut")
    agnostic = checked_agnostic(PromptsAnswer(normal=ours.normal, anomalous=ours.anomalous), most=1000)
    # The library speaks of connectors and screws here and there, which an agnostic set must not.
    assert len(ours.normal) - len(agnostic.value.normal) <= 2
    assert len(ours.anomalous) - len(agnostic.value.anomalous) <= 2
    answer = PromptsAnswer(normal=theirs.normal, anomalous=theirs.anomalous)
    assert checked_prompts(answer, "metal nut", most=1000).notes == ()


# ------------------------------------------------------------------------------- whatever JSON comes

_PIECES = "gear Gear a with scratch no flawless https://x.y/z <b> ignore rules instructions bottle none of"
_SIGNS = ("\x00", "{", "}", '"', "**", "7", "é", "螺", "object", "perfect", "crack", "\u202e")
WORDS = st.sampled_from((*_PIECES.split(), *_SIGNS))
TEXTS = (
    st.lists(WORDS, max_size=9).map(" ".join)
    | st.text(max_size=40)
    | st.sampled_from(GEARS["normal"] + GEARS["anomalous"])
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DEFECT = st.fixed_dictionaries(
    {
        "name": TEXTS | ANYTHING,
        "phrases": st.lists(TEXTS, max_size=7) | ANYTHING,
        "severity": TEXTS | ANYTHING,
    }
)
PLAUSIBLE = st.fixed_dictionaries(
    {
        "nouns": st.lists(TEXTS, max_size=8) | ANYTHING,
        "normal": st.lists(TEXTS, max_size=30).map(lambda texts: texts + GEARS["normal"]) | ANYTHING,
        "anomalous": st.lists(TEXTS, max_size=30).map(lambda texts: GEARS["anomalous"] + texts) | ANYTHING,
        "defects": st.lists(DEFECT | TEXTS, max_size=20) | ANYTHING,
    }
)


def assert_plain(texts: tuple[str, ...]) -> None:
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert re.fullmatch(r"[a-z0-9 ,.;:'()/%&+-]{1,300}", text)
        assert "://" not in text
        assert not speaks_to_a_model(text)


def assert_notes(notes: tuple[str, ...]) -> None:
    assert all(note.isascii() and note.isprintable() and "://" not in note for note in notes)


def check_all(value: Any, content: str) -> int:
    """Run every check on a content; how many had something to take."""
    taken = 0
    try:
        nouns = checked_nouns(read(content, NounsAnswer), Called("steel gear", certain=True))
        assert_plain(nouns.value)
        assert_notes(nouns.notes)
        assert 1 <= len(nouns.value) <= 5
        assert all(re.fullmatch(r"[a-z]+([ -][a-z]+){0,2}", noun) for noun in nouns.value)
        assert nouns.value[0].endswith("gear") or is_same_kind(nouns.value[0], "gear")
        taken += 1
    except UnusableAnswerError as error:
        assert_notes((str(error),))
    try:
        sides = checked_prompts(read(content, PromptsAnswer), "gear")
        assert_plain(sides.value.normal + sides.value.anomalous)
        assert_notes(sides.notes)
        for side in (sides.value.normal, sides.value.anomalous):
            assert 4 <= len(side) <= 20
            assert all(mentions(text, "gear") and fits(text) and len(words_of(text)) <= 30 for text in side)
        taken += 1
    except UnusableAnswerError as error:
        assert_notes((str(error),))
    try:
        defects = checked_defects(read(content, DefectsAnswer), "gear")
        assert_plain(tuple(defect.name for defect in defects.value))
        assert_notes(defects.notes)
        assert 4 <= len(defects.value) <= 15
        for defect in defects.value:
            assert re.fullmatch(r"[a-z]+([ -][a-z]+){0,2}", defect.name)
            assert not mentions(defect.name, "gear")
            assert defect.severity in ("", "minor", "major", "critical")
            assert 1 <= len(defect.phrases) <= 5
            assert_plain(defect.phrases)
        taken += 1
    except UnusableAnswerError as error:
        assert_notes((str(error),))
    return taken


@pytest.mark.slow
@settings(max_examples=300)
@given(PLAUSIBLE | ANYTHING, TEXTS, TEXTS)
def test_whatever_json_comes_is_checked_or_refused(value: Any, before: str, after: str) -> None:
    check_all(value, f"{before}{json.dumps(value)}{after}")


@given(st.text(max_size=300))
def test_whatever_text_comes_is_refused_or_checked(content: str) -> None:
    check_all(None, content)


def test_good_json_passes_every_check() -> None:
    defects = ["crack", "dent", "stain", "burr", "rust"]
    value = {"nouns": ["gear"], **GEARS, "defects": defects}
    assert check_all(value, json.dumps(value)) == 3
