"""The cluster index against comparing with every vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.methods.clusters import ClusterIndex
from agent.methods.memory import MemoryBank, build_bank, nearest_distances, tempered_distances


def looks(count: int, near: int, *, spread: float, seed: int, channels: int = 24) -> torch.Tensor:
    """(count * near, channels) unit vectors: ``near`` variations of each of ``count`` looks."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.randn(count, 1, channels, generator=generator)
    noise = spread * torch.randn(count, near, channels, generator=generator)
    return F.normalize((F.normalize(middles, dim=-1) + noise).flatten(0, 1), dim=1)


@given(st.integers(1, 40), st.integers(1, 30), st.sampled_from([0.0, 0.02, 0.1, 0.4]), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_what_it_finds_is_the_nearest(count: int, near: int, spread: float, seed: int) -> None:
    vectors = looks(count, near, spread=spread, seed=seed)
    queries = torch.cat([vectors[::3], looks(5, 4, spread=spread, seed=seed + 1)])
    found = ClusterIndex(vectors).nearest(queries)
    if found is None:  # then every vector is compared with
        return
    cosines, index = found
    table = queries @ vectors.T
    torch.testing.assert_close(cosines, table.amax(dim=1), rtol=0.0, atol=2e-6)
    torch.testing.assert_close(table[torch.arange(len(queries)), index], cosines, rtol=0.0, atol=2e-6)


def test_few_of_the_vectors_are_compared_with_and_fewer_of_more() -> None:
    shares = []
    for count in (64, 512):
        vectors = looks(count, 64, spread=0.03, seed=1)
        queries = F.normalize(vectors[::16] + 0.01, dim=1)
        index = ClusterIndex(vectors)
        assert index.nearest(queries) is not None
        shares.append(index.compared / (len(queries) * len(vectors)))
    assert shares[0] < 0.1
    assert shares[1] < shares[0] / 2


def test_vectors_in_every_direction_are_left_to_the_plain_product() -> None:
    vectors = F.normalize(torch.randn(4096, 48, generator=torch.Generator().manual_seed(0)), dim=1)
    queries = F.normalize(torch.randn(64, 48, generator=torch.Generator().manual_seed(1)), dim=1)
    assert ClusterIndex(vectors).nearest(queries) is None
    bank = build_bank(vectors.view(2, 2048, 48), limit=0).with_spread().with_index()
    plain = MemoryBank(bank.vectors, bank.owners, spread=bank.spread)
    torch.testing.assert_close(nearest_distances(queries, bank), nearest_distances(queries, plain))


def test_distances_are_the_same_with_and_without_an_index() -> None:
    vectors = looks(128, 32, spread=0.05, seed=2)
    bank = build_bank(vectors.view(32, 128, 24).transpose(0, 1).reshape(4, 1024, 24), limit=0).with_spread()
    queries = looks(16, 16, spread=0.05, seed=2)[:256].view(1, 16, 16, 24)
    for measure in (nearest_distances, lambda q, b: tempered_distances(q, b, 1.0)):
        torch.testing.assert_close(
            measure(queries, bank.with_index()), measure(queries, bank), rtol=0.0, atol=2e-6
        )
    assert bank.with_index().index is not None


def test_a_small_bank_has_no_index() -> None:
    assert build_bank(looks(4, 8, spread=0.1, seed=0)[None], limit=0).with_index().index is None
