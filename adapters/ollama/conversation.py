"""Asking until the answer is usable, or the budget is spent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from adapters.ollama.answers import Answer, read
from adapters.ollama.client import (
    Model,
    OllamaClient,
    OllamaError,
    OllamaOptions,
    TimeLimitError,
    UnusableAnswerError,
)
from adapters.ollama.instructions import CachedProbe
from adapters.ollama.validation import Checked

logger = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT", bound=Answer)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PendingMedia(Generic[T]):
    """A question that was answered."""

    value: T
    notes: tuple[str, ...]
    seed: int
    """Of the try whose answer is used."""
    tries: int
    think: bool | None


class Conversation:
    """All questions about one product, within one budget of time."""

    def __init__(
        self,
        client: OllamaClient,
        model: Model,
        options: OllamaOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._model, self._options, self._clock = client, model, options, clock
        self._until = clock() + options.budget_s

    def ask(
        self,
        question: CachedProbe[AnswerT],
        data: Mapping[str, Any],
        check: Callable[[AnswerT], Checked[T]],
        *,
        images: Sequence[bytes] = (),
        seed: int | None = None,
    ) -> PendingMedia[T]:
        """Ask, read, check; where that fails ask again with another seed, telling what was wrong.

        Args:
            seed: of the first try, the configured one where None.

        Raises:
            OllamaError: of the kind that the last try ended with.
        """
        messages = question.messages(data, images)
        first_seed = self._options.seed if seed is None else seed
        last: OllamaError | None = None
        notes: list[str] = []
        follow_up: list[dict[str, Any]] = []
        for attempt in range(self._options.tries):
            left = self._until - self._clock()
            if left <= 0:
                break
            try:
                reply = self._client.chat(
                    self._model,
                    [*messages, *follow_up],
                    question.schema,
                    seed=first_seed + attempt,
                    think=self._think(attempt),
                    timeout_s=left,
                )
            except OllamaError as error:
                logger.info("%s, try %d: %s", question.name, attempt + 1, error)
                if error.hopeless:
                    raise
                last = error
                notes.append(f"{question.name}, try {attempt + 1}: {error}")
                continue
            try:
                checked = check(read(reply.content, question.answer))
            except UnusableAnswerError as error:
                wrong = f"{error}; it ended at the limit of tokens" if reply.cut else str(error)
                logger.info("%s, try %d: %s", question.name, attempt + 1, wrong)
                last = UnusableAnswerError(wrong)
                notes.append(f"{question.name}, try {attempt + 1}: {wrong}")
                follow_up = question.again(reply.content, wrong)
                continue
            notes.extend(checked.notes)
            return PendingMedia(checked.value, tuple(notes), first_seed + attempt, attempt + 1, reply.think)
        raise self._given_up(question.name, last)

    def _think(self, attempt: int) -> bool | None:
        """With thinking first, without it next: either may be what spoils the JSON of a model."""
        wanted = self._options.think
        if wanted == "auto":
            return attempt % 2 == 0 if self._model.thinks else None
        if wanted == "off":
            # A server from before the word would refuse it, and its models do not think.
            return False if self._model.thinks else None
        return True

    def _given_up(self, name: str, last: OllamaError | None) -> OllamaError:
        if last is None:
            return TimeLimitError(
                f"the {self._options.budget_s:.3g} s of ollama.budget_s were over before "
                f"{self._model.name} was asked for {name}"
            )
        if isinstance(last, UnusableAnswerError):
            tries = "try" if self._options.tries == 1 else "tries"
            return UnusableAnswerError(
                f"{self._model.name} gave no usable {name} in {self._options.tries} {tries}; "
                f"the last answer: {last}"
            )
        return last
