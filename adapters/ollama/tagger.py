"""``OllamaTagger``: names what an image shows; ``jpeg``: an image as a vision model takes it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np

from adapters.ollama.client import OllamaClient
from adapters.ollama.conversation import Conversation
from adapters.ollama.errors import CannotSeeError, OllamaError
from adapters.ollama.instructions import TAGS, instruction_hash
from adapters.ollama.options import OllamaOptions
from adapters.ollama.validation import checked_tags
from agent.domain.errors import ModelError
from agent.domain.frame import Image

LONGEST_SIDE = 768
"""Pixels; vision models cut larger images into tiles that fill the context."""
_QUALITY = 90


def jpeg(image: Image, side: int = LONGEST_SIDE) -> bytes:
    """A JPEG file of an (H, W, 3) RGB image, its longer side at most ``side`` pixels. Raises ModelError."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor < 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    done, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ModelError("the image cannot be written as a JPEG")
    return encoded.tobytes()


class OllamaTagger:
    """Takes the place of IAP-AS's Recognize Anything Model (METHODS sections 3.1 and 6)."""

    def __init__(self, options: OllamaOptions) -> None:
        self._options = replace(options, model=options.vision_model or options.model)
        self._client = OllamaClient(self._options)

    @property
    def digest(self) -> str:
        """sha256 of the instruction and the model's name; the weights are known only after an answer."""
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
                    f"{model.name} takes no images; set ollama.vision_model to a model that does, "
                    "such as qwen2.5vl:7b"
                )
            try:
                self._client.load(model)
                conversation = Conversation(self._client, model, self._options)
                return conversation.ask(
                    TAGS, {}, lambda answer: checked_tags(answer, most), images=[jpeg(image)]
                ).value
            finally:
                self._client.release(model)
        except OllamaError as error:
            raise ModelError(str(error)) from error
