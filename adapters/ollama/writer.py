"""``OllamaWriter``: prompts for a new product by a language model (:class:`agent.ports.PromptWriter`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from adapters.ollama.client import Model, OllamaClient, OllamaError, OllamaOptions, UnusableAnswerError
from adapters.ollama.conversation import AcceptedAnswer, Conversation
from adapters.ollama.instructions import (
    AGNOSTIC,
    DEFECTS,
    NOUNS,
    PROMPTS,
    Instruction,
    data_of,
    instruction_hash,
)
from adapters.ollama.tagger import jpeg
from adapters.ollama.text import TokenCounter, clip_tokens
from adapters.ollama.validation import checked_agnostic, checked_defects, checked_nouns, checked_prompts
from agent.domain.errors import WriterError
from agent.domain.prompts import COMMON_DEFECTS, NamedDefect, PromptSet, PromptSource
from agent.ports import Brief, Description

logger = logging.getLogger(__name__)

CHUNK = 20
"""Object-agnostic descriptions of each side in one answer; models repeat themselves in longer lists."""
MOST_IMAGES = 3
"""Images shown to a model that sees."""


class OllamaWriter:
    """Asks for nouns, then for descriptions with the likeliest of them, then for kinds of defect.

    Args:
        options: server, model, limits.
        count: how many tokens CLIP makes of a text.
    """

    def __init__(self, options: OllamaOptions, *, count: TokenCounter = clip_tokens) -> None:
        self._options, self._count = options, count
        self._client = OllamaClient(options)

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
        """Find the model, work with it, release it; raises WriterError for whatever fails."""
        try:
            model = self._client.model()
            try:
                return work(model)
            finally:
                self._client.release(model)
        except OllamaError as error:
            raise WriterError(str(error), again=error.again) from error

    def _describe(self, brief: Brief, model: Model) -> Description:
        images = [jpeg(image) for image in brief.images[:MOST_IMAGES]] if model.sees else []
        if not images and not data_of(brief):
            raise WriterError(
                "nothing is known of the product but its SKU; send its name or description on the sku "
                "topic, or set ollama.vision_model to a model that sees",
                again=False,
            )
        conversation = Conversation(self._client, model, self._options)
        nouns = conversation.ask(
            NOUNS, data_of(brief), lambda answer: checked_nouns(answer, brief.name), images=images
        )
        noun = nouns.value[0]
        data = data_of(brief, noun=noun)
        sides = conversation.ask(
            PROMPTS, data, lambda answer: checked_prompts(answer, noun, count=self._count), images=images
        )
        defects, missed = self._defects(conversation, data, noun)
        parts: dict[str, AcceptedAnswer[Any]] = {"nouns": nouns, "prompts": sides}
        if defects:
            parts["defects"] = defects
        prompts = PromptSet(
            normal=sides.value.normal,
            anomalous=sides.value.anomalous,
            defects=defects.value if defects else COMMON_DEFECTS,
            source=PromptSource.OLLAMA,
            provenance=self._provenance(model, parts, noun=noun),
        )
        notes = [note for part in parts.values() for note in part.notes] + missed
        return Description(noun, nouns.value, prompts, tuple(notes))

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
        template = AGNOSTIC[number % len(AGNOSTIC)]
        instruction = Instruction(template.name, template.text.format(count=CHUNK), template.answer)
        return Conversation(self._client, model, self._options).ask(
            instruction,
            {},
            lambda answer: checked_agnostic(answer, least=CHUNK // 4),
            seed=self._options.seed + number * self._options.tries,
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
            "ollama": self._version(),
            "instruction": instruction_hash(),
            "noun": noun,
            "seed": str(main.seed),
            "thinking": _THINKING[main.think],
            "tries": str(sum(part.tries for part in parts.values())),
            "temperature": str(self._options.temperature),
            "asked": "; ".join(how),
        }

    def _version(self) -> str:
        try:
            return self._client.version()
        except OllamaError as error:
            logger.info("the version of Ollama is not known: %s", error)
            return "unknown"


_THINKING = {True: "on", False: "off", None: "not asked for"}


def _shortfall(sides: Sequence[Sequence[str]], count: int) -> list[str]:
    return [
        f"{len(side)} {name} descriptions instead of {count}: the model repeated itself"
        for name, side in zip(("normal", "anomalous"), sides, strict=True)
        if len(side) < count
    ]
