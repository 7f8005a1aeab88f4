"""What a real, weak model wrote: good answers are taken whole, bad ones cost nothing but their time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.ollama import OllamaWriter
from adapters.ollama.polarity import says_bad, says_good
from agent.ports import Brief
from tests.adapters.ollama.answers import Judged, answers, judged
from tests.support.ollama_server import Asked, OllamaServer, Reply, Say, good_model


@pytest.fixture(scope="module")
def verdicts() -> list[Judged]:
    return list(judged())


def test_good_answers_are_taken_whole(verdicts: list[Judged]) -> None:
    nouns, prompts, defects = verdicts[85:88]
    assert nouns.taken == ("nut", "hex nut", "fastener", "brass nut")
    assert (len(prompts.taken), prompts.reason) == (24, "")
    assert (len(defects.taken), defects.reason) == (8, "")


def test_the_order_in_a_description_is_nowhere(verdicts: list[Judged]) -> None:
    obeyed = [one for one in verdicts if one.name == "aluminium lid"]
    assert len(obeyed) > 5
    taken = [text for one in obeyed for text in one.taken]
    assert not [text for text in taken if "banana" in text or "pass" in text or "verdict" in text]


def test_no_noun_names_another_product(verdicts: list[Judged]) -> None:
    taken = {(one.name, noun) for one in verdicts if one.question == "nouns" for noun in one.taken}
    assert taken == {
        ("plastic connector housing", "plastic connector housing"),
        ("steel gear", "steel gear"),
        ("woven cotton fabric", "woven cotton fabric"),
        ("chocolate chip cookie", "chocolate chip cookie"),
        ("motor controller PCB", "motor controller pcb"),
        ("bottle label", "bottle label"),
        ("drinking glass", "drinking glass"),
        ("drinking glass", "refined glass"),
        ("aluminium lid", "aluminium lid"),
        ("bracket", "bracket"),
        *(("brass hex nut M8", noun) for noun in ("nut", "hex nut", "fastener", "brass nut")),
    }


def test_only_one_of_29_sets_of_descriptions_and_one_of_12_of_defects_is_worth_taking(
    verdicts: list[Judged],
) -> None:
    used = [one.number for one in verdicts if one.question != "nouns" and one.taken]
    assert used == [86, 87]
    normal, anomalous = verdicts[86].taken[:12], verdicts[86].taken[12:]
    assert not [text for text in normal if says_bad(text, "nut")]
    assert not [text for text in anomalous if says_good(text, "nut")]


NOUNS = {
    "brass hex nut M8": "brass hex nut",
    "plastic connector housing": "plastic connector housing",
    "steel gear": "steel gear",
    "woven cotton fabric": "woven cotton fabric",
    "chocolate chip cookie": "chocolate chip cookie",
    "motor controller PCB": "motor controller pcb",
    "bottle label": "bottle label",
    "drinking glass": "drinking glass",
    "aluminium lid": "aluminium lid",
    "bracket": "bracket",
    "Dichtungsring aus Gummi": "rubber sealing ring",
    "六角ボルト": "hex bolt",
}


@pytest.mark.parametrize("name", list(NOUNS))
def test_whatever_it_answers_for_nouns_each_product_gets_a_noun(
    ollama: OllamaServer, writer: Callable[..., OllamaWriter], name: str
) -> None:
    said = [
        one["answer"] for one in answers() if one["question"] == "nouns" and one["product"]["name"] == name
    ]
    product = next(one["product"] for one in answers() if one["product"]["name"] == name)
    bad: list[Any] = [text for text in said if '"fastener"' not in text]
    foreign = name in ("Dichtungsring aus Gummi", "六角ボルト")

    def model(asked: Asked) -> Reply:
        if "nouns" in asked.keys:
            return Say(bad[asked.body["options"]["seed"] % len(bad)])
        return good_model(asked)

    ollama.otherwise = model
    found = writer().describe(Brief("1", name, product.get("description")))
    assert found.noun == NOUNS[name]
    assert ("english" in ollama.chats[0].keys) is foreign
