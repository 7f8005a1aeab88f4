"""Variants of references: what they are, and that every few-shot method memorises and leaves them out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.frame import Image
from agent.domain.limits import MOST_VARIANTS
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Parameter, Recipe, Reference
from agent.methods import build_method
from agent.methods.anomaly_dino import AnomalyDino, AnomalyDinoPrepared
from agent.methods.fade import Fade, FadeParameters, FadePrepared
from agent.methods.memory import nearest_distances
from agent.methods.variants import brightened, evenly_spaced, rotated, variants
from agent.ports import ImageSize
from tests.support.encoders import ColourEncoder
from tests.support.images import part, spotted


def recipe(shots: int, method: str = "fade", **parameters: Parameter) -> Recipe:
    references = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(shots))
    return Recipe("A", "part", compositional_ensemble("part"), method, parameters, references)


class Counting(ColourEncoder):
    """Counts the images that it was shown for their patches."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = 0

    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        self.shown += len(images)
        return super().encode_patches(images, size, keep_aspect=keep_aspect)


def test_a_square_image_is_turned_without_loss() -> None:
    image = spotted(1)
    for turns in range(4):
        assert np.array_equal(rotated(image, 90.0 * turns), np.rot90(image, turns))


@given(st.integers(0, 255), st.floats(0.1, 3.0))
def test_brightness_multiplies_every_level_and_ends_at_white(level: int, factor: float) -> None:
    image = np.full((4, 4, 3), level, np.uint8)
    assert brightened(image, factor).max() == min(255, int(level * factor + 0.5))


def test_every_angle_comes_under_every_brightness_the_reference_itself_first() -> None:
    image = spotted(1)
    made = list(variants(image, evenly_spaced(4), (1.0, 0.8)))
    assert len(made) == 8
    assert made[0] is image
    assert np.array_equal(made[3], brightened(np.ascontiguousarray(np.rot90(image)), 0.8))


def test_a_turned_part_is_known_where_its_variants_are() -> None:
    fade = Fade(ColourEncoder(), defaults=FadeParameters(scales=(64,), map_size=8, smoothing=1))
    turned = rotated(spotted(1), 45.0)
    plain = fade.prepare(recipe(1), [spotted(1)])
    varied = fade.prepare(recipe(1, angles=[0, 45, 90], brightness=[1, 0.7]), [spotted(1)])
    assert len(varied.banks[0].vectors) == 6 * len(plain.banks[0].vectors)
    for query in (turned, brightened(turned, 0.7)):
        without, with_variants = fade.score([query], [plain])[0], fade.score([query], [varied])[0]
        assert with_variants.score < without.score


@pytest.mark.parametrize("name", ["fade", "anomaly-dino"])
def test_leaving_a_reference_out_leaves_out_all_its_variants(name: str) -> None:
    method = build_method(name, ColourEncoder(), parameters={"smoothing": 1})
    assert isinstance(method, Fade | AnomalyDino)
    size: dict[str, Parameter] = {"scales": [64], "map_size": 8} if name == "fade" else {"size": 64}
    varied = recipe(3, name, angles=[0, 180], brightness=[1, 1.2], **size)
    one, other = recipe(2, name, angles=[0, 180], brightness=[1, 1.2], **size), [part(0), part(2)]
    left = method.prepare(varied, [part(0), spotted(1), part(2)]).without({1})
    expected = method.prepare(one, other)
    assert isinstance(left, FadePrepared | AnomalyDinoPrepared)
    assert isinstance(expected, FadePrepared | AnomalyDinoPrepared)
    banks = [each.banks[0] if isinstance(each, FadePrepared) else each.bank for each in (left, expected)]
    assert banks[0] is not None
    assert banks[1] is not None
    torch.testing.assert_close(banks[0].vectors, banks[1].vectors)


@pytest.mark.parametrize("name", ["fade", "anomaly-dino"])
def test_one_more_reference_costs_the_passes_of_that_one_alone(name: str) -> None:
    counting = Counting()
    method = build_method(name, counting, parameters={"bank_limit": 40})
    size: dict[str, Parameter] = {"scales": [64]} if name == "fade" else {"size": 64, "rotations": 1}
    images = [part(i) for i in range(6)]
    method.prepare(recipe(5, name, **size), images[:5])
    shown = counting.shown
    grown = method.prepare(recipe(6, name, **size), images)
    assert counting.shown == shown + 1
    afresh = build_method(name, ColourEncoder(), parameters={"bank_limit": 40})
    expected = afresh.prepare(recipe(6, name, **size), images)
    ones, others = (
        each.banks[0] if isinstance(each, FadePrepared) else each.bank  # type: ignore[attr-defined]
        for each in (grown, expected)
    )
    torch.testing.assert_close(ones.vectors, others.vectors, rtol=0.0, atol=0.0)
    assert len(ones.vectors) == 40
    method.prepare(recipe(6, name, brightness=[1, 0.9], **size), images)
    assert counting.shown == shown + 1 + 6, "each variant is encoded once"


@given(st.lists(st.floats(-360, 360), max_size=9), st.lists(st.floats(-1, 3), max_size=9))
@settings(max_examples=50)
def test_parameters_make_sense_or_are_refused(angles: list[float], brightness: list[float]) -> None:
    sensible = bool(angles) and bool(brightness) and min(brightness) > 0.0
    if sensible and len(angles) * len(brightness) <= MOST_VARIANTS:
        FadeParameters(angles=tuple(angles), brightness=tuple(brightness))
    else:
        with pytest.raises(ValueError, match=r"variants|degrees|factors"):
            FadeParameters(angles=tuple(angles), brightness=tuple(brightness))


def test_a_variant_is_at_distance_zero() -> None:
    fade = Fade(ColourEncoder(), defaults=FadeParameters(scales=(64,), map_size=8, smoothing=1))
    image = spotted(3)
    bank = fade.prepare(recipe(1, angles=[0, 90]), [image]).banks[0]
    again = fade.prepare(recipe(1), [np.ascontiguousarray(np.rot90(image))]).banks[0]
    assert float(nearest_distances(again.vectors, bank).max()) < 1e-6
