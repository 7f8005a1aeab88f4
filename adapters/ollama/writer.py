"""``OllamaWriter``: prompts for a new product by a language model (:class:`agent.ports.PromptWriter`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from adapters.ollama.client import Model, OllamaClient
from adapters.ollama.conversation import AcceptedAnswer, Conversation
from adapters.ollama.errors import OllamaError, UnusableAnswerError
from adapters.ollama.instructions import (
    AGNOSTIC,
    CHUNK,
    DEFECTS,
    NOUNS,
    PROMPTS,
    TRANSLATION,
    data_of,
    instruction_hash,
)
from adapters.ollama.naming import Called, checked_nouns, checked_translation
from adapters.ollama.options import OllamaOptions
from adapters.ollama.tagger import jpeg
from adapters.ollama.text import TokenCounter, clip_tokens
from adapters.ollama.validation import checked_agnostic, checked_defects, checked_prompts
from agent.domain.errors import WriterError
from agent.domain.prompts import COMMON_DEFECTS, NamedDefect, PromptSet, PromptSource
from agent.ports import Brief, Description, LanguageModel

logger = logging.getLogger(__name__)

_FEW_TRIES = 2
"""Of a question whose answer the operator's own words can replace."""
MOST_IMAGES = 3
"""Images shown to a model that sees."""


