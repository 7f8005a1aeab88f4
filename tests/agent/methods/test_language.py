"""Scores by language against the equations of METHODS 1.3 and 1.4."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.prompts import NamedDefect, PromptSet
from agent.methods.language import Words, anomaly_probability, best_label, embed_words, logit_scale
from tests.support.encoders import ColourEncoder

PROMPTS = PromptSet(
    normal=("a good plate", "a fine plate"),
    anomalous=("a broken plate", "a cracked plate", "a plate with a hole"),
    defects=(NamedDefect("crack", ("a crack", "cracked")), NamedDefect("hole", ("a hole",))),
)


def test_the_direction_is_the_difference_of_means_that_are_not_normalised_again() -> None:
    encoder = ColourEncoder()
    words = embed_words(encoder, PROMPTS)
    normal = encoder.encode_texts(PROMPTS.normal).mean(dim=0)
    anomalous = encoder.encode_texts(PROMPTS.anomalous).mean(dim=0)
    torch.testing.assert_close(words.direction, anomalous - normal)
    renormalised = F.normalize(anomalous, dim=0) - F.normalize(normal, dim=0)
    assert not torch.allclose(words.direction, renormalised, atol=1e-3)


def test_duplicates_are_kept_in_the_mean() -> None:
    encoder = ColourEncoder()
    once = embed_words(encoder, PromptSet(("good",), ("bad", "worse")))
    twice = embed_words(encoder, PromptSet(("good",), ("bad", "bad", "worse")))
    assert not torch.allclose(once.direction, twice.direction)


def test_wrapping_puts_every_prompt_into_a_photo() -> None:
    encoder = ColourEncoder()
    by_hand = PromptSet(("a photo of a good plate.",), ("a photo of a broken plate.",))
    wrapped = embed_words(encoder, PromptSet(("good plate",), ("broken plate",)), wrap=True)
    torch.testing.assert_close(wrapped.direction, embed_words(encoder, by_hand).direction)


@given(st.integers(0, 2**31), st.floats(0.1, 100.0))
def test_the_sigmoid_of_one_difference_is_the_softmax_over_two(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(4, 3, 8, generator=generator, dtype=torch.float64), dim=-1)
    normal, anomalous = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    logits = scale * torch.stack([features @ normal, features @ anomalous], dim=-1)
    expected = logits.softmax(dim=-1)[..., 1]
    actual = anomaly_probability(features, anomalous - normal, scale)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def test_the_probability_of_plain_numbers() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    direction = torch.tensor([0.02, -0.03])
    expected = torch.tensor([1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(3.0))])
    torch.testing.assert_close(anomaly_probability(features, direction, 100.0), expected)


def test_a_temperature_stands_over_the_models_own() -> None:
    encoder = ColourEncoder(logit_scale=18.5)
    assert logit_scale(encoder, 0.0) == 18.5
    assert logit_scale(encoder, 0.01) == pytest.approx(100.0)


def test_every_frame_may_have_a_direction_of_its_own() -> None:
    features = F.normalize(torch.randn(3, 5, 5, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    directions = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    together = anomaly_probability(features, directions[:, None, None, :], 10.0)
    for i in range(3):
        torch.testing.assert_close(together[i], anomaly_probability(features[i], directions[i], 10.0))


@pytest.mark.parametrize(("text", "name"), [("a crack", "crack"), ("a hole", "hole")])
def test_a_region_gets_the_name_whose_words_fit_best(text: str, name: str) -> None:
    encoder = ColourEncoder()
    words = embed_words(encoder, PROMPTS)
    assert words.defects.shape == (2, encoder.dimensions)
    torch.testing.assert_close(words.defects.norm(dim=1), torch.ones(2))
    assert best_label(encoder.encode_texts([text])[0], words) == name


def test_the_part_that_all_defects_share_does_not_choose() -> None:
    common = torch.tensor([10.0, 0.0, 0.0])
    vectors = F.normalize(torch.stack([common + torch.eye(3)[1] * 2, common + torch.eye(3)[2]]), dim=1)
    words = Words(torch.zeros(3), torch.zeros(3), ("first", "second"), vectors)
    # Its cosine to the second is higher only because the second lies nearer to the common part.
    region = torch.tensor([1.0, 0.15, 0.14])
    assert best_label(region, words) == "first"


def test_without_named_defects_there_is_no_label() -> None:
    words = embed_words(ColourEncoder(), PromptSet(("good",), ("bad",)))
    assert words.defects.shape == (0, 32)
    assert best_label(torch.ones(32), words) is None
