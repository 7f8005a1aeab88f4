"""``Conversation``: asks until the answer is usable or the budget is spent."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from adapters.ollama.answers import Answer, read
from adapters.ollama.client import Model, OllamaClient, Reply
from adapters.ollama.errors import OllamaError, TimeLimitError, UnusableAnswerError
from adapters.ollama.experience import tokens_of
from adapters.ollama.instructions import Instruction
from adapters.ollama.options import OllamaOptions
from adapters.ollama.validation import Checked

logger = logging.getLogger(__name__)

_SEEDS = 2**31
_THOUGHTS = 1500
"""Tokens that a model thinks before it answers."""
_LEAST_PREDICTED, _RUNAWAY = 256, 3
"""Tokens that any answer may have, and times its expected length; small models may go on for ever."""

AnswerT = TypeVar("AnswerT", bound=Answer)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AcceptedAnswer(Generic[T]):
    """A checked answer to one instruction."""

    value: T
    notes: tuple[str, ...]
    seed: int
    """The seed of the try whose answer is used."""
    tries: int
    think: bool | None


class Conversation:
    """All instructions about one product, within one time budget.

    Args:
        attempt: how often the product was asked about before; each attempt has seeds of its own.
    """

    def __init__(
        self,
        client: OllamaClient,
        model: Model,
        options: OllamaOptions,
        *,
        attempt: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._model, self._options, self._clock = client, model, options, clock
        self._until = clock() + options.budget_s
        self._seed = options.seed + attempt * options.tries
        self._experience = client.experience(model)
        self._slow = False
        """Whether an answer did not come in time: fewer texts are asked for from then on."""

    def ask(
        self,
        instruction: Instruction[AnswerT],
        data: Mapping[str, Any],
        check: Callable[[AnswerT], Checked[T]],
        *,
        images: Sequence[bytes] = (),
        skip: int = 0,
        tries: int | None = None,
    ) -> AcceptedAnswer[T]:
        """Ask, read, check; after a failure ask again with another seed, stating what was wrong.

        Args:
            skip: seeds that other questions with the same instruction have used.
            tries: if fewer than configured.

        Raises:
            OllamaError: the error of the last try.
        """
        last: OllamaError | None = None
        notes: list[str] = []
        wrong: str | None = None
        tries = min(tries or self._options.tries, self._options.tries)
        for attempt in range(tries):
            left = self._until - self._clock()
            if left <= 0:
                break
            seed = (self._seed + skip + attempt) % _SEEDS
            try:
                reply = self._send(instruction, data, images, seed, attempt, wrong, left)
            except OllamaError as error:
                logger.info("%s, try %d: %s", instruction.name, attempt + 1, error)
                if error.hopeless:
                    raise
                last = error
                self._slow = self._slow or isinstance(error, TimeLimitError)
                notes.append(f"{instruction.name}, try {attempt + 1}: {error}")
                continue
            try:
                checked = check(
                    read(reply.content, instruction.answer, instruction.example(json.dumps(data), attempt))
                )
            except UnusableAnswerError as error:
                reason = f"{error}; it ended at the limit of tokens" if reply.cut else str(error)
                logger.info("%s, try %d: %s", instruction.name, attempt + 1, reason)
                last, wrong = UnusableAnswerError(reason), error.hint
                notes.append(f"{instruction.name}, try {attempt + 1}: {reason}")
                continue
            self._experience.worked(reply.think)
            notes.extend(checked.notes)
            return AcceptedAnswer(checked.value, tuple(notes), seed, attempt + 1, reply.think)
        raise self._given_up(instruction.name, last, tries)

    def _send(
        self,
        instruction: Instruction[AnswerT],
        data: Mapping[str, Any],
        images: Sequence[bytes],
        seed: int,
        attempt: int,
        wrong: str | None,
        left: float,
    ) -> Reply:
        """Send one question that fits into the ``left`` seconds, as far as the model's speed is known."""
        think = self._think(attempt)
        images = images[:1] if self._slow else images
        # A server that does not list capabilities may have a model that thinks unasked.
        thoughts = _THOUGHTS if think or (think is None and not self._model.capabilities) else 0
        count = instruction.fewest if self._slow else instruction.count
        messages = instruction.messages(data, images, count=count, wrong=wrong, attempt=attempt)
        asked = tokens_of((message["content"] for message in messages), len(images))
        if self._experience.expected_s(asked, thoughts + instruction.written(count)) > left:
            count = instruction.fewest
            messages = instruction.messages(data, images, count=count, wrong=wrong, attempt=attempt)
        written = thoughts + instruction.written(count)
        reply = self._client.chat(
            self._model,
            messages,
            instruction.schema,
            seed=seed,
            think=think,
            num_predict=max(_LEAST_PREDICTED, _RUNAWAY * instruction.written(count)) + 2 * thoughts,
            timeout_s=min(left, self._experience.limit_s(asked, written, self._options.timeout_s)),
        )
        self._experience.observe(reply)
        return reply

    def _think(self, attempt: int) -> bool | None:
        """First as it worked before, else with thinking, then without: either can spoil a model's JSON."""
        wanted, known = self._options.think, self._experience
        if wanted == "auto":
            if not self._model.thinks or (known.answered and known.think is None):
                return None
            first = known.think if known.answered else True
            return first if attempt % 2 == 0 else not first
        if wanted == "off":
            # An older server would refuse the parameter, and its models do not think.
            return False if self._model.thinks else None
        return None if known.answered and known.think is None else True

    def _given_up(self, name: str, last: OllamaError | None, allowed: int) -> OllamaError:
        if last is None:
            return TimeLimitError(
                f"the {self._options.budget_s:.3g} s of ollama.budget_s were over before "
                f"{self._model.name} was asked for {name}"
            )
        if isinstance(last, UnusableAnswerError):
            tries = "try" if allowed == 1 else "tries"
            return UnusableAnswerError(
                f"{self._model.name} gave no usable {name} in {allowed} {tries}; the last answer: {last}"
            )
        return last
