"""AnomalyDINO against plain loops over patches (METHODS section 8.1)."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Parameter, Recipe, Reference
from agent.domain.verdict import Verdict
from agent.inference.inspector import Inspector
from agent.methods import build_method
from agent.methods.anomaly_dino import AnomalyDino, foreground
from agent.methods.variants import evenly_spaced, variants
from tests.support.encoders import ColourEncoder
from tests.support.images import part, spotted


def recipe(shots: int, **parameters: Parameter) -> Recipe:
    references = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(shots))
    return Recipe("A", "part", compositional_ensemble("part"), "anomaly-dino", parameters, references)


def method() -> AnomalyDino:
    built = build_method("anomaly-dino", None, ColourEncoder(), parameters={"size": 64})
    assert isinstance(built, AnomalyDino)
    return built


def unit_patches(image: Image, size: int) -> torch.Tensor:
    """(n, C): both depths scaled to unit length, the coarse one brought to the fine grid, joined."""
    fine, coarse = ColourEncoder().encode_patches([image], size, keep_aspect=True)
    grid = (fine.shape[1], fine.shape[2])
    planes = F.normalize(coarse, dim=-1).permute(0, 3, 1, 2)
    coarse = F.interpolate(planes, size=grid, mode="bilinear").permute(0, 2, 3, 1)
    joined = torch.cat([F.normalize(fine, dim=-1), coarse], dim=-1)[0]
    return F.normalize(joined, dim=-1).flatten(0, 1)


def rotated(image: Image, count: int) -> list[Image]:
    return list(variants(image, evenly_spaced(count)))


def wide(seed: int) -> Image:
    """An image whose sides are 96 and 64."""
    return np.concatenate([part(seed), part(seed + 100)[:, :32]], axis=1)


def test_score_and_map_as_the_equations_say() -> None:
    references, query = [wide(1), wide(2)], wide(3)
    query[16:32, 40:56] = (255, 0, 0)
    dino = method()
    scored = dino.score([query], [dino.prepare(recipe(2, top_fraction=0.05), references)])[0]
    bank = [v for each in references for turned in rotated(each, 8) for v in unit_patches(turned, 64)]
    distances = torch.tensor(
        [1.0 - max(float(v @ other) for other in bank) for v in unit_patches(query, 64)]
    ).clamp_min(0.0)
    assert len(distances) == 8 * 12, "the aspect ratio is kept"
    expected = float(distances.sort(descending=True).values[:4].mean())  # int(0.05 * 96)
    assert scored.score == pytest.approx(expected, abs=1e-5)
    pixels = cv2.resize(distances.view(8, 12).numpy(), (96, 64), interpolation=cv2.INTER_LINEAR)
    smooth = gaussian_filter(pixels, sigma=4.0, mode="reflect", truncate=4.0)
    assert scored.anomaly_map is not None
    assert scored.anomaly_map.numpy() == pytest.approx(smooth, abs=1e-4)


def test_with_fewer_than_a_hundred_patches_the_highest_one_counts() -> None:
    dino = method()
    plain = dino.prepare(recipe(1), [part(0)])
    highest = dino.prepare(recipe(1, top_fraction=0.0), [part(0)])
    one, other = dino.score([spotted(1), spotted(1)], [plain, highest])
    assert one.score == other.score


def test_a_reference_scores_nothing_and_a_defect_stands_out() -> None:
    dino = method()
    prepared = dino.prepare(recipe(2), [part(0), part(1)])
    known, good, bad = dino.score([part(0), part(5), spotted(5)], [prepared] * 3)
    assert known.score == pytest.approx(0.0, abs=1e-5)
    assert bad.score > 3.0 * good.score
    assert bad.anomaly_map is not None
    y, x = divmod(int(bad.anomaly_map.argmax()), 64)
    assert 14 <= y < 34
    assert 38 <= x < 58


def test_a_turned_reference_is_known() -> None:
    reference = spotted(0, box=(0, 0, 20, 64))
    turned = rotated(reference, 8)[1]
    dino = method()
    turning = dino.prepare(recipe(1), [reference])
    still = dino.prepare(recipe(1, rotations=1), [reference])
    one, other = dino.score([turned, turned], [turning, still])
    assert one.score == pytest.approx(0.0, abs=1e-5)
    assert other.score > 0.01


def test_orientations_are_evenly_spaced_and_the_first_is_untouched() -> None:
    image = spotted(0)
    turned = rotated(image, 8)
    assert len(turned) == 8
    assert turned[0] is image
    for quarter in (1, 2, 3):
        exact = np.rot90(image, quarter)
        assert np.abs(turned[2 * quarter].astype(int) - exact).max() <= 1
    assert all(each.shape == image.shape for each in turned)


def test_leaving_one_out_drops_all_its_orientations() -> None:
    dino = method()
    images = [part(0), spotted(1), part(2)]
    left_out = dino.prepare(recipe(3), images).without({1})
    without = dino.prepare(recipe(2), [images[0], images[2]])
    assert left_out.bank is not None
    assert without.bank is not None
    torch.testing.assert_close(left_out.bank.vectors, without.bank.vectors)
    assert len(without.bank.vectors) == 2 * 8 * 64, "the whole bank, no coreset"


def test_without_references_nothing_can_be_scored() -> None:
    dino = method()
    prepared = dino.prepare(recipe(0), ())
    ready = dino.prepare(recipe(1), [part(0)])
    lone, known = dino.score([part(0), part(0)], [prepared, ready])
    assert math.isnan(lone.score)
    assert lone.lacking is not None
    assert "'A' has none; enroll images of good parts (sightline enroll --sku A --refer" in lone.lacking
    assert known.lacking is None
    judged = Inspector(dino).inspect([part(0), part(0)], [prepared, ready])
    assert [one.verdict for one in judged] == [Verdict.REVIEW, Verdict.REVIEW]
    assert judged[0].reason == lone.lacking
    assert judged[0].score is None
    assert judged[1].score == pytest.approx(known.score), "its neighbour is scored in the same batch"
    assert dino.prepare(recipe(0), ()).without({0}).bank is None


def test_the_foreground_is_the_side_that_holds_the_middle() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = 0.1 * torch.randn(16, 16, 4, generator=generator)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[3:13, 3:13] = True
    for sign in (1.0, -1.0):
        signed = tokens.clone()
        signed[inside] += sign * torch.tensor([30.0, 0.0, 0.0, 0.0])
        found = foreground(signed, 10.0)
        assert found[inside].all()
        assert not found[0].any()
        assert int(found.sum()) == 12 * 12, "the 3 x 3 dilation adds one patch around"


def test_masked_patches_have_no_distance() -> None:
    dino = method()
    prepared = dino.prepare(recipe(1, masking=True, mask_level=1e6), [part(0)])
    scored = dino.score([spotted(1)], [prepared])[0]
    assert scored.score == 0.0
    assert scored.anomaly_map is not None
    assert float(scored.anomaly_map.max()) == 0.0


def test_large_frames_have_bounded_maps() -> None:
    dino = method()
    prepared = dino.prepare(recipe(1, map_side=48), [part(0)])
    scored = dino.score([wide(1)], [prepared])[0]
    assert scored.anomaly_map is not None
    assert scored.anomaly_map.shape == (32, 48)


def test_it_is_lent_to_another_version_and_names_nothing() -> None:
    dino = method()
    prepared = dino.prepare(recipe(1), [part(0)])
    other = recipe(1)
    assert prepared.with_recipe(other).recipe is other
    assert prepared.label(torch.ones(3)) is None


def test_it_needs_features() -> None:
    with pytest.raises(RecipeError, match="needs a few-shot backbone"):
        build_method("anomaly-dino")
    assert build_method("anomaly-dino", ColourEncoder()).digest == ColourEncoder().digest
