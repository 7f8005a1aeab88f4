"""The default method: FADE on frame and product, and outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import NamedDefect, PromptSet
from agent.domain.recipe import Parameter, Recipe, Reference
from agent.inference.inspector import Inspector
from agent.methods import METHODS, build_method
from agent.methods.fade import Fade
from agent.methods.prepared import Scored
from agent.methods.sightline import Sightline, blend
from tests.support.detectors import Box, FillingSegmenter, WrittenDetector
from tests.support.encoders import ColourEncoder
from tests.support.images import part, spotted

PROMPTS = PromptSet(("good",), ("red spot",), (NamedDefect("spot", ("red spot",)),))
PARAMETERS: dict[str, Parameter] = {"scales": [64], "map_size": 16}
BOX: Box = (20.0, 8.0, 60.0, 48.0)
WITH_MARGIN = (18, 6, 62, 50)


def recipe(shots: int = 0, noun: str = "part", **parameters: Parameter) -> Recipe:
    references = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(shots))
    return Recipe("A", noun, PROMPTS, "sightline", parameters, references)


def method(
    answers: dict[str, list[tuple[Box, float]]] | None = None, segmenter: FillingSegmenter | None = None
) -> Sightline:
    detector = WrittenDetector(answers) if answers is not None else None
    built = build_method("sightline", ColourEncoder(), None, detector, segmenter, parameters=PARAMETERS)
    assert isinstance(built, Sightline)
    return built


def fade() -> Fade:
    built = build_method("sightline", ColourEncoder(), parameters=PARAMETERS)
    assert isinstance(built, Fade)
    return built


def crop(image: Image) -> Image:
    x0, y0, x1, y1 = WITH_MARGIN
    return image[y0:y1, x0:x1]


def test_frame_and_product_each_say_half() -> None:
    references, image = [part(0), part(1)], spotted(3)
    whole = method({"part": [(BOX, 0.8), ((0, 0, 8, 8), 0.5)]})
    scored = whole.score([image], [whole.prepare(recipe(2), references)])[0]
    plain = fade()
    frame = plain.score([image], [plain.prepare(recipe(2), references)])[0]
    product = plain.score([crop(image)], [plain.prepare(recipe(2), [crop(r) for r in references])])[0]
    assert scored.score == pytest.approx((frame.score + product.score) / 2.0, abs=1e-5)
    assert scored.anomaly_map is not None
    assert frame.anomaly_map is not None
    larger = F.interpolate(frame.anomaly_map[None, None], size=(32, 32), mode="bilinear")[0, 0]
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[3:25, 9:31] = False  # rows 6..50 and columns 18..62 of 64
    torch.testing.assert_close(scored.anomaly_map[outside], larger[outside], rtol=0, atol=1e-5)
    assert not torch.allclose(scored.anomaly_map[~outside], larger[~outside], atol=1e-2)


def test_the_crops_map_lands_inside_its_box() -> None:
    frame = Scored(0.2, torch.zeros(4, 4))
    product = Scored(0.6, torch.ones(4, 4))
    blended = blend(frame, product, (20, 0, 40, 10), (40, 40), 0.25)
    assert blended.score == pytest.approx(0.3)
    expected = torch.zeros(8, 8)
    expected[0:2, 4:8] = 0.25
    assert blended.anomaly_map is not None
    torch.testing.assert_close(blended.anomaly_map, expected)
    tiny = blend(frame, product, (38, 38, 40, 40), (40, 40), 1.0)
    assert tiny.anomaly_map is not None
    assert float(tiny.anomaly_map.sum()) == 1.0, "at least one place"


@pytest.mark.parametrize("noun", ["object", "disc"])
def test_a_generic_noun_asks_nobody_and_a_lost_product_is_the_frame(noun: str) -> None:
    detector = WrittenDetector({"part": [(BOX, 0.8)]})
    built = build_method("sightline", ColourEncoder(), None, detector, parameters=PARAMETERS)
    scored = built.score([spotted(3)], [built.prepare(recipe(1, noun), [part(0)])])[0]
    plain = fade()
    expected = plain.score([spotted(3)], [plain.prepare(recipe(1, noun), [part(0)])])[0]
    assert scored.score == pytest.approx(expected.score, abs=1e-5)
    assert len(detector.asked) == (0 if noun == "object" else 2), "the reference and the frame"


def test_a_batch_of_mixed_recipes_equals_its_frames_one_by_one() -> None:
    built = method({"part": [(BOX, 0.8)]})
    recipes = [
        built.prepare(recipe(), ()),
        built.prepare(recipe(2), [part(0), part(1)]),
        built.prepare(recipe(1, "object"), [part(2)]),
        built.prepare(recipe(0, product_weight=0.2), ()),
        built.prepare(recipe(0, locate=False), ()),
    ]
    images = [spotted(10 + i) for i in range(5)]
    for image, prepared, scored in zip(images, recipes, built.score(images, recipes), strict=True):
        alone = built.score([image], [prepared])[0]
        assert scored.score == pytest.approx(alone.score, abs=1e-5)
        assert scored.anomaly_map is not None
        assert alone.anomaly_map is not None
        torch.testing.assert_close(scored.anomaly_map, alone.anomaly_map, rtol=0, atol=2e-5)


def test_leaving_one_out_leaves_its_crop_out_too() -> None:
    built = method({"part": [(BOX, 0.8)]})
    images = [part(0), spotted(1), part(2)]
    left_out = built.prepare(recipe(3), images).without({1})
    without = built.prepare(recipe(2), [images[0], images[2]])
    one, other = built.score([images[1]] * 2, [left_out, without])
    assert one.score == pytest.approx(other.score, abs=1e-5)


# ---------------------------------------------------------------------------------------- outlines


def calibrated(built: Sightline, threshold: float, review: float) -> Recipe:
    calibration = Calibration(
        threshold, review, 8, 0.01, "by hand", map_threshold=0.1, scorer=built.fingerprint
    )
    return replace(recipe(2), calibration=calibration)


class DiscSegmenter(FillingSegmenter):
    """Outlines the red pixels near a box."""

    def segment(self, image, boxes, points=None):  # type: ignore[no-untyped-def]
        self.calls += 1
        assert points is not None
        assert len(points) == len(boxes)
        red = (image[..., 0] > 200) & (image[..., 1] < 60)
        return np.repeat(red[None], len(boxes), axis=0)


def test_a_suspicious_frame_is_outlined_by_the_segmenter() -> None:
    segmenter = DiscSegmenter()
    built = method(None, segmenter)
    image = spotted(3)
    prepared = built.prepare(calibrated(built, 0.1, 0.05), [part(0), part(1)])
    judged = Inspector(built).inspect([image], [prepared])[0]
    assert segmenter.calls == 1
    assert judged.mask is not None
    found = judged.mask > 0
    truth = (image[..., 0] > 200) & (image[..., 1] < 60)
    assert (found & truth).sum() / (found | truth).sum() > 0.95
    plain = Inspector(fade()).inspect([image], [fade().prepare(prepared.recipe, [part(0), part(1)])])[0]
    assert plain.mask is not None
    coarse = plain.mask > 0
    assert (coarse & truth).sum() / (coarse | truth).sum() < (found & truth).sum() / (found | truth).sum()


def test_neither_a_good_frame_nor_an_uncalibrated_one_is_outlined() -> None:
    segmenter = DiscSegmenter()
    built = method(None, segmenter)
    good = built.prepare(calibrated(built, 10.0, 5.0), [part(0), part(1)])
    fresh = built.prepare(recipe(2), [part(0), part(1)])
    built.score([spotted(3), spotted(3)], [good, fresh])
    assert segmenter.calls == 0


def test_an_outline_of_the_whole_product_is_not_believed() -> None:
    class Everything(FillingSegmenter):
        def segment(self, image, boxes, points=None):  # type: ignore[no-untyped-def]
            self.calls += 1
            return np.ones((len(boxes), *image.shape[:2]), dtype=bool)

    segmenter = Everything()
    built = method(None, segmenter)
    references = [part(0), part(1)]
    prepared = built.prepare(calibrated(built, 0.1, 0.05), references)
    judged = Inspector(built).inspect([spotted(3)], [prepared])[0]
    plain = Inspector(fade()).inspect([spotted(3)], [fade().prepare(prepared.recipe, references)])[0]
    assert segmenter.calls == 1
    assert judged.mask is not None
    assert plain.mask is not None
    assert np.array_equal(judged.mask, plain.mask)


def test_without_detector_and_segmenter_it_is_fade_with_its_preset() -> None:
    built = build_method("sightline", ColourEncoder())
    assert isinstance(built, Fade)
    assert built.prepare(recipe(), ()).parameters == METHODS["sightline"].preset


def test_a_wrong_parameter_is_refused() -> None:
    with pytest.raises(RecipeError, match="product_weight is a weight"):
        method({}).prepare(recipe(0, product_weight=1.5), ())
