"""ClipTagger: nouns are ranked against an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.encoders.tagger import ClipTagger
from adapters.models.encoders.vocabulary import VOCABULARY
from agent.domain.errors import ModelError
from agent.domain.frame import Image


class Counting(OpenClipEncoder):
    """The real encoder, counting the texts that it embeds."""

    texts = 0

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.texts += len(texts)
        return super().encode_texts(texts)


@pytest.fixture
def encoder(vit_files: tuple[Path, Path]) -> Counting:
    return Counting(*vit_files, CLIP_PREPROCESSING)


def test_nouns_are_ranked_by_the_mean_over_the_templates(encoder: Counting, images: list[Image]) -> None:
    nouns = ["gear", "bottle", "cookie", "screw"]
    tagger = ClipTagger(encoder, nouns, templates=("a {}", "two of a {}"), size=32)
    vector = encoder.encode_images(images[:1], 32).image[0]
    expected = []
    for noun in nouns:
        mean = encoder.encode_texts([f"a {noun}", f"two of a {noun}"]).mean(dim=0)
        expected.append(float(mean @ vector / mean.norm()))
    ranked = tagger.ranked(images[0], 3)
    order = np.argsort([-cosine for cosine in expected], kind="stable")[:3]
    assert [noun for noun, _ in ranked] == [nouns[index] for index in order]
    np.testing.assert_allclose([cosine for _, cosine in ranked], [expected[i] for i in order], atol=1e-5)
    assert tagger.tags(images[0], 3) == tuple(noun for noun, _ in ranked)
    assert len(tagger.tags(images[0], 9)) == 4
    assert tagger.tags(images[0], 0) == ()
    assert tagger.digest == ClipTagger(encoder, nouns, templates=("a {}", "two of a {}"), size=32).digest
    assert tagger.digest != ClipTagger(encoder, nouns[:3], templates=("a {}", "two of a {}"), size=32).digest


def test_words_are_embedded_once_for_the_same_weights(
    vit_files: tuple[Path, Path], images: list[Image]
) -> None:
    nouns, templates = ["pump", "pump", "valve"], ("one {} of a kind",)
    first, second = (Counting(*vit_files, CLIP_PREPROCESSING) for _ in range(2))
    tags = [
        ClipTagger(each, nouns, templates=templates, size=32).tags(images[0], 2) for each in (first, second)
    ]
    ClipTagger(first, nouns, templates=templates, size=32).tags(images[1], 2)
    assert tags[0] == tags[1]
    assert (first.texts, second.texts) == (2, 0)


def test_an_empty_vocabulary_is_refused(encoder: Counting) -> None:
    with pytest.raises(ModelError, match="at least one noun"):
        ClipTagger(encoder, [])


def test_the_vocabulary() -> None:
    assert 400 <= len(VOCABULARY) <= 1000
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert all(re.fullmatch(r"[A-Za-z]+([ -][A-Za-z]+)*", noun) for noun in VOCABULARY)
    assert {"gear", "cookie", "bottle", "circuit board", "leather"} <= set(VOCABULARY)
