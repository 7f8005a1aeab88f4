"""The evaluation of a checkpoint: what is drawn, how scores become figures, and what controls are worth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from adapters.lab.evaluation import trials
from adapters.lab.evaluation.figures import Figure, auroc, over_images, over_products, wins
from adapters.lab.evaluation.models import Files, random_encoder
from adapters.lab.evaluation.scorers import MEDIAN, NEAREST, HandMade, Neighbours, Outlier
from adapters.lab.evaluation.trials import Draw, Sample, Scorer, Trial, measure
from adapters.lab.evaluation.words import labelled, naming, wrong_nouns
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.simulator import FAMILIES, HELD_OUT
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Image
from agent.domain.recipe import template_recipe

CONTROLS: list[Scorer] = [Neighbours("hand-made", HandMade()), Outlier()]


def _trial(references: list[Image], samples: list[Sample]) -> Trial:
    draws = (Draw(1, (0,)), Draw(len(references), tuple(range(len(references)))))
    return Trial("thing", "thing", references, draws, lambda: iter(samples))


def _plain(level: int) -> Image:
    return np.full((64, 64, 3), level, np.uint8)


# ------------------------------------------------------------------------------------ what is drawn


def test_products_have_seeds_that_training_never_uses() -> None:
    sizes = trials.Sizes(products=2, images=1, families=("leather", "screw"))
    drawn = list(trials.drawn_trials(sizes))
    assert [trial.key for trial in drawn] == [
        f"{family} {station} {RESERVED_SEED + trials.SPAN + variant}"
        for variant in (0, 1)
        for family in ("leather", "screw")
        for station in ("fixed", "loose")
    ]
    assert all(trial.seed >= RESERVED_SEED for trial in drawn)
    assert all(len(trial.references) == max(draw.shots for draw in trial.draws) for trial in drawn)


def test_a_trial_depends_on_its_seed_alone() -> None:
    def images(seed: int) -> list[Sample]:
        return list(trials.trial_of("leather", 0, "loose", trials.Sizes(1, 1, seed)).images())

    first, again, other = images(0), images(0), images(1)
    assert [sample.kind is None for sample in first] == [True, False]
    assert [sample.mask is not None and bool(sample.mask.any()) for sample in first] == [False, True]
    for one, same, different in zip(first, again, other, strict=True):
        assert np.array_equal(one.image, same.image)
        assert not np.array_equal(one.image, different.image)


@pytest.mark.parametrize("count", [1, 5, 12])
def test_defects_take_turns_from_one_product_to_the_next(count: int) -> None:
    kinds = ("crack", "dent", "hole")
    turns = [kind for variant in range(3) for kind in trials.defects_in_turn(kinds, count, variant)]
    assert turns == [kinds[index % 3] for index in range(3 * count)]


def test_families_are_told_apart() -> None:
    found = trials.groups(list(FAMILIES))
    assert set(found["held out"]) == HELD_OUT
    assert [*found["trained"], *found["held out"]] != []
    assert set(found["trained"]) == set(FAMILIES) - HELD_OUT


def test_draws_of_photographs_are_nested_and_no_larger_than_what_is_there() -> None:
    draws = trials.nested_draws(6, 3, 0)
    assert [draw.shots for draw in draws] == [1, 1, 1, 4, 4, 4]
    for one, four in zip(draws[:3], draws[3:], strict=True):
        assert one.references == four.references[:1]
    assert draws == trials.nested_draws(6, 3, 0)
    assert draws != trials.nested_draws(6, 3, 1)


@pytest.mark.parametrize(
    ("name", "noun"),
    [("cubes", "cube"), ("metal_nut", "metal nut"), ("glass", "glass"), ("cookie", "cookie")],
)
def test_folders_have_nouns(name: str, noun: str) -> None:
    assert trials.noun_of(name) == noun


def test_words_name_the_defect_and_never_the_products_own_noun_for_a_wrong_one() -> None:
    plain = template_recipe("one", "sightline", "screw")
    rusty = naming(plain, "rust").prompts
    assert rusty.normal == plain.prompts.normal
    assert all("screw with" in text for text in rusty.anomalous)
    assert any("rust" in text for text in rusty.anomalous)
    assert [defect.name for defect in labelled(plain.prompts, ("bent", "rust")).defects] == ["bent", "rust"]
    for family in HELD_OUT:
        wrong = wrong_nouns(family, 3)
        assert len(set(wrong)) == len(wrong) > 1
        assert FAMILIES[family].noun not in wrong
        assert wrong == wrong_nouns(family, 3)


# ------------------------------------------------------------------------------------ figures


def test_the_figure_is_the_area_under_the_curve_in_the_mean_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    kinds = [None if index % 3 else "dent" for index in range(30)]
    draws = rng.integers(0, 6, (3, 30)).astype(float).tolist()  # with ties
    truth = [kind is not None for kind in kinds]
    assert auroc(kinds, draws) == pytest.approx(np.mean([roc_auc_score(truth, draw) for draw in draws]))


def test_one_kind_of_defect_is_measured_against_all_good_images() -> None:
    kinds, scores = [None, None, "dent", "hole"], [[1.0, 2.0, 3.0, 0.0]]
    assert auroc(kinds, scores, "dent") == 1.0
    assert auroc(kinds, scores, "hole") == 0.0
    assert auroc(kinds, scores) == 0.5
    with pytest.raises(ValueError, match="good and defective"):
        auroc(kinds, scores, "crack")
    with pytest.raises(ValueError, match="do not fit"):
        auroc(kinds, [[1.0, 2.0]])


def test_intervals_follow_from_the_seed_and_hold_the_mean() -> None:
    families = [[0.8, 0.9, 0.7], [0.6, 0.65, 0.9]]
    first = over_products(families, 0)
    assert first == over_products(families, 0)
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value < first.high
    assert over_products([[0.75], [0.5]], 0) == Figure(0.625)
    assert str(over_products([[0.8]], 0)) == "0.800"
    with pytest.raises(ValueError, match="at least one product"):
        over_products([[]], 0)


def test_few_products_do_not_make_the_interval_too_narrow() -> None:
    """The spread of the bootstrap is that of the mean, also of two products."""
    found = over_products([[0.2, 0.4]], 0)
    assert found.low == pytest.approx(0.2)
    assert found.high == pytest.approx(0.4)


def test_a_lead_over_itself_is_nothing_on_every_resample() -> None:
    kinds = [None] * 5 + ["dent"] * 5
    matrix = wins(kinds, [list(range(10))])
    assert over_images([matrix - matrix], 0) == Figure(0.0, 0.0, 0.0)
    always = over_images([matrix], 0)
    assert always.value == 1.0
    assert always.low == pytest.approx(1.0)
    assert always.high == pytest.approx(1.0)


# ------------------------------------------------------------------------------------ controls


def test_controls_find_nothing_in_images_without_content() -> None:
    samples = [Sample(_plain(90), None), Sample(_plain(90), "dent"), Sample(_plain(90), "dent")]
    result = measure(_trial([_plain(90), _plain(90)], samples), CONTROLS)
    assert set(result.scores) == {
        "hand-made 1-shot",
        "hand-made 2-shot",
        f"{MEDIAN} 0-shot",
        f"{NEAREST} 0-shot",
    }
    for column, draws in result.scores.items():
        assert np.allclose(draws, 0, atol=1e-6), column


def test_controls_see_a_spot_on_a_plain_part() -> None:
    spotted = _plain(120)  # with nothing regular about the spot: the outlier statistic forgives what recurs
    spotted[20:32, 20:36] = np.random.default_rng(0).integers(0, 255, (12, 16, 3))
    samples = [Sample(_plain(120), None), Sample(spotted, "stain")]
    result = measure(_trial([_plain(118)], samples), CONTROLS)
    for column, draws in result.scores.items():
        assert auroc(result.kinds, draws) == 1.0, column
        assert draws[0][1] > draws[0][0] + 1e-3, column


def test_more_references_never_make_a_image_stranger() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 255, (48, 48, 3)).astype(np.uint8) for _ in range(5)]
    result = measure(_trial(noise[:3], [Sample(noise[3], None), Sample(noise[4], "dent")]), CONTROLS[:1])
    one, three = result.scores["hand-made 1-shot"][0], result.scores["hand-made 3-shot"][0]
    assert all(few >= many for few, many in zip(one, three, strict=True))


def test_hand_made_descriptors_lie_on_the_grids_of_the_model() -> None:
    depths = HandMade().encode_patches([_plain(3), _plain(200)], 64)
    assert [tuple(depth.shape) for depth in depths] == [(2, 8, 8, 15), (2, 4, 4, 15)]
    with pytest.raises(ValueError, match="square"):
        HandMade().encode_patches([_plain(3)], 64, keep_aspect=True)


def test_random_weights_follow_from_the_seed_and_leave_the_global_stream_alone(
    convolutional_files: tuple[Path, Path],
) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    encoders = [random_encoder(Files(*convolutional_files), seed) for seed in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    first, again, other = (encoder.encode_patches([image], 64)[0] for encoder in encoders)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


# ------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"products": 0}, "at least 1"),
        ({"images": 0}, "at least 1"),
        ({"seed": -1}, "not negative"),
        ({"products": 10**6}, "at most"),
        ({"images": 10**6}, "at most"),
        ({"families": ("spoon",)}, "no product family 'spoon'"),
    ],
)
def test_sizes_that_measure_nothing_are_refused(sizes: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        trials.Sizes(**sizes)  # type: ignore[arg-type]


def test_a_trial_gives_its_images_in_batches_without_holding_them() -> None:
    given = 0

    def images() -> Iterator[Sample]:
        nonlocal given
        for _ in range(20):
            given += 1
            yield Sample(_plain(0), None)

    trial = Trial("thing", "thing", [], (), images)
    assert [len(batch) for batch in islice(trial.batches(), 1)] == [8]
    assert given == 8
    assert [len(batch) for batch in trial.batches()] == [8, 8, 4]
