"""Memory banks against plain nearest neighbours (METHODS 1.4 and 1.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.methods import memory
from agent.methods.coreset import Coreset, coreset
from agent.methods.memory import (
    BankBuilder,
    MemoryBank,
    build_bank,
    join_depths,
    nearest_distances,
    self_distances,
)
from agent.methods.memory import bank_of as references_bank


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def bank_of(vectors: torch.Tensor) -> MemoryBank:
    return MemoryBank(vectors, torch.zeros(len(vectors), dtype=torch.long))


def test_the_distance_is_half_of_one_minus_the_best_cosine() -> None:
    bank = bank_of(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    queries = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.6, 0.8], [-0.6, -0.8]])
    torch.testing.assert_close(nearest_distances(queries, bank), torch.tensor([0.0, 0.5, 0.1, 0.8]))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 14), st.integers(0, 1000))
@settings(max_examples=30)
def test_a_bank_in_blocks_equals_the_whole_bank(size: int, columns: int, rows: int, seed: int) -> None:
    vectors, queries = unit(size, 6, seed=seed), unit(3, 4, 6, seed=seed + 1)
    whole = 0.5 * (1.0 - (queries @ vectors.T).amax(dim=-1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_BLOCK_CPU", (rows, columns))
        chunked = nearest_distances(queries, bank_of(vectors))
    assert chunked.shape == (3, 4)
    torch.testing.assert_close(chunked, whole.clamp_min(0.0), rtol=0.0, atol=1e-12)


def test_an_empty_bank_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one vector"):
        nearest_distances(unit(2, 3), bank_of(torch.zeros(0, 3, dtype=torch.float64)))


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=30)
def test_without_references_the_second_smallest_distance_counts(height: int, width: int, seed: int) -> None:
    patches = unit(2, height, width, 7, seed=seed)
    flat = patches.reshape(2, -1, 7)
    distances = 0.5 * (1.0 - flat @ flat.transpose(1, 2))
    second = distances.sort(dim=2).values[:, :, 1].reshape(2, height, width)
    torch.testing.assert_close(self_distances(patches), second.clamp_min(0.0), rtol=0.0, atol=1e-12)


def test_equal_patches_are_at_distance_zero_and_a_stranger_is_not() -> None:
    patches = F.normalize(torch.ones(1, 2, 2, 3), dim=-1)
    patches[0, 1, 1] = torch.tensor([1.0, 0.0, 0.0])
    distances = self_distances(patches)[0]
    torch.testing.assert_close(distances[0], torch.zeros(2), rtol=0.0, atol=1e-6)
    assert float(distances[1, 1]) > 0.2


def test_frames_of_a_batch_do_not_see_each_other() -> None:
    patches = unit(3, 4, 4, 5)
    alone = torch.cat([self_distances(patches[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(self_distances(patches), alone)


def test_leaving_out_takes_away_every_vector_of_a_reference_and_no_other() -> None:
    patches = unit(3, 2, 2, 5)
    bank = build_bank(patches, limit=100)
    left = bank.without({1})
    expected = build_bank(patches[[0, 2]], limit=100)
    torch.testing.assert_close(left.vectors, expected.vectors)
    assert left.owners.tolist() == [0] * 4 + [2] * 4
    assert float(nearest_distances(patches[1], bank).max()) < 1e-6
    assert float(nearest_distances(patches[1], left).min()) > 0.0


def test_a_bank_beyond_its_limit_keeps_vectors_with_their_owners() -> None:
    patches = unit(4, 5, 5, 6)
    bank = build_bank(patches, limit=30)
    assert bank.vectors.shape == (30, 6)
    flat = patches.reshape(-1, 6)
    for vector, owner in zip(bank.vectors, bank.owners, strict=True):
        position = int((flat == vector).all(dim=1).nonzero()[0])
        assert position // 25 == int(owner)


def test_a_coreset_is_the_same_every_time_and_follows_its_seed() -> None:
    vectors = unit(200, 8)
    first = coreset(vectors, 20, seed=3)
    assert first.tolist() == coreset(vectors, 20, seed=3).tolist()
    assert first.tolist() != coreset(vectors, 20, seed=4).tolist()
    assert len(set(first.tolist())) == 20


def test_a_coreset_finds_every_cluster_however_rare() -> None:
    # 150 copies of one direction and five strangers: at random the strangers would hardly be drawn.
    common = unit(1, 64).repeat(150, 1) + 0.001 * unit(150, 64, seed=1)
    vectors = F.normalize(torch.cat([common, unit(5, 64, seed=2)]), dim=-1)
    chosen = coreset(vectors, 40, seed=0)
    assert set(range(150, 155)) <= set(chosen.tolist())


def test_a_coreset_is_greedy_each_choice_is_the_farthest_from_those_before() -> None:
    vectors = unit(60, 8)
    chosen = coreset(vectors, 15, seed=0, projection=8)
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randperm(60, generator=generator)[:60]
    points = vectors @ torch.randn(8, 8, generator=generator).to(vectors)
    assert int(chosen[0]) == int(candidates[0])
    for i in range(1, 15):
        nearest = torch.cdist(points[candidates], points[chosen[:i]]).amin(dim=1)
        assert float(nearest[candidates == chosen[i]]) == pytest.approx(float(nearest.max()))


def test_a_coreset_of_equal_vectors_ends() -> None:
    assert len(coreset(torch.ones(50, 4), 10, seed=0)) == 10


def test_depths_are_joined_on_the_finest_grid_with_equal_weight() -> None:
    fine, coarse = torch.randn(2, 8, 8, 4) * 100.0, torch.randn(2, 4, 4, 40)
    joined = join_depths([fine, coarse])
    assert joined.shape == (2, 8, 8, 44)
    torch.testing.assert_close(joined.norm(dim=-1), torch.ones(2, 8, 8))
    constant = join_depths([torch.ones(1, 4, 4, 4) * 100.0, torch.ones(1, 2, 2, 40)])
    shares = constant.split([4, 40], dim=-1)
    torch.testing.assert_close(shares[0].norm(dim=-1), shares[1].norm(dim=-1))


def test_smoothing_averages_neighbours_and_only_real_ones() -> None:
    depth = torch.zeros(1, 3, 3, 2)
    depth[..., 0] = 1.0
    depth[0, 1, 1] = torch.tensor([1.0, 9.0])
    corner = F.normalize(torch.tensor([1.0, 9.0 / 4.0]), dim=0)  # 2 x 2 neighbours exist there
    centre = F.normalize(torch.tensor([1.0, 1.0]), dim=0)
    joined = join_depths([depth], smoothing=3)
    torch.testing.assert_close(joined[0, 0, 0], corner)
    torch.testing.assert_close(joined[0, 1, 1], centre)
    plain = join_depths([depth], smoothing=1)
    torch.testing.assert_close(plain[0, 0, 0], torch.tensor([1.0, 0.0]))


def test_a_bank_of_a_thousand_references_is_bounded_and_so_is_what_is_held_on_the_way() -> None:
    builder = BankBuilder(50)
    for index in range(1000):
        builder.add(unit(3, 4, 8, seed=index))
        assert sum(len(each) for each, _, _ in builder._held) <= 8 * 50
    bank = builder.build()
    assert bank.vectors.shape == (50, 8)
    assert int(bank.owners.max()) > 900, "late references have their place"
    assert int(bank.owners.min()) < 100, "and so have early ones"
    for vector, owner in zip(bank.vectors[:5], bank.owners[:5], strict=True):
        own = unit(3, 4, 8, seed=int(owner)).reshape(-1, 8)
        assert bool((own == vector).all(dim=1).any())


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(0, 40), st.integers(0, 100))
@settings(max_examples=40)
def test_when_a_bank_is_asked_for_changes_nothing(counts: list[int], limit: int, seed: int) -> None:
    references = [unit(count, 5, seed=seed + index) for index, count in enumerate(counts)]
    asked = BankBuilder(limit, seed=seed)
    for each in references:
        asked.add(each)
        asked.build()
    expected = references_bank(references, limit=limit, seed=seed)
    torch.testing.assert_close(asked.build().vectors, expected.vectors, rtol=0.0, atol=0.0)
    assert asked.build().owners.tolist() == expected.owners.tolist()
    assert len(expected.vectors) == (min(limit, sum(counts)) if limit else sum(counts))


def test_a_bank_that_was_begun_and_one_from_scratch_are_equal() -> None:
    references = [unit(20, 6, seed=index) for index in range(5)]
    grown = BankBuilder(1000)
    for each in references[:4]:
        grown.add(each)
    before = grown.build()
    grown.add(references[4])
    torch.testing.assert_close(grown.build().vectors, torch.cat(references), rtol=0.0, atol=0.0)
    torch.testing.assert_close(grown.build().without({4}).vectors, before.vectors, rtol=0.0, atol=0.0)


def test_leave_one_out_of_a_coreset_is_near_that_of_the_others_coreset() -> None:
    """What MemoryBank.without says of itself: as far or a little farther, hardly ever nearer."""
    centres = unit(12, 16, seed=99)
    references = [
        F.normalize(centres.repeat(10, 1) + 0.05 * unit(120, 16, seed=i), dim=-1) for i in range(12)
    ]
    bank = references_bank(references, limit=400)
    ratios = []
    for left in range(12):
        others = references_bank(references[:left] + references[left + 1 :], limit=400)
        approximate = nearest_distances(references[left], bank.without({left})).mean()
        ratios.append(float(approximate / nearest_distances(references[left], others).mean()))
    assert 0.97 < sum(ratios) / len(ratios) < 1.15


def test_a_bank_needs_a_reference() -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        BankBuilder(10).build()


def grouped(k: int = 10, limit: int = 60) -> tuple[torch.Tensor, MemoryBank]:
    """Ten references, the last with looks of its own, and their bank with one group a pair."""
    references = F.normalize(unit(1, 12, 8) + 0.3 * unit(k, 12, 8, seed=1), dim=-1)
    references[-1] = unit(12, 8, seed=9)
    groups = [range(first, k, 5) for first in range(5)]
    return references, references_bank(list(references), limit=limit, groups=groups)


def test_substitutes_take_the_places_of_a_group_and_come_from_the_others() -> None:
    references, bank = grouped()
    flat = references.reshape(-1, 8)
    for first in range(5):
        left = bank.without(range(first, 10, 5))
        assert len(left.vectors) == len(bank.vectors) == 60
        assert not set(left.owners.tolist()) & {first, first + 5}
        places = [int((flat == vector).all(dim=1).nonzero()[0]) for vector in left.vectors]
        assert [place // 12 for place in places] == left.owners.tolist()
        assert len(set(places)) == 60, "none of them twice"


def test_a_bank_without_a_group_covers_the_others_as_well_as_one_chosen_from_them() -> None:
    references, bank = grouped()
    for first in range(5):
        gone = {first, first + 5}
        rest = torch.stack([one for index, one in enumerate(references) if index not in gone])
        afresh = build_bank(rest, limit=60)
        ours = nearest_distances(rest, bank.without(gone)).max()
        gap = nearest_distances(rest, replace(bank, substitutes=()).without(gone)).max()
        assert float(ours) <= 1.5 * float(nearest_distances(rest, afresh).max()) + 1e-9
        assert float(ours) <= float(gap)


def test_the_spread_without_a_group_is_that_of_what_is_left() -> None:
    _, bank = grouped()
    bank = bank.with_spread()
    for first in range(5):
        left = bank.without({first, first + 5})
        assert left.spread is not None
        expected = replace(left, spread=None).with_spread().spread
        assert expected is not None
        torch.testing.assert_close(left.spread.values, expected.values, rtol=0.0, atol=1e-12)


def test_what_is_kept_for_groups_can_be_dropped() -> None:
    _, bank = grouped()
    assert len(bank.substitutes) == 5
    assert bank.without_groups().substitutes == ()
    complete = references_bank([unit(4, 8)] * 3, limit=100, groups=[{0}, {1}, {2}])
    assert complete.substitutes == (), "nothing gave way to anything"


def test_substitutes_need_groups_and_there_may_be_none() -> None:
    with pytest.raises(ValueError, match="groups"):
        Coreset(unit(20, 4), 5, seed=0).substitutes(0)
    alone = Coreset(unit(20, 4), 5, seed=0, groups=torch.zeros(20, dtype=torch.long))
    assert len(alone.substitutes(0)) == 0