class OllamaWriter:
    """Asks for nouns, then for descriptions with the likeliest of them, then for kinds of defect.

    Args:
        options: server, model, limits.
        count: how many tokens CLIP makes of a text.
        client: of the server; None: one with these options.
        clock: that the budget is taken from, in seconds.
    """

    def __init__(
        self,
        options: OllamaOptions,
        *,
        count: TokenCounter = clip_tokens,
        client: OllamaClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._count, self._clock = options, count, clock
        self._client = OllamaClient(options) if client is None else client
        self._version = "unknown"

    def close(self) -> None:
        self._client.close()

    def describe(self, brief: Brief) -> Description:
        return self._guarded(partial(self._describe, brief))

    def agnostic(self, count: int = 100) -> Description:
        """Descriptions that name no product, up to ``count`` of each side in chunks (METHODS section 6).

        If the model repeats itself, fewer come back and the notes report it. Each chunk has the budget of
        one product.

        Raises:
            WriterError: not even one chunk was usable.
        """
        if count < 1:
            raise ValueError("at least one description is asked for")
        return self._guarded(partial(self._agnostic, count))

    def _guarded(self, work: Callable[[Model], Description]) -> Description:
        """Find the model, load it, work with it, release it; raises WriterError for whatever fails."""
        model = self._found()
        try:
            try:
                self._client.load(model)
            except OllamaError as error:
                raise WriterError(str(error), again=error.again, server=True) from error
            return work(model)
        except OllamaError as error:
            raise WriterError(str(error), again=error.again, server=error.server) from error
        finally:
            self._client.release(model)

    def look(self) -> LanguageModel:
        model = self._found()
        return LanguageModel(model.name, model.digest, f"Ollama {self._version} at {self._options.url}")

    def _found(self) -> Model:
        """The model on its server. Raises WriterError: whatever fails here fails for every product."""
        try:
            self._version = self._client.supported_version()
            return self._client.model()
        except OllamaError as error:
            raise WriterError(str(error), again=error.again, server=True) from error

    def _describe(self, brief: Brief, model: Model) -> Description:
        images = [jpeg(image) for image in brief.images[:MOST_IMAGES]] if model.sees else []
        if not images and not data_of(brief):
            raise WriterError(
                "nothing is known of the product but its SKU; send its name or description on the sku "
                "topic, or set ollama.vision_model to a model that sees",
                again=False,
            )
        conversation = Conversation(
            self._client, model, self._options, attempt=brief.attempt, clock=self._clock
        )
        notes: list[str] = []
        called = self._translated(conversation, brief, Called.of(brief, self._count), notes)
        parts: dict[str, AcceptedAnswer[Any]] = {}
        nouns = self._nouns(conversation, brief, called, images, notes)
        if isinstance(nouns, AcceptedAnswer):
            parts["nouns"] = nouns
            notes += nouns.notes
        names = nouns.value if isinstance(nouns, AcceptedAnswer) else nouns
        noun = names[0]
        data = data_of(brief, noun=noun)
        sides = conversation.ask(
            PROMPTS, data, lambda answer: checked_prompts(answer, noun, count=self._count), images=images
        )
        defects, missed = self._defects(conversation, data, noun)
        parts["prompts"] = sides
        if defects:
            parts["defects"] = defects
        prompts = PromptSet(
            normal=sides.value.normal,
            anomalous=sides.value.anomalous,
            defects=defects.value if defects else COMMON_DEFECTS,
            source=PromptSource.OLLAMA,
            provenance=self._provenance(model, parts, noun=noun),
        )
        notes += [note for key, part in parts.items() if key != "nouns" for note in part.notes] + missed
        return Description(noun, names, prompts, tuple(notes))

    def _translated(
        self, conversation: Conversation, brief: Brief, called: Called, notes: list[str]
    ) -> Called:
        """What the product is called in English, if its name is not known to be English."""
        if not called.foreign or not any(c.isalpha() for c in called.foreign):
            return called
        # The name alone: a description with orders in it cannot change what the product is called.
        name = data_of(Brief(brief.sku, name=called.foreign))
        try:
            found = conversation.ask(
                TRANSLATION,
                name,
                lambda answer: checked_translation(answer, called.foreign),
                tries=_FEW_TRIES,
            )
        except OllamaError as error:
            if error.hopeless:
                raise
            notes.append(
                f"the name {called.foreign[:40]!a} may not be English, and was not translated: {error}"
            )
            return called
        return replace(called, name=found.value, certain=True)

    def _nouns(
        self,
        conversation: Conversation,
        brief: Brief,
        called: Called,
        images: Sequence[bytes],
        notes: list[str],
    ) -> AcceptedAnswer[tuple[str, ...]] | tuple[str, ...]:
        """The model's nouns; if it gives none that fit, the noun in the operator's own name."""
        own = called.own
        more = {"name in English": called.name} if called.foreign and called.name else {}
        try:
            return conversation.ask(
                NOUNS,
                data_of(brief, **more),
                lambda answer: checked_nouns(answer, called),
                images=images,
                tries=None if own is None else _FEW_TRIES,
            )
        except OllamaError as error:
            if error.hopeless or own is None:
                raise
            notes.append(f"the operator's own name gives the noun {own!r}: {error}")
            return (own,)

    def _defects(
        self, conversation: Conversation, data: dict[str, Any], noun: str
    ) -> tuple[AcceptedAnswer[tuple[NamedDefect, ...]] | None, list[str]]:
        """The product's own kinds of defect; None with the reason if the common ones must do."""
        try:
            found = conversation.ask(
                DEFECTS, data, lambda answer: checked_defects(answer, noun, count=self._count)
            )
        except OllamaError as error:
            if error.hopeless:
                raise
            return None, [f"the common kinds of defect stand in: {error}"]
        return found, []

    def _agnostic(self, count: int, model: Model) -> Description:
        normal: dict[str, None] = {}
        anomalous: dict[str, None] = {}
        notes: list[str] = []
        parts: dict[str, AcceptedAnswer[Any]] = {}
        chunks = -(-count // CHUNK)
        # As many chunks again, for what is repeated or left out.
        for chunk in range(2 * chunks):
            if min(len(normal), len(anomalous)) >= count:
                break
            try:
                accepted = self._chunk(chunk, model)
            except UnusableAnswerError as error:
                notes.append(str(error))
                continue
            parts[f"chunk {chunk + 1}"] = accepted
            notes.extend(accepted.notes)
            normal.update(dict.fromkeys(accepted.value.normal))
            anomalous.update(dict.fromkeys(accepted.value.anomalous))
        both = normal.keys() & anomalous.keys()
        sides = [[text for text in side if text not in both][:count] for side in (normal, anomalous)]
        if not all(sides):
            raise UnusableAnswerError(
                f"{model.name} gave no usable descriptions in {2 * chunks} chunks: {notes[-1]}"
            )
        notes += _shortfall(sides, count)
        prompts = PromptSet(
            tuple(sides[0]),
            tuple(sides[1]),
            COMMON_DEFECTS,
            PromptSource.OLLAMA,
            self._provenance(model, parts, noun="object"),
        )
        return Description("object", ("object",), prompts, tuple(notes))

    def _chunk(self, number: int, model: Model) -> AcceptedAnswer[Any]:
        return Conversation(self._client, model, self._options, clock=self._clock).ask(
            AGNOSTIC[number % len(AGNOSTIC)],
            {},
            lambda answer: checked_agnostic(answer, least=CHUNK // 4),
            skip=number * self._options.tries,
        )

    def _provenance(
        self, model: Model, parts: dict[str, AcceptedAnswer[Any]], *, noun: str
    ) -> dict[str, str]:
        """What explains the texts and lets them be reproduced."""
        how = (
            f"{name}: seed {p.seed}, try {p.tries}, thinking {_THINKING[p.think]}"
            for name, p in parts.items()
        )
        main = parts.get("prompts") or next(iter(parts.values()))
        return {
            "model": model.name,
            "digest": model.digest,
            "ollama": self._version,
            "instruction": instruction_hash(),
            "noun": noun,
            "seed": str(main.seed),
            "thinking": _THINKING[main.think],
            "tries": str(sum(part.tries for part in parts.values())),
            "temperature": str(self._options.temperature),
            "asked": "; ".join(how),
        }


_THINKING = {True: "on", False: "off", None: "not asked for"}


def _shortfall(sides: Sequence[Sequence[str]], count: int) -> list[str]:
    return [
        f"{len(side)} {name} descriptions instead of {count}: the model repeated itself"
        for name, side in zip(("normal", "anomalous"), sides, strict=True)
        if len(side) < count
    ]
