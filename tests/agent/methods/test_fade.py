"""FADE's aggregation (Table 2, METHODS 1.4) and batches of mixed recipes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import NamedDefect, PromptSet, PromptSource, compositional_ensemble
from agent.domain.recipe import Parameter, Recipe, Reference
from agent.methods import METHODS, build_method
from agent.methods.fade import PRESET, Fade, FadeParameters, aggregate, describing
from agent.methods.language import embed_words
from agent.methods.prepared import Prepared, Scored
from agent.methods.prompt_library import library
from tests.support.encoders import ColourEncoder
from tests.support.images import part, spotted

SMALL = FadeParameters(scales=(64, 96), map_size=12)
PROMPTS = PromptSet(
    ("a good part", "flawless"),
    ("a broken part", "red spot", "stained"),
    (NamedDefect("spot", ("red spot",)), NamedDefect("crack", ("thin dark crack",))),
)


def recipe(sku: str, shots: int = 0, prompts: PromptSet = PROMPTS, **parameters: Parameter) -> Recipe:
    references = tuple(Reference(f"{sku}{i}", f"{sku}{i}.png", str(i)) for i in range(shots))
    return Recipe(sku, "part", prompts, "fade", parameters, references)


def method(**changes: object) -> Fade:
    return Fade(ColourEncoder(), defaults=replace(SMALL, **changes))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ Table 2

LANGUAGE = [0.2, 0.9]
LANGUAGE_MAP = [[[0.1, 0.5], [0.9, 1.0]], [[0.0, 0.25], [0.6, 0.8]]]
VISION_MAP = [[[0.001, 0.004], [0.02, 0.0]], [[0.1, 0.2], [0.4, 0.05]]]


def run(few_shot: bool, parameters: FadeParameters) -> tuple[list[float], list[list[list[float]]]]:
    scores, maps = aggregate(
        torch.tensor(LANGUAGE),
        torch.tensor(LANGUAGE_MAP),
        torch.tensor(VISION_MAP),
        torch.tensor([few_shot, few_shot]),
        parameters,
    )
    return scores.tolist(), maps.tolist()


def blended(weight: float, gain: float, *, clip: bool) -> list[list[list[float]]]:
    def pixel(language: float, vision: float) -> float:
        value = (1 - weight) * language + weight * gain * vision
        return min(max(value, 0.0), 1.0) if clip else value

    return [
        [[pixel(a, b) for a, b in zip(r, s, strict=True)] for r, s in zip(m, n, strict=True)]
        for m, n in zip(LANGUAGE_MAP, VISION_MAP, strict=True)
    ]


def test_the_image_score_without_references_is_language_alone() -> None:
    assert run(False, FadeParameters())[0] == pytest.approx(LANGUAGE)


def test_the_map_without_references_is_half_language_and_half_eighty_times_vision() -> None:
    maps = run(False, FadeParameters())[1]
    expected = blended(0.5, 80.0, clip=True)
    assert np.array(maps) == pytest.approx(np.array(expected))
    assert expected[0][1][0] == 1.0, "0.45 + 0.8 was clipped"
    assert expected[0][0][1] == pytest.approx(0.41), "0.25 + 0.16 was not"


def test_the_image_score_with_references_is_the_clipped_mean_of_language_and_the_highest_distance() -> None:
    scores = run(True, FadeParameters())[0]
    # (0.2 + 3.5 * 0.02) / 2, and (0.9 + 3.5 * 0.4) / 2 = 1.15 clipped.
    assert scores == pytest.approx([0.135, 1.0])


def test_the_map_with_references_is_mostly_vision() -> None:
    maps = run(True, FadeParameters())[1]
    expected = blended(0.85, 3.5, clip=True)
    assert np.array(maps) == pytest.approx(np.array(expected))
    assert expected[1][1][0] == 1.0, "0.09 + 1.19 was clipped"
    assert expected[0][1][0] == pytest.approx(0.15 * 0.9 + 0.85 * 3.5 * 0.02)


def test_without_clipping_the_worst_are_distinguished() -> None:
    scores, maps = run(True, FadeParameters(clip=False))
    assert scores == pytest.approx([0.135, 1.15])
    assert np.array(maps) == pytest.approx(np.array(blended(0.85, 3.5, clip=False)))


def test_zero_and_few_shot_stand_in_one_batch() -> None:
    scores, maps = aggregate(
        torch.tensor(LANGUAGE),
        torch.tensor(LANGUAGE_MAP),
        torch.tensor(VISION_MAP),
        torch.tensor([False, True]),
        FadeParameters(),
    )
    assert scores.tolist() == pytest.approx([0.2, 1.0])
    assert maps[0].numpy() == pytest.approx(np.array(blended(0.5, 80.0, clip=True)[0]))
    assert maps[1].numpy() == pytest.approx(np.array(blended(0.85, 3.5, clip=True)[1]))


def test_the_zero_shot_score_may_take_the_pooled_map_in() -> None:
    scores, _ = run(False, FadeParameters(zero_shot_image_map=0.25, pool_fraction=0.5))
    # The mean of the two highest of four pixels.
    assert scores == pytest.approx([0.75 * 0.2 + 0.25 * 0.95, 0.75 * 0.9 + 0.25 * 0.7])


def test_the_defaults_are_the_papers() -> None:
    p = FadeParameters()
    assert p.scales == (240, 448, 896)
    assert (p.map_size, p.zero_shot_gain, p.zero_shot_map_vision) == (56, 80.0, 0.5)
    assert (p.few_shot_gain, p.few_shot_map_vision, p.few_shot_image_vision) == (3.5, 0.85, 0.5)
    assert (p.pool_fraction, p.clip, p.wrap_prompt) == (0.0, True, True)


# -------------------------------------------------------------------------------- the whole method


def by_hand(image: Image, parameters: FadeParameters) -> tuple[float, torch.Tensor]:
    """One frame straight from the equations, one loop a patch."""
    encoder = ColourEncoder()
    direction = embed_words(encoder, PROMPTS, wrap=parameters.wrap_prompt).direction
    score, languages, visions = 0.0, [], []
    for level, scale in enumerate(parameters.scales):
        features = encoder.encode_images([image], scale)
        if level == 0:
            score = float(torch.sigmoid(encoder.logit_scale * (features.image[0] @ direction)))
        grid = features.patches[0]
        languages.append(torch.sigmoid(encoder.logit_scale * (grid @ direction)))
        flat = grid.reshape(-1, grid.shape[-1])
        distances = torch.empty(len(flat))
        for i, patch in enumerate(flat):
            others = torch.cat([flat[:i], flat[i + 1 :]])
            distances[i] = 0.5 * (1 - (others @ patch).max())
        visions.append(distances.reshape(grid.shape[:2]))

    def mean(maps: list[torch.Tensor]) -> torch.Tensor:
        size = (parameters.map_size, parameters.map_size)
        resized = [F.interpolate(m[None, None], size=size, mode="bilinear")[0, 0] for m in maps]
        return torch.stack(resized).mean(dim=0)

    anomaly_map = 0.5 * mean(languages) + 0.5 * 80.0 * mean(visions)
    return score, anomaly_map.clamp(0.0, 1.0)


def test_a_frame_without_references_scores_as_the_equations_say() -> None:
    fade = method()
    image = spotted(1)
    scored = fade.score([image], [fade.prepare(recipe("A"), ())])[0]
    score, anomaly_map = by_hand(image, SMALL)
    assert scored.score == pytest.approx(score, abs=1e-5)
    assert scored.anomaly_map is not None
    torch.testing.assert_close(scored.anomaly_map, anomaly_map, rtol=0.0, atol=1e-4)


def test_a_defect_stands_out_where_it_is() -> None:
    fade = method()
    references = [part(i) for i in range(4)]
    prepared = fade.prepare(recipe("A", 4), references)
    good, bad = fade.score([part(10), spotted(11)], [prepared, prepared])
    assert bad.score > good.score
    assert bad.anomaly_map is not None
    peak = int(bad.anomaly_map.argmax())
    # The spot covers x 40..56 and y 16..32 of 64: columns 7.5..10.5 and rows 3..6 of 12.
    assert 3 <= peak // 12 <= 6
    assert 7 <= peak % 12 <= 10


def same(one: Scored, other: Scored) -> None:
    assert one.score == pytest.approx(other.score, abs=1e-5)
    for a, b in ((one.anomaly_map, other.anomaly_map), (one.patches, other.patches)):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(a, b, rtol=0.0, atol=2e-5)


def test_a_batch_of_mixed_recipes_equals_its_frames_one_by_one() -> None:
    fade = method(clip=False)
    words = PromptSet(("smooth",), ("rough", "torn"))
    recipes: list[Prepared] = [
        fade.prepare(recipe("zero"), ()),
        fade.prepare(recipe("four", 4), [part(i) for i in range(4)]),
        fade.prepare(recipe("words", 0, words), ()),
        fade.prepare(recipe("one", 1, words), [part(20, noise=20.0)]),
        fade.prepare(recipe("scale", 2, scales=[128]), [part(5), part(6)]),
        fade.prepare(recipe("plain", 2, pool_fraction=0.1, smoothing=1), [part(7), part(8)]),
        fade.prepare(recipe("four", 4), [part(i) for i in range(4)]),
    ]
    images = [part(40, side=80), spotted(41), part(42), spotted(43), spotted(44), part(45), part(46)]
    together = fade.score(images, recipes)
    assert len(together) == len(images)
    for image, prepared, scored in zip(images, recipes, together, strict=True):
        same(scored, fade.score([image], [prepared])[0])
    for image, prepared, scored in zip(
        images[::-1], recipes[::-1], fade.score(images[::-1], recipes[::-1]), strict=True
    ):
        same(scored, fade.score([image], [prepared])[0])


def test_an_empty_batch_has_no_scores() -> None:
    assert method().score([], []) == []


def test_leaving_one_out_is_as_if_it_had_never_been_enrolled() -> None:
    fade = method(clip=False)
    images = [part(0), spotted(1), part(2)]
    prepared = fade.prepare(recipe("A", 3), images)
    without = fade.prepare(recipe("A", 2), [images[0], images[2]])
    known = fade.score([images[1]], [prepared])[0]
    left_out = fade.score([images[1]], [prepared.without({1})])[0]
    same(left_out, fade.score([images[1]], [without])[0])
    assert left_out.score > known.score + 0.05
    assert [bank.owners.unique().tolist() for bank in prepared.banks] == [[0, 1, 2]] * 2, "unchanged"


def test_where_references_differ_a_frame_may_and_only_a_recipe_that_asks_pays_for_it() -> None:
    images = [part(index) for index in range(3)]
    plain, asking = method(), method(spread_weight=2.0)
    prepared = asking.prepare(recipe("A", 3), images)
    assert all(bank.spread is not None for bank in prepared.banks)
    assert all(bank.spread is None for bank in plain.prepare(recipe("A", 3), images).banks)
    frames = [part(7), spotted(8)]
    before = plain.score(frames, [plain.prepare(recipe("A", 3), images)] * 2)
    after = asking.score(frames, [prepared] * 2)
    for one, other in zip(before, after, strict=True):
        assert one.anomaly_map is not None
        assert other.anomaly_map is not None
        assert bool((other.anomaly_map <= one.anomaly_map + 1e-6).all())
        assert other.score < one.score
    alone = asking.score(frames, [asking.prepare(recipe("A", 1), images[:1])] * 2)
    single = plain.score(frames, [plain.prepare(recipe("A", 1), images[:1])] * 2)
    assert [one.score for one in alone] == pytest.approx([one.score for one in single]), "nothing to differ"
    with pytest.raises(RecipeError, match="spread_weight is not negative"):
        plain.prepare(recipe("A", 1, spread_weight=-1.0), images[:1])


def test_a_recipe_is_lent_to_another_version_of_itself() -> None:
    fade = method()
    prepared = fade.prepare(recipe("A", 1), [part(0)])
    stored = replace(prepared.recipe, id=7, version=3)
    other = prepared.with_recipe(stored)
    assert other.recipe is stored
    same(fade.score([part(1)], [other])[0], fade.score([part(1)], [prepared])[0])


def test_missing_references_are_refused() -> None:
    with pytest.raises(RecipeError, match="names 2 references, 1 were read"):
        method().prepare(recipe("A", 2), [part(0)])


def test_a_wrong_parameter_of_a_recipe_is_refused_when_it_is_prepared() -> None:
    with pytest.raises(RecipeError, match="map_sise"):
        method().prepare(recipe("A", 0, map_sise=3), ())


def test_a_recipe_of_another_method_is_refused() -> None:
    foreign = build_method("null").prepare(recipe("A"), ())
    with pytest.raises(RecipeError, match="another method"):
        method().score([part(0)], [foreign])


def test_the_words_of_a_prompt_set_are_embedded_once() -> None:
    fade = method()
    first = fade.prepare(recipe("A"), ())
    assert fade.prepare(recipe("B"), ()).words is first.words
    assert fade.prepare(recipe("C", wrap_prompt=False), ()).words is not first.words


def test_few_shot_features_come_from_the_backbone_where_there_is_one() -> None:
    backbone = ColourEncoder(patch=4, seed=5)
    fade = Fade(ColourEncoder(), backbone, SMALL)
    assert fade.digest not in (ColourEncoder().digest, backbone.digest)
    prepared = fade.prepare(recipe("A", 1), [part(0)])
    assert [bank.vectors.shape[0] for bank in prepared.banks] == [(64 // 4) ** 2, (96 // 4) ** 2]
    mixed: list[Prepared] = [prepared, fade.prepare(recipe("B"), ())]
    images = [spotted(1), part(2)]
    for image, one, scored in zip(images, mixed, fade.score(images, mixed), strict=True):
        same(scored, fade.score([image], [one])[0])


def test_a_region_is_named_by_the_recipes_own_defects() -> None:
    fade = method()
    prepared = fade.prepare(recipe("A"), ())
    assert prepared.label(ColourEncoder().encode_texts(["red spot"])[0]) == "spot"


# ------------------------------------------------------------------------------------ two word sets


def test_the_preset_scores_the_frame_by_its_noun_and_places_by_a_library_that_names_none() -> None:
    generic = compositional_ensemble("object")
    for_image, for_map = describing(replace(recipe("A"), prompts=compositional_ensemble("part")), PRESET)
    assert for_image == compositional_ensemble("part")
    assert for_map.normal == generic.normal + library().normal
    assert for_map.anomalous == generic.anomalous + library().anomalous
    written = replace(PROMPTS, source=PromptSource.MANUAL)
    for_image, for_map = describing(recipe("A", prompts=written), PRESET)
    assert for_image.anomalous == compositional_ensemble("part").anomalous
    assert for_image.defects == PROMPTS.defects, "regions are named by the recipe's own"
    assert for_map.normal == generic.normal + PROMPTS.normal
    assert describing(recipe("A"), METHODS["sightline"].preset) == (PROMPTS, PROMPTS)


def test_each_word_set_moves_its_own_output() -> None:
    image, plain = spotted(1), method()
    one = plain.score([image], [plain.prepare(recipe("A"), ())])[0]
    both = plain.prepare(recipe("A", image_words="ensemble", map_words="library"), ())
    places = plain.prepare(recipe("A", map_words="library"), ())
    other, third = plain.score([image, image], [both, places])
    assert other.score != pytest.approx(one.score, abs=1e-3)
    assert third.score == pytest.approx(one.score, abs=1e-6)
    assert one.anomaly_map is not None
    assert third.anomaly_map is not None
    assert not torch.allclose(one.anomaly_map, third.anomaly_map, atol=1e-3)
    expected = embed_words(ColourEncoder(), compositional_ensemble("part"), wrap=True)
    torch.testing.assert_close(both.words.direction, expected.direction)


def test_unknown_word_sets_are_refused() -> None:
    with pytest.raises(RecipeError, match="map_words is 'recipe' or 'library'"):
        method().prepare(recipe("A", map_words="mine"), ())
    with pytest.raises(RecipeError, match="image_words is 'recipe' or 'ensemble'"):
        method().prepare(recipe("A", image_words="mine"), ())


# --------------------------------------------------------------------------------------- registry


def test_parameters_of_the_configuration_stand_between_preset_and_recipe() -> None:
    for name in ("fade", "sightline"):
        built = build_method(name, ColourEncoder(), parameters={"scales": [64], "map_size": 8})
        prepared = built.prepare(recipe("A", map_size=10), ())
        scored = built.score([part(0)], [prepared])[0]
        assert scored.anomaly_map is not None
        assert scored.anomaly_map.shape == (10, 10)


def test_unknown_methods_and_missing_models_are_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match="no method 'magic'; known are fade"):
        build_method("magic", ColourEncoder())
    with pytest.raises(RecipeError, match="needs a vision-language model"):
        build_method("fade")
    with pytest.raises(RecipeError, match="no parameter 'scale'"):
        build_method("fade", ColourEncoder(), parameters={"scale": [64]})
