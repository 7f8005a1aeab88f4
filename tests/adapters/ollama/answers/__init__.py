"""``answers`` and ``judged``: real answers of a small model, and what the checks make of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.ollama.answers import DefectsAnswer, NounsAnswer, PromptsAnswer, read
from adapters.ollama.errors import UnusableAnswerError
from adapters.ollama.naming import Called, checked_nouns
from adapters.ollama.validation import checked_defects, checked_prompts
from agent.ports import Brief

FILE = Path(__file__).with_name("smollm2.jsonl")


@dataclass(frozen=True)
class Judged:
    """One answer, and what may be used of it."""

    number: int
    question: str
    name: str
    taken: tuple[str, ...]
    """The texts that are used; empty if the answer is refused."""
    reason: str
    """Why it is refused, or what was mended and left out."""


def answers() -> list[dict[str, Any]]:
    """All answers, in the order of the file."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def judged() -> Iterator[Judged]:
    """Each answer as the agent judges it."""
    for number, answer in enumerate(answers()):
        product = answer["product"]
        try:
            taken, notes = _judge(answer["question"], product, answer["answer"])
            reason = "; ".join(notes)
        except UnusableAnswerError as error:
            taken, reason = (), str(error)
        yield Judged(number, answer["question"], product.get("name", ""), taken, reason)


def _judge(question: str, product: dict[str, str], answer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if question == "nouns":
        called = Called.of(Brief("1", product.get("name"), product.get("description")))
        nouns = checked_nouns(read(answer, NounsAnswer), called)
        return nouns.value, nouns.notes
    noun = product["noun"]
    if question == "prompts":
        sides = checked_prompts(read(answer, PromptsAnswer), noun)
        return sides.value.normal + sides.value.anomalous, sides.notes
    defects = checked_defects(read(answer, DefectsAnswer), noun)
    return tuple(defect.name for defect in defects.value), defects.notes
