"""The reference draw against the indices of the authors' data loader (METHODS 1.5)."""

from __future__ import annotations

import pytest

from agent.evaluation.draw import draw_references


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


def test_more_references_than_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="5 references"):
        draw_references(4, 5, 0)
