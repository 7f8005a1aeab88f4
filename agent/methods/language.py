"""``Words`` and ``anomaly_probability``: how close a feature is to anomalous and to normal words."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agent.domain.prompts import NamedDefect, PromptSet
from agent.ports import ImageTextEncoder


@dataclass(frozen=True, slots=True)
class Words:
    """A prompt set in the model's space, all that scoring needs of it."""

    normal: torch.Tensor
    """(D,) mean of the unit embeddings of the normal descriptions, not re-normalised."""
    anomalous: torch.Tensor
    """(D,) the same of the anomalous ones."""
    defect_names: tuple[str, ...]
    defects: torch.Tensor
    """(n, D) unit vectors, one for each named defect; (0, D) if none is named."""

    @property
    def direction(self) -> torch.Tensor:
        """(D,) anomalous minus normal."""
        return self.anomalous - self.normal


def embed_words(encoder: ImageTextEncoder, prompts: PromptSet, *, wrap: bool = False) -> Words:
    """Embed a prompt set (FADE, METHODS 1.3).

    ``wrap`` puts every prompt into "a photo of a ...", as the reference implementation did.
    """
    return Words(
        normal=_mean(encoder, prompts.normal, wrap),
        anomalous=_mean(encoder, prompts.anomalous, wrap),
        defect_names=tuple(defect.name for defect in prompts.defects),
        defects=_defect_vectors(encoder, prompts.defects),
    )


class Vocabulary:
    """Embedded prompt sets, the least recently used dropped first; thread-safe."""

    def __init__(self, encoder: ImageTextEncoder, *, capacity: int = 256) -> None:
        self._encoder = encoder
        self._capacity = capacity
        self._words: OrderedDict[tuple[str, bool], Words] = OrderedDict()
        self._lock = threading.Lock()  # recipes are prepared beside inspection

    def words(self, prompts: PromptSet, *, wrap: bool = False) -> Words:
        """:func:`embed_words`, once for each set of words."""
        key = (prompts.digest, wrap)
        with self._lock:
            words = self._words.get(key)
            if words is not None:
                self._words.move_to_end(key)
                return words
        words = embed_words(self._encoder, prompts, wrap=wrap)
        with self._lock:
            self._words[key] = words
            while len(self._words) > self._capacity:
                self._words.popitem(last=False)
        return words


def _mean(encoder: ImageTextEncoder, texts: Sequence[str], wrap: bool) -> torch.Tensor:
    return encoder.encode_texts([f"a photo of a {text}." if wrap else text for text in texts]).mean(dim=0)


def _defect_vectors(encoder: ImageTextEncoder, defects: Sequence[NamedDefect]) -> torch.Tensor:
    if not defects:
        return torch.zeros(0, encoder.dimensions)
    means = [encoder.encode_texts(defect.phrases).mean(dim=0) for defect in defects]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)


def logit_scale(encoder: ImageTextEncoder, temperature: float) -> float:
    """The factor on cosines: one over ``temperature``, or what the model was trained with if that is 0."""
    return 1.0 / temperature if temperature else encoder.logit_scale


def anomaly_probability(features: torch.Tensor, direction: torch.Tensor, logit_scale: float) -> torch.Tensor:
    """softmax over (normal, anomalous), the anomalous share: sigmoid(scale * f . (h- minus h+)).

    Args:
        features: (..., D) unit vectors.
        direction: (D,) or broadcastable to ``features``.

    Returns:
        (...) probabilities (FADE, equation of s_lang; METHODS 1.4).
    """
    return torch.sigmoid(logit_scale * (features * direction).sum(dim=-1))


def best_label(region: torch.Tensor, words: Words) -> str | None:
    """The named defect whose text fits a region's (D,) feature best; None if none is named.

    Named defects share a large common part (all are "defects"); comparing against their mean leaves
    what distinguishes them.
    """
    if not words.defect_names:
        return None
    return words.defect_names[int(_name_scores(region, words).argmax())]


def label_lead(region: torch.Tensor, words: Words) -> float:
    """By how much :func:`best_label` beats the next name; 0 if there is no other."""
    if len(words.defect_names) < 2:
        return 0.0
    first, second = _name_scores(region, words).topk(2).values.tolist()
    return float(first - second)


def _name_scores(region: torch.Tensor, words: Words) -> torch.Tensor:
    centred = words.defects - words.defects.mean(dim=0, keepdim=True)
    return centred @ region.to(centred)
