"""clean_name, name_from and spelling: one form of names; whatever one source writes, the others find."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.names import (
    MAX_NAME,
    MAX_NAME_BYTES,
    clean_name,
    differs_by_case,
    name_from,
    spelling,
    visible,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Halves of surrogate pairs too."""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ref\u00a012", "Ref 12"),
        ("Shot 10.01.20\u202fPM.jpg", "Shot 10.01.20 PM.jpg"),
        ("\t A \u3000\r\n 12 \u2028", "A 12"),
        ("\ufeffA\u200d1\u200c2\xad", "A12"),
        ("a \u200d b", "a b"),
        ("Scha\u0308kel", "Schäkel"),
        ("cam [left] $1/{x}", "cam [left] $1/{x}"),
        ("部品-７", "部品-７"),
        (" \u200b ", ""),
    ],
)
def test_one_form(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a\x07b", "control character U+0007"),
        ("a\x1db", "control character U+001D"),
        ("a\0", "control character U+0000"),
        ("\x9f", "control character U+009F"),
        ("\ud800", "surrogate pair U+D800"),
        ("a\u202eb", "direction override U+202E"),
        ("\u2066a", "direction override U+2066"),
        ("\ufdd0", "unassigned character U+FDD0"),
        ("x" * 256, "256 characters; 1 to 255"),
        ("x" * 10_000_000, "10,000,000 characters"),
    ],
)
def test_what_is_refused_is_named(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what.replace("+", r"\+")):
        clean_name(text)


@given(ANY_TEXT)
def test_the_form_is_its_own_form(text: str) -> None:
    try:
        name = clean_name(text)
    except ValueError as error:
        assert "U+" in str(error) or "characters" in str(error)  # noqa: PT017
        return
    assert clean_name(name) == name == unicodedata.normalize("NFC", name)
    assert name.isprintable()
    assert name == " ".join(name.split())
    assert clean_name(f"\u00a0{name}\u202f\n") == name


@given(ANY_TEXT | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_every_file_name_has_a_name(text: str) -> None:
    name = name_from(text)
    assert clean_name(name) == name != ""
    assert len(name) <= MAX_NAME
    assert len(name.encode()) <= MAX_NAME_BYTES


def test_long_file_names_stay_apart_and_keep_their_ends() -> None:
    one, other = name_from("a/" * 2000 + "1.jpg"), name_from("b/" * 2000 + "1.jpg")
    assert one != other
    assert one.endswith("/1.jpg")


def test_what_acts_on_a_terminal_becomes_visible() -> None:
    assert visible("x[/b] \x1b[31m \u202e\u2028 caf\udce9 Shot\u202fPM") == (
        "x[/b] \\x1b[31m \\u202e\\u2028 caf\\xe9 Shot\u202fPM"
    )


def test_a_spelling_from_before_is_found_by_every_other() -> None:
    stored = ["A  12", "Ref\u00a09", "a\x07b", "B 1"]
    assert spelling("A 12", stored) == "A  12"
    assert spelling("A\u00a0 12 ", stored) == "A  12"
    assert spelling("Ref 9", stored) == "Ref\u00a09"
    assert spelling("a\x07b", stored) == "a\x07b"
    assert spelling("B\u00a01", stored) == "B 1"
    assert spelling(" new ", stored) == "new"
    assert spelling("A 12", ["A  12", "A 12"]) == "A 12"


def test_names_that_differ_by_case_alone() -> None:
    assert differs_by_case("m8-NUT", ["M8-nut", "m8-NUT", "M8-nuts"]) == ["M8-nut"]
    assert differs_by_case("STRASSE", ["straße"]) == ["straße"]
    assert differs_by_case("M8", ["M9"]) == []
