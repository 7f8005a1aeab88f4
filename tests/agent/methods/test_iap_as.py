"""IAP-AS: the size filter, the score map and the authors' normalisation (METHODS section 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.prompts import NamedDefect, PromptSet
from agent.domain.recipe import Parameter, Recipe
from agent.inference.inspector import Inspector
from agent.methods import build_method
from agent.methods.iap_as import IapAs, min_max, score_map, smaller_than_product
from agent.ports import Detections
from tests.support.detectors import Box, FillingSegmenter, WrittenDetector
from tests.support.images import part

PROMPTS = PromptSet(
    ("good",), ("bad",), (NamedDefect("Scratch", ("a scratch",)), NamedDefect("hole", ("a hole",)))
)
Answers = dict[str, list[tuple[Box, float]]]


def recipe(**parameters: Parameter) -> Recipe:
    return Recipe("A", "Part", PROMPTS, "iap-as", parameters)


def method(answers: Answers) -> tuple[IapAs, WrittenDetector, FillingSegmenter]:
    detector, segmenter = WrittenDetector(answers), FillingSegmenter()
    built = build_method("iap-as", None, None, detector, segmenter)
    assert isinstance(built, IapAs)
    return built, detector, segmenter


def found(*rows: tuple[Box, float]) -> Detections:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([score for _, score in rows], np.float32), ("x",) * len(rows))


def test_a_box_of_exactly_the_fraction_is_left_out() -> None:
    product = found(((0, 0, 50, 10), 0.9))
    anomalies = found(((0, 0, 40, 10), 0.8), ((0, 0, 40, 9.9), 0.7), ((0, 0, 50, 10), 0.6))
    kept = smaller_than_product(anomalies, product, (100, 100), 0.8)
    assert kept.scores.tolist() == pytest.approx([0.7])


def test_the_product_is_the_box_of_the_highest_score_not_the_largest() -> None:
    products = found(((0, 0, 90, 90), 0.5), ((0, 0, 10, 10), 0.6))
    assert not len(smaller_than_product(found(((0, 0, 20, 20), 0.9)), products, (100, 100), 0.8).scores)


def test_without_a_product_the_frame_stands_for_it() -> None:
    anomalies = found(((0, 0, 100, 80), 0.9), ((0, 0, 100, 79), 0.8))
    kept = smaller_than_product(anomalies, found(), (100, 100), 0.8)
    assert kept.scores.tolist() == pytest.approx([0.8])


def test_overlaps_add_up_beyond_one() -> None:
    masks = np.array([[[1, 1], [0, 0]], [[1, 0], [1, 0]]], dtype=bool)
    summed = score_map(masks, np.array([0.75, 0.5], np.float32))
    assert summed.tolist() == [[1.25, 0.75], [0.5, 0.0]]


def test_from_a_frame_to_its_map() -> None:
    answers: Answers = {
        "scratch": [((2, 2, 12, 12), 0.5), ((3, 2, 12, 12), 0.4)],  # the second overlaps the first
        "hole": [((8, 8, 20, 20), 0.6)],
        "abnormal": [((0, 0, 63, 63), 0.9)],  # as large as the product
        "part": [((0, 0, 64, 64), 0.8)],
    }
    iap, detector, segmenter = method(answers)
    scored = iap.score([part(0)], [iap.prepare(recipe(), ())])[0]
    expected = np.zeros((64, 64), np.float32)
    expected[8:20, 8:20] += 0.6
    expected[2:12, 2:12] += 0.5
    assert scored.anomaly_map is not None
    assert scored.anomaly_map.numpy() == pytest.approx(expected)
    assert scored.score == pytest.approx(1.1)
    assert detector.asked == [("scratch", "hole", "abnormal", "defect", "part"), ("part",)]
    assert segmenter.calls == 1


def test_without_a_box_the_map_is_zero_and_nothing_is_outlined() -> None:
    iap, detector, segmenter = method({})
    good = iap.score([part(0)], [iap.prepare(recipe(), ())])[0]
    assert good.score == 0.0
    assert good.anomaly_map is not None
    assert not good.anomaly_map.any()
    assert segmenter.calls == 0
    assert len(detector.asked) == 1, "the product's size does not matter then"


def test_the_authors_normalisation_on_request() -> None:
    answers: Answers = {"hole": [((8, 8, 24, 24), 0.3)], "part": [((0, 0, 64, 64), 0.8)]}
    iap, _, _ = method(answers)
    plain, paper = iap.score(
        [part(0), part(0)], [iap.prepare(recipe(), ()), iap.prepare(recipe(paper_eval=True), ())]
    )
    assert plain.score == pytest.approx(0.3)
    assert paper.anomaly_map is not None
    assert paper.anomaly_map.shape == (400, 400)
    assert paper.score >= 1.0, "cubic resizing overshoots"
    assert float(paper.anomaly_map.min()) < 0.0


def test_a_constant_map_becomes_zero() -> None:
    assert min_max(np.full((2, 2), 0.7, np.float32)).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert min_max(np.array([[1.0, 2.0, 3.0]], np.float32)).tolist() == [[0.0, 0.5, 1.0]]


def test_large_frames_are_outlined_at_a_bounded_size() -> None:
    answers: Answers = {"hole": [((8, 8, 24, 24), 0.3)], "part": [((0, 0, 64, 64), 0.8)]}
    iap, _, _ = method(answers)
    scored = iap.score([part(0)], [iap.prepare(recipe(map_side=32), ())])[0]
    assert scored.anomaly_map is not None
    assert scored.anomaly_map.shape == (32, 32)
    assert float(scored.anomaly_map[4:12, 4:12].min()) == pytest.approx(0.3)
    assert float(scored.anomaly_map.sum()) == pytest.approx(64 * 0.3)


def test_the_authors_caption_joins_the_product_by_a_comma() -> None:
    iap, _, _ = method({})
    assert iap.prepare(recipe(legacy_caption=True), ()).phrases[-1] == "defect, part"
    assert iap.prepare(recipe(ask_object=False), ()).phrases == ("scratch", "hole", "abnormal", "defect")


def test_regions_are_named_by_what_the_detector_answered() -> None:
    answers: Answers = {
        "scratch": [((4, 4, 16, 16), 0.5)],
        "hole": [((40, 40, 60, 60), 0.6)],
        "defect": [((4, 44, 14, 60), 0.4)],
        "part": [((0, 0, 64, 64), 0.8)],
    }
    iap, _, _ = method(answers)
    calibration = Calibration(0.1, 0.1, 8, 0.01, "a test", label_margin=0.3)
    prepared = iap.prepare(replace(recipe(), calibration=calibration), ())
    judged = Inspector(iap).inspect([part(0)], [prepared])[0]
    assert {defect.label: defect.bbox for defect in judged.defects} == {
        "hole": (40, 40, 20, 20),
        "scratch": (4, 4, 12, 12),
        "anomaly": (4, 44, 10, 16),
    }
    assert prepared.label(torch.zeros(2)) is None
    assert prepared.lead(torch.tensor([0.5, 0.2])) == pytest.approx(0.3)


def test_missing_models_and_wrong_parameters_are_refused() -> None:
    with pytest.raises(RecipeError, match="needs a detector"):
        build_method("iap-as")
    with pytest.raises(RecipeError, match="needs a segmenter"):
        build_method("iap-as", detector=WrittenDetector({}))
    iap, _, _ = method({})
    with pytest.raises(RecipeError, match="object_fraction is above 0"):
        iap.prepare(recipe(object_fraction=0.0), ())
