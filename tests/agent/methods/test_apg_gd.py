"""APG-GD against its equations (METHODS section 4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet
from agent.domain.recipe import Parameter, Recipe
from agent.methods import build_method
from agent.methods.apg_gd import ApgGd, crops_of, ratio
from agent.ports import Detections
from tests.support.detectors import Box, WrittenDetector
from tests.support.encoders import ColourEncoder
from tests.support.images import part, spotted

PROMPTS = PromptSet(("good part", "flawless"), ("broken part", "red spot", "stained"))
FIRST: Box = (4.0, 8.0, 36.0, 40.0)
SECOND: Box = (40.2, 10.7, 60.4, 30.1)


def recipe(noun: str = "part", **parameters: Parameter) -> Recipe:
    return Recipe("A", noun, PROMPTS, "apg-gd", {"size": 64, **parameters})


def method(answers: dict[str, list[tuple[Box, float]]]) -> tuple[ApgGd, WrittenDetector]:
    detector = WrittenDetector(answers)
    built = build_method("apg-gd", ColourEncoder(), None, detector)
    assert isinstance(built, ApgGd)
    return built, detector


def by_hand(image: Image, crops: list[Image]) -> tuple[float, float]:
    """The ratio and the softmax of one frame."""
    encoder = ColourEncoder()

    def embedding(view: Image) -> np.ndarray:
        vector = encoder.encode_images([view], 64).image[0].double().numpy()
        return vector / np.linalg.norm(vector)

    def text(sentences: tuple[str, ...]) -> np.ndarray:
        rows = encoder.encode_texts(sentences).double().numpy()
        mean = np.mean([row / np.linalg.norm(row) for row in rows], axis=0)
        return mean / np.linalg.norm(mean)

    product = np.mean([embedding(crop) for crop in crops], axis=0)
    product /= np.linalg.norm(product)
    fused = (embedding(image) + product) / 2.0
    fused /= np.linalg.norm(fused)
    normal = max(float(fused @ text(PROMPTS.normal)), 1e-6)
    anomalous = max(float(fused @ text(PROMPTS.anomalous)), 1e-6)
    difference = float(fused @ text(PROMPTS.anomalous)) - float(fused @ text(PROMPTS.normal))
    return anomalous / (anomalous + normal), 1.0 / (1.0 + np.exp(-encoder.logit_scale * difference))


def test_crops_and_frame_are_fused_as_the_equations_say() -> None:
    apg, detector = method({"part": [(FIRST, 0.9), (SECOND, 0.5), ((5.0, 8.0, 36.0, 40.0), 0.4)]})
    image = spotted(3)
    plain, soft = apg.prepare(recipe(), ()), apg.prepare(recipe(score="softmax"), ())
    one, other = apg.score([image, image], [plain, soft])
    # The third box overlaps the first; sides are rounded outwards.
    crops = [image[8:40, 4:36], image[10:31, 40:61]]
    expected = by_hand(image, crops)
    assert (one.score, other.score) == pytest.approx(expected, abs=1e-5)
    assert detector.asked == [("part",), ("part",)]
    assert one.anomaly_map is None
    assert one.patches is None


def test_the_products_weight_and_the_temperature_are_parameters() -> None:
    apg, _ = method({"part": [(FIRST, 0.9)]})
    image, crop = spotted(3), spotted(3)[8:40, 4:36]
    frame_alone = apg.prepare(recipe(product_weight=0.0), ())
    crop_alone = apg.prepare(recipe(product_weight=1.0), ())
    one, other = apg.score([image, image], [frame_alone, crop_alone])
    assert one.score == pytest.approx(by_hand(image, [image])[0], abs=1e-5)
    assert other.score == pytest.approx(by_hand(crop, [crop])[0], abs=1e-5)
    own = 1.0 / ColourEncoder().logit_scale
    soft, same = (
        apg.prepare(recipe(score="softmax", temperature=temperature), ()) for temperature in (0.0, own)
    )
    one, other = apg.score([image, image], [soft, same])
    assert one.score == pytest.approx(other.score, abs=1e-6)


def test_without_a_box_the_frame_stands_for_the_product() -> None:
    apg, _ = method({"part": [(FIRST, 0.3)]})  # below 0.35
    image = spotted(3)
    scored = apg.score([image], [apg.prepare(recipe(), ())])[0]
    assert scored.score == pytest.approx(by_hand(image, [image])[0], abs=1e-5)


def test_a_batch_of_mixed_recipes_equals_its_frames_one_by_one() -> None:
    apg, _ = method({"part": [(FIRST, 0.9), (SECOND, 0.5)], "disc": []})
    recipes = [apg.prepare(recipe(noun), ()) for noun in ("part", "disc", "part")]
    images = [part(1), spotted(2), part(3)]
    for image, prepared, scored in zip(images, recipes, apg.score(images, recipes), strict=True):
        assert scored.score == pytest.approx(apg.score([image], [prepared])[0].score, abs=1e-6)


def test_crops_are_capped_kept_inside_and_never_empty() -> None:
    image = part(0)
    boxes = np.array([[-5, -5, 10, 10], [60, 60, 90, 90], [70, 70, 90, 90], [3, 3, 4, 60]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), ("part",) * 4)
    assert [crop.shape[:2] for crop in crops_of(image, found, 8)] == [(10, 10), (4, 4)]
    assert [crop.shape[:2] for crop in crops_of(image, found, 1)] == [(10, 10)]
    none = Detections(boxes[2:3], found.scores[2:3], ("part",))
    assert crops_of(image, none, 8)[0] is image


def test_the_ratio_of_plain_numbers_is_clamped() -> None:
    assert ratio(0.3, 0.1, 1e-6) == pytest.approx(0.75)
    assert ratio(-0.2, 0.1, 1e-6) == pytest.approx(1e-6 / (0.1 + 1e-6))
    assert ratio(-0.2, -0.1, 1e-6) == pytest.approx(0.5)


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_the_ratio_lies_between_zero_and_one(anomalous: float, normal: float) -> None:
    assert 0.0 < ratio(anomalous, normal, 1e-6) < 1.0


def test_references_leave_nothing_in_memory() -> None:
    apg, _ = method({})
    prepared = apg.prepare(recipe(), ())
    assert prepared.without({0}) is prepared
    assert prepared.label(F.normalize(torch.ones(4), dim=0)) is None
    other = recipe()
    assert prepared.with_recipe(other).recipe is other


def test_wrong_parameters_and_missing_models_are_refused() -> None:
    apg, _ = method({})
    with pytest.raises(RecipeError, match="score is 'ratio' or 'softmax'"):
        apg.prepare(recipe(score="maximum"), ())
    with pytest.raises(RecipeError, match="product_weight is a weight"):
        apg.prepare(recipe(product_weight=1.5), ())
    with pytest.raises(RecipeError, match="needs a detector"):
        build_method("apg-gd", ColourEncoder())
    with pytest.raises(RecipeError, match="needs a vision-language model"):
        build_method("apg-gd", None, None, WrittenDetector({}))
