"""What an operator's name says by itself: its noun, its language, and which nouns are of its kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ollama.products import is_recognised, is_same_kind, looks_foreign, own_noun, singular
from adapters.ollama.text import clean

KIN = {
    "aluminium lid": ("cap|closure|cover|metal lid|lids", "banana|jar|can"),
    "brass hex nut m8": ("fastener|nut|hex nuts|hardware|metal fastener", "bolt|screw|banana|washer"),
    "plastic connector housing": ("housing|enclosure|casing|plastic part", "connector|plug|banana"),
    "bottle label": ("label|sticker|paper label", "bottle|jar"),
    "chocolate chip cookie": ("biscuit|cookie|snack|food", "chip|gear"),
    "motor controller pcb": ("board|printed circuit board|electronic component", "motor|banana"),
    "drinking glass": ("glass|tumbler|glassware", "bottle"),
    "steel gear": ("gear|cog|gear wheel|machine part|spur gear", "banana|bottle"),
    "woven cotton fabric": ("fabric|textile|cloth", "shirt"),
    "rubber seal": ("gasket|o-ring|sealing ring|seal", "banana"),
    "capsules": ("pill|capsule|medicine", "banana"),
    "vial": ("ampoule|container|glass vial", "orange"),
    "gear assembly": ("gear|cog", "lid"),
}


@pytest.mark.parametrize("name", list(KIN))
def test_nouns_of_a_kind(name: str) -> None:
    same, other = (nouns.split("|") for nouns in KIN[name])
    assert {noun: is_same_kind(noun, name) for noun in same} == dict.fromkeys(same, True)
    assert {noun: is_same_kind(noun, name) for noun in other} == dict.fromkeys(other, False)
    assert is_recognised(name)


def test_what_the_table_does_not_know_is_open() -> None:
    assert is_same_kind("window lifter", "steel gear") is None
    assert is_same_kind("banana", "quxel") is None
    assert is_same_kind("brush", "toothbrush") is None
    assert is_same_kind("peanut", "hex nut") is None


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("brass hex nut m8", "brass hex nut"),
        ("nut, hex, brass m8", "nut"),
        ("nut brass m8", "nut"),
        ("small hardened steel spur gear 24 teeth", "steel spur gear"),
        ("lid of a jar", "lid"),
        ("housing for sensor x7", "housing"),
        ("m6 bolts", "bolt"),
        ("gear assembly", "gear"),
        ("trousers", "trousers"),
        ("4711", None),
        (None, None),
    ],
)
def test_the_noun_of_a_name(name: str | None, noun: str | None) -> None:
    assert own_noun(name) == noun


@pytest.mark.parametrize(
    ("plural", "one"),
    [("nuts", "nut"), ("cookies", "cookie"), ("boxes", "box"), ("batteries", "battery"), ("knives", "knife"),
     ("lens", "lens"), ("glasses", "glass"), ("brushes", "brush"), ("scissors", "scissors"), ("bus", "bus")],
)  # fmt: skip
def test_singular(plural: str, one: str) -> None:
    assert singular(plural) == one


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("Dichtungsring aus Gummi", None),
        ("六角ボルト", None),
        ("гайка", None),
        ("écrou", None),
        ("tornillo de latón", None),
        ("Zahnrad", "Ein kleines Zahnrad aus Stahl für die Pumpe."),
        ("tuerca", "Tuerca hexagonal de latón para la bomba"),
        ("Schlüssel", None),
    ],
)
def test_names_of_other_languages(name: str, description: str | None) -> None:
    assert looks_foreign(name, description)


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("steel gear", "Ein kleines Zahnrad aus Stahl und Messing für die Pumpe."),
        ("café table", None),
        ("lid of a jar", "Round lid of a jar"),
        ("brass hex nut M8", None),
        ("die casting", "A die for a pan"),
        ("SKU 4711", None),
    ],
)
def test_english_names(name: str, description: str | None) -> None:
    assert not looks_foreign(name, description)


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_a_name_is(name: str, noun: str) -> None:
    looks_foreign(name, noun)
    plain, other = clean(name) or "", clean(noun) or ""
    assert is_same_kind(other, plain) in (True, False, None)
    assert is_same_kind(plain, plain) in (True, None)
    assert own_noun(plain) is None or own_noun(plain) != ""
