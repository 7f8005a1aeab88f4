"""indefinite_article(): the article by sound, not by letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.domain.articles import indefinite_article
from agent.domain.prompts import GENERIC_NOUN, compositional_ensemble
from agent.methods.prompt_library import load_prompts

AN = """
alien|axle|o-ring|O-ring|S-hook|L-bracket|x-ray tube|F-connector|M6 bolt|RJ45 plug|R10|LED|
led lamp|SMD part|mcb|IC|HDMI plug|ABS part|8-pin plug|80 mm ring|11-pin plug|18 mm bolt|
11,000 V relay|hourglass|honest mistake|heirloom|umbrella|urn|unidentified part|
uninsulated wire|utter waste|ultrasonic sensor|Ölfilter|yttrium target|ALUMINIUM LID|eye bolt
"""
A = """
uniform|unit|union nut|universal joint|used part|utensil|urethane seal|ukulele|eucalyptus leaf|
euro coin|one-way valve|ewe|USB plug|usb plug|UV lamp|U-bolt|u-bolt|T-piece|PCB|pcb|CPU|
SIM card|RAM module|LASER|MOSFET|7-pin plug|100 mm ring|118 mm ring|1100 W motor|hex nut|
HEX NUT|hinge|yarn|gear|六角ボルト|{0}
"""


def _listed(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split("|")]


@pytest.mark.parametrize(("article", "phrases"), [("an", _listed(AN)), ("a", _listed(A))])
def test_the_article_follows_the_sound(article: str, phrases: list[str]) -> None:
    assert {phrase: indefinite_article(phrase) for phrase in phrases} == dict.fromkeys(phrases, article)


def test_prompts_say_an_before_a_vowel() -> None:
    prompts = compositional_ensemble("alien")
    assert "a photo of an alien" in prompts.normal
    assert "a blurry photo of an alien with flaw" in prompts.anomalous
    assert "a photo of a damaged alien" in prompts.anomalous
    assert not [text for text in prompts.normal + prompts.anomalous if " a alien" in text]


def test_the_published_text_of_the_generic_noun_stays() -> None:
    assert "a photo of a object" in compositional_ensemble(GENERIC_NOUN).normal, (
        "the maps of recipes rest on it"
    )


def test_placeholders_of_files_get_the_article_of_their_noun(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_text(
        json.dumps({"normal": ["A {classname}", "an {noun} on a uniform"], "anomalous": ["a torn {}"]})
    )
    assert load_prompts(file, noun="axle").normal == ("An axle", "an axle on a uniform")
    assert load_prompts(file, noun="gear").normal == ("A gear", "a gear on a uniform")
    assert load_prompts(file).normal == ("A object", "an object on a uniform"), "as published"
