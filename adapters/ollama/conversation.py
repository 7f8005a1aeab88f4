"""``Conversation``: asks until the answer is usable or the budget is spent."""

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
from adapters.ollama.instructions import Instruction
from adapters.ollama.validation import Checked

logger = logging.getLogger(__name__)

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
    """All instructions about one product, within one time budget."""

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
        instruction: Instruction[AnswerT],
        data: Mapping[str, Any],
        check: Callable[[AnswerT], Checked[T]],
        *,
        images: Sequence[bytes] = (),
        seed: int | None = None,
    ) -> AcceptedAnswer[T]:
        """Ask, read, check; after a failure ask again with another seed, stating what was wrong.

        Args:
            seed: of the first try; None: the configured one.

        Raises:
            OllamaError: the error of the last try.
        """
        messages = instruction.messages(data, images)
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
                    instruction.schema,
                    seed=first_seed + attempt,
                    think=self._think(attempt),
                    timeout_s=left,
                )
            except OllamaError as error:
                logger.info("%s, try %d: %s", instruction.name, attempt + 1, error)
                if error.hopeless:
                    raise
                last = error
                notes.append(f"{instruction.name}, try {attempt + 1}: {error}")
                continue
            try:
                checked = check(read(reply.content, instruction.answer))
            except UnusableAnswerError as error:
                wrong = f"{error}; it ended at the limit of tokens" if reply.cut else str(error)
                logger.info("%s, try %d: %s", instruction.name, attempt + 1, wrong)
                last = UnusableAnswerError(wrong)
                notes.append(f"{instruction.name}, try {attempt + 1}: {wrong}")
                follow_up = instruction.again(reply.content, wrong)
                continue
            notes.extend(checked.notes)
            return AcceptedAnswer(checked.value, tuple(notes), first_seed + attempt, attempt + 1, reply.think)
        raise self._given_up(instruction.name, last)

    def _think(self, attempt: int) -> bool | None:
        """First with thinking, then without: either can spoil a model's JSON."""
        wanted = self._options.think
        if wanted == "auto":
            return attempt % 2 == 0 if self._model.thinks else None
        if wanted == "off":
            # An older server would refuse the parameter, and its models do not think.
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
