"""The reference draws against the indices of their authors (METHODS 1.5, 8.1)."""

from __future__ import annotations

import pytest

from adapters.evaluation.draw import DRAWS, draw_block, draw_references
from agent.methods import METHODS


@pytest.mark.parametrize(
    ("count", "seed", "first"),
    [
        (209, 0, [175, 60, 65, 201]),
        (209, 1, [38, 37, 129, 86]),
        (209, 2, [91, 46, 54, 122]),
        (224, 0, [154, 171, 77, 81]),
        (60, 0, [6, 33, 17, 53]),
        (320, 0, [186, 253, 119, 194]),
    ],
)
def test_the_draw_is_the_authors(count: int, seed: int, first: list[int]) -> None:
    assert draw_references(count, 4, seed) == first


def test_shorter_draws_are_prefixes() -> None:
    assert draw_references(209, 2, 0) == draw_references(209, 4, 0)[:2]


def test_more_references_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="5 references"):
        draw_references(4, 5, 0)


@pytest.mark.parametrize(("seed", "indices"), [(0, [0, 1, 2, 3]), (1, [4, 5, 6, 7]), (2, [8, 9, 10, 11])])
def test_anomaly_dinos_draw_is_a_block(seed: int, indices: list[int]) -> None:
    assert draw_block(209, 4, seed) == indices


def test_a_block_that_is_cut_short_is_refused() -> None:
    assert draw_block(12, 4, 2) == [8, 9, 10, 11]
    with pytest.raises(ValueError, match="images 12 to 15"):
        draw_block(13, 4, 3)


def test_each_method_has_its_authors_draw() -> None:
    assert METHODS["anomaly-dino"].reference_draw == "anomaly-dino"
    assert METHODS["fade"].reference_draw == METHODS["winclip"].reference_draw == "fade"
    assert {spec.reference_draw for spec in METHODS.values()} == set(DRAWS)
