"""The spread of a memory bank against brute force, and what it does to distances."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.methods import memory
from agent.methods.memory import MemoryBank, build_bank, nearest_distances, tempered_distances
from agent.methods.spread import spread_of


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def distances(one: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return (0.5 * (1.0 - one @ others.T)).clamp_min(0.0)


@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 1000))
@settings(max_examples=40)
def test_the_spread_is_the_distance_to_the_nearest_of_other_references(
    references: int, each: int, seed: int
) -> None:
    vectors = unit(references * each, 4, seed=seed)
    # In no order, as a coreset leaves them.
    owners = torch.arange(references).repeat(each)
    found = spread_of(vectors, owners)
    for index, owner in enumerate(owners):
        away = distances(vectors[index : index + 1], vectors[owners != owner])
        torch.testing.assert_close(found.values[index], away.min(), rtol=0.0, atol=1e-12)
        assert int(found.others[index, 0]) == int(owners[owners != owner][away.argmin()])


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=40)
def test_a_bank_without_a_reference_has_the_spread_of_one_that_never_had_it(
    references: int, each: int, seed: int
) -> None:
    patches = unit(references + 1, each, 5, seed=seed)
    bank = build_bank(patches, limit=1000).with_spread()
    left = bank.without({0})
    alone = build_bank(patches[1:], limit=1000).with_spread()
    assert left.spread is not None
    assert alone.spread is not None
    torch.testing.assert_close(left.spread.values, alone.spread.values, rtol=0.0, atol=1e-12)
    if references > 1:  # and once more, when the second nearest is no longer known
        twice, alone = left.without({1}), build_bank(patches[2:], limit=1000).with_spread()
        assert twice.spread is not None
        assert alone.spread is not None
        torch.testing.assert_close(twice.spread.values, alone.spread.values, rtol=0.0, atol=1e-12)


def test_a_single_reference_has_no_spread_and_its_distances_stay() -> None:
    bank, queries = build_bank(unit(1, 9, 4), limit=100).with_spread(), unit(2, 3, 3, 4, seed=1)
    assert bank.spread is not None
    assert bank.spread.values.tolist() == [0.0] * 9
    assert bank.spread.others.tolist() == [[-1, -1]] * 9
    torch.testing.assert_close(tempered_distances(queries, bank, 2.0), nearest_distances(queries, bank))


def test_a_distance_counts_less_where_references_differ_and_next_to_it() -> None:
    """Two looks: of one both references are the same, of the other they are not."""
    looks = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    same, first, second = F.normalize(looks, dim=1)
    bank = build_bank(torch.stack([torch.stack([same, first]), torch.stack([same, second])]), limit=9)
    bank = bank.with_spread()
    steady = F.normalize(torch.tensor([1.0, -0.5, 0.0]), dim=0)
    loose = F.normalize(torch.tensor([-0.5, 1.0, 0.0]), dim=0)
    row = torch.stack([steady, steady, steady, loose])[None]
    plain = nearest_distances(row, bank)[0]
    torch.testing.assert_close(plain, plain[:1].expand(4))  # all as far from the nearest reference
    d, s = float(plain[0]), 0.5 * (1.0 - float(first @ second))
    less = d * d / (d + 2.0 * s)
    tempered = tempered_distances(row, bank, 2.0)[0]
    torch.testing.assert_close(tempered, torch.tensor([d, d, less, less]))
    assert less < d


@given(st.integers(1, 30), st.integers(1, 40), st.floats(0.0, 8.0), st.integers(0, 1000))
@settings(max_examples=40)
def test_tempered_distances_equal_the_formula_whatever_the_blocks(
    size: int, block: int, weight: float, seed: int
) -> None:
    patches, queries = unit(3, size, 5, seed=seed), unit(2, 3, 4, 5, seed=seed + 1)
    queries[0, 0, 0] = patches[0, 0]  # a distance of nothing stays nothing
    bank = build_bank(patches, limit=1000).with_spread()
    assert bank.spread is not None
    table = distances(queries.reshape(-1, 5), bank.vectors)
    d, s = table.min(dim=1).values.reshape(2, 3, 4), bank.spread.values[table.argmin(dim=1)].reshape(2, 3, 4)
    expected = torch.zeros(2, 3, 4, dtype=torch.float64)
    for frame, y, x in itertools.product(range(2), range(3), range(4)):
        near = s[frame, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max()
        if d[frame, y, x] > 1e-12:
            expected[frame, y, x] = d[frame, y, x] ** 2 / (d[frame, y, x] + weight * near)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_INDEXED", block)
        found = tempered_distances(queries, bank, weight)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert bool((found <= nearest_distances(queries, bank) + 1e-12).all())


def test_a_spread_that_was_not_measured_is_asked_for() -> None:
    bank = MemoryBank(unit(4, 3), torch.tensor([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="not measured"):
        tempered_distances(unit(2, 2, 3), bank, 1.0)
    queries = unit(2, 2, 3)
    torch.testing.assert_close(tempered_distances(queries, bank, 0.0), nearest_distances(queries, bank))
