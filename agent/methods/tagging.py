"""``object_tag``, stage 1 of IAP-AS: what a product is called, seen on images of good parts (METHODS 3.1)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np

from agent.domain.frame import Image
from agent.ports import Detections, Tagger

UNUSABLE = frozenset({"close-up", "number"})
"""Tags that describe how an image was taken, not what it shows; the authors remove them."""


class ReproducibleTagger(Tagger, Protocol):
    """A tagger that is known by its weights: a recipe that is prepared again gets the same words again."""

    @property
    def digest(self) -> str:
        """Of the weights and the vocabulary: equal digests give equal words."""
        ...


Detect = Callable[[Sequence[Image], Sequence[Sequence[str]]], list[Detections]]
"""Boxes for the phrases of each image, after suppression."""


def object_tag(
    images: Sequence[Image], tagger: Tagger, detect: Detect, *, most: int, without: Collection[str] = ()
) -> str | None:
    """The word for the product that ``images`` of good parts show; None if no word fits.

    The tags of each image, ``most`` at most, are asked for together on that image; of all boxes the one
    with the highest score counts, and the phrase that it answers to, which may be several tags in a row. Over
    the images the phrase with the highest score is taken. If no image has a box, the tag that most
    images share stands in, of equally frequent ones the likelier on the first image. Tags that are
    ``without``, the names of defects, do not name a product (section 4.1.1 of the paper).

    Raises:
        ModelError: an image cannot be tagged, or the detector failed.
    """
    frequencies: Counter[str] = Counter()
    best: tuple[float, str] | None = None
    for image in images:  # one at a time: recipes are prepared beside inspection
        tags = usable(tagger.tags(image, most), without)
        if not tags:
            continue
        frequencies.update(tags)
        answer = _highest(detect([image], [tags])[0])
        if answer is not None and (best is None or answer[0] > best[0]):
            best = answer
    if best is not None:
        return best[1]
    return frequencies.most_common(1)[0][0] if frequencies else None


def usable(tags: Sequence[str], without: Collection[str] = ()) -> tuple[str, ...]:
    """Lowercase, each once, without those that name no thing or are ``without``."""
    cleaned = (" ".join(tag.lower().split()).strip(" .") for tag in tags)
    return tuple(dict.fromkeys(tag for tag in cleaned if tag and tag not in {*UNUSABLE, *without}))


def drawn(count: int, most: int, seed: int) -> list[int]:
    """Which of ``count`` images are tagged: ``most`` of them, by lot."""
    if count <= most:
        return list(range(count))
    return random.Random(seed).sample(range(count), most)


def _highest(found: Detections) -> tuple[float, str] | None:
    """Score and phrase of the best box; None without one, or if no word of it is above the threshold."""
    if not len(found.scores):
        return None
    index = int(np.argmax(found.scores))
    phrase = found.phrases[index].strip().lower()
    return (float(found.scores[index]), phrase) if phrase else None
