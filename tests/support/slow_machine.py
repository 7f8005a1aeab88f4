"""SlowMachine: a client whose model reads and writes at a chosen speed, on a clock of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.ollama.client import Message, Model, OllamaClient, Reply
from adapters.ollama.errors import TimeLimitError
from adapters.ollama.options import OllamaOptions

Answer = Callable[[Mapping[str, Any], int, str], Any]
_BYTES_OF_TOKEN = 4


@dataclass(frozen=True)
class Question:
    """One question, and what became of it."""

    key: str
    """The first key of its answer."""
    count: int
    """How many texts it asked for."""
    seconds: float
    in_time: bool


class SlowMachine(OllamaClient):
    """In place of a server: no second passes, but the clock goes on by what the tokens would take.

    Args:
        reads, writes: tokens a second.
        load_s: how long the model takes to load.
        answer: the object that the model writes, from the schema's keys, the number of texts and the noun.
    """

    def __init__(
        self, options: OllamaOptions, reads: float, writes: float, load_s: float, answer: Answer
    ) -> None:
        super().__init__(options)
        self.now = 0.0
        self.questions: list[Question] = []
        self._speeds, self._load_s, self._answer, self._limits = (reads, writes), load_s, answer, options

    def clock(self) -> float:
        return self.now

    def supported_version(self) -> str:
        return "0.12.6"

    def model(self, name: str | None = None) -> Model:
        return Model("qwen2.5:7b-instruct", "0" * 64, frozenset({"completion"}))

    def load(self, model: Model) -> None:
        if self._load_s > self._limits.load_timeout_s:
            self.now += self._limits.load_timeout_s
            raise TimeLimitError("it was not loaded in time")
        self.now += self._load_s

    def release(self, model: Model) -> None:
        """Nothing is held."""

    def chat(
        self,
        model: Model,
        messages: Sequence[Message],
        schema: Mapping[str, Any],
        *,
        seed: int,
        think: bool | None = None,
        num_predict: int | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        question = str(messages[-1]["content"])
        count = int(found[1]) if (found := re.search(r"(?:Write|Give|List) (\d+)", question)) else 1
        noun = found[1] if (found := re.search(r'"noun": "([^"]*)"', question)) else ""
        content = json.dumps(self._answer(schema["properties"], count, noun))
        read = sum(len(str(message["content"]).encode()) for message in messages) // _BYTES_OF_TOKEN
        written = len(content.encode()) // _BYTES_OF_TOKEN
        cut = num_predict is not None and written > num_predict
        written = min(written, num_predict) if num_predict is not None else written
        seconds = read / self._speeds[0], written / self._speeds[1]
        limit = min(timeout_s or self._limits.timeout_s, self._limits.timeout_s)
        in_time = sum(seconds) <= limit
        self.now += min(sum(seconds), limit)
        self.questions.append(Question(next(iter(schema["properties"])), count, sum(seconds), in_time))
        if not in_time:
            raise TimeLimitError(f"no answer within {limit:.0f} s")
        content = content[: written * _BYTES_OF_TOKEN] if cut else content
        return Reply(content, think, cut, read=(read, seconds[0]), written=(written, seconds[1]))


def diligent(keys: Mapping[str, Any], count: int, noun: str) -> Any:
    """As many good texts as were asked for, of the length that models write."""
    if "nouns" in keys:
        return {"nouns": ["steel gear", "gear", "spur gear", "cog wheel", "pinion"][:count]}
    if "defects" in keys:
        names = ["scratch", "crack", "chipped tooth", "rust spot", "burr", "missing tooth", "dent", "pitting",
                 "foreign fibre", "bent tooth", "oil stain", "deep gouge"]  # fmt: skip
        return {"defects": [_defect(name) for name in names[:count]]}
    kinds = (("normal", "a clean {} with an even, shiny surface on side {}"),
             ("anomalous", "a {} with a long dark scratch across its side {}"))  # fmt: skip
    return {side: [text.format(noun, "abcdefghijklmnop"[i]) for i in range(count)] for side, text in kinds}


def _defect(name: str) -> dict[str, Any]:
    phrases = [f"a visible {name} on the surface", f"a dark {name} close to the edge"]
    return {"name": name, "phrases": phrases, "severity": "major"}


@dataclass
class Chatter:
    """A model that writes more than it is asked for, ``times`` as much."""

    times: int = 2
    answer: Answer = field(default=diligent)

    def __call__(self, keys: Mapping[str, Any], count: int, noun: str) -> Any:
        return self.answer(keys, count * self.times, noun)
