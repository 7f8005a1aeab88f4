"""Words for a picture by a vision model (:class:`agent.ports.Tagger`)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from adapters.ollama.client import OllamaClient
from adapters.ollama.conversation import Conversation
from adapters.ollama.errors import CannotSeeError, OllamaError
from adapters.ollama.instructions import TAGS, instruction_hash
from adapters.ollama.nouns import checked_tags
from adapters.ollama.options import OllamaOptions
from adapters.ollama.pictures import jpeg
from agent.domain.errors import ModelError
from agent.domain.frame import Image


class OllamaTagger:
    """Stands where IAP-AS has the Recognize Anything Model (METHODS sections 3.1 and 6)."""

    def __init__(self, options: OllamaOptions) -> None:
        self._options = replace(options, model=options.vision_model or options.model)
        self._client = OllamaClient(self._options)

    @property
    def digest(self) -> str:
        """Of the question and the model's name: which weights answer is known when they do."""
        asked = "\n".join((instruction_hash(), self._options.model, str(self._options.seed)))
        return hashlib.sha256(asked.encode()).hexdigest()

    def tags(self, image: Image, most: int) -> tuple[str, ...]:
        """At most ``most`` nouns, the likeliest first.

        Raises:
            ModelError: the server is away, its model cannot see, or no answer was usable in time.
        """
        if most < 1:
            return ()
        try:
            model = self._client.model()
            if not model.sees:
                raise CannotSeeError(
                    f"{model.name} takes no pictures; set ollama.vision_model to a model that does, "
                    "such as qwen2.5vl:7b"
                )
            try:
                conversation = Conversation(self._client, model, self._options)
                return conversation.ask(
                    TAGS, {}, lambda answer: checked_tags(answer, most), images=[jpeg(image)]
                ).value
            finally:
                self._client.release(model)
        except OllamaError as error:
            raise ModelError(str(error)) from error
