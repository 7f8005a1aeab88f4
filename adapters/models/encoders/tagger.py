"""``ClipTagger``: nouns for an image by ranking a vocabulary with CLIP.

It takes the place of IAP-AS's Recognize Anything Model (METHODS sections 3.1 and 6), which no maintained
package offers. Zero-shot ranking knows only the nouns of its vocabulary and always finds some. So tags are
candidates, which a detector should confirm, as in IAP-AS.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from adapters.models.encoders.vocabulary import VOCABULARY
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.ports import ImageTextEncoder

TEMPLATES = ("a photo of a {}.", "a close-up photo of a {}.", "a photo of a {} on a production line.")
_CACHED = 4
"""Embedded vocabularies that one process keeps."""
_vectors: OrderedDict[tuple[str, str], torch.Tensor] = OrderedDict()
_lock = threading.Lock()


class ClipTagger:
    """An :class:`agent.ports.Tagger` over any vision-language model.

    Args:
        vocabulary: nouns, each once.
        templates: sentences around ``{}``; a noun's vector is the mean over them.
        size: pixels of the square that images are resized to.

    Raises:
        ModelError: the vocabulary or the templates are empty.
    """

    def __init__(
        self,
        encoder: ImageTextEncoder,
        vocabulary: Sequence[str] = VOCABULARY,
        *,
        templates: Sequence[str] = TEMPLATES,
        size: int = 240,
    ) -> None:
        if not vocabulary or not templates:
            raise ModelError("a tagger needs at least one noun and one template")
        self._encoder, self._size = encoder, size
        self._vocabulary, self._templates = tuple(dict.fromkeys(vocabulary)), tuple(templates)

    @property
    def digest(self) -> str:
        """sha256 over the encoder's weights, the vocabulary and its templates."""
        words = "\n".join((self._encoder.digest, str(self._size), *self._templates, "", *self._vocabulary))
        return hashlib.sha256(words.encode()).hexdigest()

    def tags(self, image: Image, most: int) -> tuple[str, ...]:
        """At most ``most`` nouns, the likeliest first."""
        return tuple(noun for noun, _ in self.ranked(image, most))

    @torch.inference_mode()
    def ranked(self, image: Image, most: int) -> list[tuple[str, float]]:
        """At most ``most`` nouns with their cosines, the highest first; of equal ones the earlier noun."""
        if most <= 0:
            return []
        vector = self._encoder.encode_images([image], self._size).image[0].float()
        cosines = (self._nouns().to(vector.device) @ vector).cpu()
        order = torch.argsort(cosines, descending=True, stable=True)[:most].tolist()
        return [(self._vocabulary[index], float(cosines[index])) for index in order]

    @torch.inference_mode()
    def _nouns(self) -> torch.Tensor:
        """(N, D) unit vectors, computed once for an encoder's weights and a vocabulary."""
        words = "\n".join((*self._templates, "", *self._vocabulary))
        key = (self._encoder.digest, hashlib.sha256(words.encode()).hexdigest())
        with _lock:
            if key not in _vectors:
                _vectors[key] = self._embed()
                while len(_vectors) > _CACHED:
                    _vectors.popitem(last=False)
            _vectors.move_to_end(key)
            return _vectors[key]

    def _embed(self) -> torch.Tensor:
        sentences = [template.format(noun) for noun in self._vocabulary for template in self._templates]
        vectors = self._encoder.encode_texts(sentences).float()
        return F.normalize(vectors.view(len(self._vocabulary), len(self._templates), -1).mean(dim=1), dim=-1)
