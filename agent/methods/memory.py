"""``MemoryBank``: the patch features of good parts, and how far a patch is from all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F

from agent.methods.clusters import ClusterIndex
from agent.methods.coreset import CANDIDATES, Coreset
from agent.methods.prepared import Groups
from agent.methods.spread import Spread, SpreadTable

_BLOCK, _BLOCK_CPU = (4096, 16384), (512, 1024)
"""Queries and bank vectors compared at once: bounds the similarity matrix, the running maximum is exact.
On a processor the block stays in its cache, where the maximum costs little beside the product."""

_INDEXED = 256
"""Bank vectors compared at once if it matters which of them is the nearest."""
_TINY = 1e-12
"""Distances below it count as zero."""
_REACH = 1
"""So many patches further on a part may lie than the references do."""

WHOLE_BANK = 2**31
"""A limit that no bank reaches."""

_WORTH_AN_INDEX = 2048
"""Fewer vectors are compared with sooner than an index is asked."""


@dataclass(frozen=True, slots=True)
class Substitutes:
    """What a bounded bank would hold in place of some references' vectors, had they never been there."""

    references: frozenset[int]
    vectors: torch.Tensor
    """(M, C)"""
    owners: torch.Tensor
    """(M,)"""
    spread: Spread | None = None
    """Of what is left of the bank, and of these behind it; None if it was not measured."""


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """Unit patch vectors of k references at one scale."""

    vectors: torch.Tensor
    """(N, C), unit length."""
    owners: torch.Tensor
    """(N,) which reference each vector came from, 0..k-1: leave-one-out masks by it."""
    complete: bool = True
    """Whether every patch of every reference is in it; a coreset is not."""
    spread: Spread | None = None
    """How far its references are from each other; None if it was not measured."""
    substitutes: tuple[Substitutes, ...] = ()
    """For the groups of references that it was built to be left without; none for a complete bank."""
    index: ClusterIndex | None = None
    """Of its vectors, so that a query is not compared with all of them; None if it is not worth it."""

    def without_groups(self) -> Self:
        """The same bank, and no more what would be in it without some references; quick to search."""
        return replace(self, substitutes=()).with_index()

    def with_spread(self) -> Self:
        """The same bank, and how far its references are from each other."""
        table = SpreadTable(self.vectors, self.owners)
        substitutes = tuple(
            replace(one, spread=table.without(one.references, one.vectors, one.owners))
            for one in self.substitutes
        )
        return replace(self, spread=table.spread(), substitutes=substitutes)

    def with_index(self) -> Self:
        """The same bank, quicker to search on a processor."""
        if self.vectors.device.type != "cpu" or len(self.vectors) < _WORTH_AN_INDEX:
            return self
        return replace(self, index=ClusterIndex(self.vectors))

    def without(self, references: Collection[int]) -> MemoryBank:
        """The bank as it would be had these references never been enrolled.

        Exactly so if it is complete. Of a coreset the vectors of the others stay as they are. Those that gave
        way to near vectors of ``references`` come back if the bank was built with ``references`` as one of
        its groups (:class:`BankBuilder`); otherwise they leave a gap.
        """
        gone = torch.tensor(sorted(references), device=self.owners.device)
        keep = ~torch.isin(self.owners, gone)
        left = MemoryBank(self.vectors[keep], self.owners[keep], self.complete)
        known = next((one for one in self.substitutes if one.references == frozenset(references)), None)
        if known is not None:
            vectors = torch.cat([left.vectors, known.vectors])
            return MemoryBank(vectors, torch.cat([left.owners, known.owners]), False, known.spread)
        if self.spread is None:
            return left
        spread = self.spread.without(int(gone[0]), keep) if len(gone) == 1 else None
        return left.with_spread() if spread is None else replace(left, spread=spread)


def join_depths(depths: Sequence[torch.Tensor], *, smoothing: int = 3) -> torch.Tensor:
    """Features of several depths as one unit vector a patch.

    Each depth is averaged over ``smoothing`` x ``smoothing`` neighbours (local context, as PatchCore
    does), scaled to unit length, brought to the finest grid and concatenated; every depth so has the
    same weight whatever its number of channels.

    Args:
        depths: tensors (B, h_i, w_i, C_i).

    Returns:
        (B, h, w, sum C_i) unit vectors on the grid of the finest depth.
    """
    grid = max((depth.shape[1], depth.shape[2]) for depth in depths)
    joined = []
    for depth in depths:
        planes = depth.permute(0, 3, 1, 2)
        if smoothing > 1:
            planes = F.avg_pool2d(
                planes, smoothing, stride=1, padding=smoothing // 2, count_include_pad=False
            )
        planes = F.normalize(planes, dim=1)
        if planes.shape[-2:] != grid:
            planes = F.interpolate(planes, size=grid, mode="bilinear", align_corners=False)
        joined.append(planes)
    return F.normalize(torch.cat(joined, dim=1), dim=1).permute(0, 2, 3, 1).contiguous()


def build_bank(patches: torch.Tensor, *, limit: int, seed: int = 0) -> MemoryBank:
    """A bank of at most ``limit`` vectors from the (k, h, w, C) unit patches of k references."""
    return bank_of(list(patches), limit=limit, seed=seed)


def bank_of(
    references: Iterable[torch.Tensor], *, limit: int, seed: int = 0, groups: Groups = ()
) -> MemoryBank:
    """The same from one tensor (..., C) of unit vectors for each reference; 0 as limit keeps all of them.

    ``references`` may be a generator: see :class:`BankBuilder` for what is held at once, and for ``groups``.
    """
    builder = BankBuilder(limit, seed=seed, groups=groups)
    for each in references:
        builder.add(each)
    return builder.build()


class BankBuilder:
    """A bank from references that come one by one; memory is bounded however many come.

    Beyond ``limit`` vectors the bank is a coreset, whose candidates are a random sample of all vectors, four
    for each place. It is drawn by priority sampling (Duffield, Lund and Thorup 2007, with equal weights):
    a vector's random number follows from the seed, its reference and its place in it, and the smallest
    numbers stay. What was thinned out early would have been thinned out late, too.
    """

    def __init__(self, limit: int, *, seed: int = 0, groups: Groups = ()) -> None:
        """
        Args:
            limit: most vectors of the bank; 0 keeps all of them.
            groups: references that the bank will be left without together. A reference is in one of them.
        """
        self._limit = limit
        self._groups = groups
        self._seed = seed
        self._references = 0
        self._total = 0
        self._held: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        """Vectors, their owners and their random numbers."""

    def add(self, vectors: torch.Tensor) -> None:
        """Take in the (..., C) unit vectors of the next reference, all its variants."""
        flat = vectors.reshape(-1, vectors.shape[-1])
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + self._references) % 2**63)
        numbers = torch.rand(len(flat), generator=generator, dtype=torch.float64).to(flat.device)
        owners = torch.full((len(flat),), self._references, device=flat.device)
        self._held.append((flat, owners, numbers))
        self._references += 1
        self._total += len(flat)
        if self._limit and sum(len(each) for each, _, _ in self._held) > 2 * CANDIDATES * self._limit:
            self._held = [self._thinned()]

    def build(self) -> MemoryBank:
        """The bank of all references so far. Raises ValueError without one."""
        if not self._held:
            raise ValueError("a memory bank needs at least one reference")
        vectors, owners, _ = self._thinned()
        if self._limit and len(vectors) > self._limit:
            return self._bounded(vectors, owners)
        return MemoryBank(vectors.contiguous(), owners, complete=len(vectors) == self._total)

    def _bounded(self, vectors: torch.Tensor, owners: torch.Tensor) -> MemoryBank:
        """A coreset, and for each group what it would hold in place of the group's."""
        of_reference = torch.full((self._references,), len(self._groups))
        for number, group in enumerate(self._groups):
            of_reference[sorted(group)] = number
        numbers = of_reference.to(owners.device)[owners] if self._groups else None
        found = Coreset(vectors, self._limit, seed=self._seed, groups=numbers)
        substitutes = []
        for number, group in enumerate(self._groups):
            kept = found.substitutes(number)
            substitutes.append(Substitutes(frozenset(group), vectors[kept], owners[kept]))
        chosen = found.chosen
        return MemoryBank(vectors[chosen], owners[chosen], False, substitutes=tuple(substitutes))

    def _thinned(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All that is held, or the candidates among it, in the order of the references."""
        vectors, owners, numbers = (torch.cat(column) for column in zip(*self._held, strict=True))
        if not self._limit or len(vectors) <= CANDIDATES * self._limit:
            return vectors, owners, numbers
        kept = numbers.argsort(stable=True)[: CANDIDATES * self._limit].sort().values
        return vectors[kept], owners[kept], numbers[kept]


def nearest_distances(queries: torch.Tensor, bank: MemoryBank) -> torch.Tensor:
    """0.5 (1 - max cosine) of each query patch to the bank (FADE, METHODS 1.4).

    Args:
        queries: (..., C) unit vectors.

    Returns:
        (...) distances in [0, 1].
    """
    flat = _flat(queries, bank)
    found = None if bank.index is None else bank.index.nearest(flat)
    if found is not None:
        return _distances(found[0]).reshape(queries.shape[:-1])
    rows, columns = _BLOCK_CPU if flat.device.type == "cpu" else _BLOCK
    best = torch.full((flat.shape[0],), -2.0, device=flat.device, dtype=flat.dtype)
    for block in bank.vectors.split(columns):
        for queried, highest in zip(flat.split(rows), best.split(rows), strict=True):
            torch.maximum(highest, (queried @ block.T).amax(dim=1), out=highest)  # writes into best
    return _distances(best).reshape(queries.shape[:-1])


def tempered_distances(queries: torch.Tensor, bank: MemoryBank, weight: float) -> torch.Tensor:
    """Distances that count less if good parts differ from each other: d^2 / (d + ``weight`` s).

    d is the distance to the bank (:func:`nearest_distances`). s is how far the vector found there is from the
    other references (:class:`Spread`), the highest of a patch and its neighbours: parts do not lie on the
    grid. Far beyond s this is d - ``weight`` s, within it near to nothing; it is never negative, and d itself
    with one reference or if ``weight`` is 0. Local outlier factors (Breunig et al. 2000) and
    PatchCore's re-weighting (section 3.3) have the same thought.

    Args:
        queries: (..., h, w, C) unit vectors.

    Returns:
        (..., h, w) distances in [0, 1].

    Raises:
        ValueError: the bank is empty, or its spread was not measured.
    """
    if weight == 0.0:
        return nearest_distances(queries, bank)
    if bank.spread is None:
        raise ValueError("the spread of this memory bank was not measured")
    flat = _flat(queries, bank)
    found = None if bank.index is None else bank.index.nearest(flat)
    best, index = found or _nearest(flat, bank.vectors)
    distances = _distances(best).reshape(-1, 1, *queries.shape[-3:-1])
    side = 2 * _REACH + 1
    spread = F.max_pool2d(bank.spread.values[index].view_as(distances), side, stride=1, padding=_REACH)
    tempered = distances.square() / (distances + weight * spread).clamp_min(_TINY)
    return tempered.reshape(queries.shape[:-1])


def _flat(queries: torch.Tensor, bank: MemoryBank) -> torch.Tensor:
    if bank.vectors.shape[0] == 0:
        raise ValueError("a memory bank needs at least one vector")
    return queries.reshape(-1, queries.shape[-1])


def _nearest(queries: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(Q,) highest cosines of (Q, C) queries and (Q,) the vectors that have them.

    On a processor a maximum alone is several times as fast as one with its index: first the block that
    holds it is found, then the place in this block.
    """
    if queries.device.type != "cpu":
        parts = [(rows @ vectors.T).max(dim=1) for rows in queries.split(_BLOCK[0])]
        return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])
    best = torch.full((len(queries),), -2.0, device=queries.device, dtype=queries.dtype)
    holder = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    blocks = vectors.split(_INDEXED)
    for number, block in enumerate(blocks):
        highest = (queries @ block.T).amax(dim=1)
        higher = highest > best
        best, holder = torch.where(higher, highest, best), torch.where(higher, number, holder)
    index = torch.empty_like(holder)
    for number, block in enumerate(blocks):
        held = (holder == number).nonzero()[:, 0]
        index[held] = (queries[held] @ block.T).argmax(dim=1) + _INDEXED * number
    return best, index


def self_distances(patches: torch.Tensor) -> torch.Tensor:
    """0.5 (1 - cosine) of each patch to the most alike *other* patch of its own image.

    The bank of zero-shot vision is the image itself, and the second smallest distance counts; the
    match with itself is masked, which also serves if two patches are equal (METHODS 1.6).

    Args:
        patches: (B, h, w, C) unit vectors.

    Returns:
        (B, h, w) distances.
    """
    batch, height, width, channels = patches.shape
    flat = patches.reshape(batch, height * width, channels)
    similarities = flat @ flat.transpose(1, 2)
    similarities.diagonal(dim1=1, dim2=2).fill_(-2.0)
    best = similarities.amax(dim=2)
    return _distances(best).reshape(batch, height, width)


def _distances(cosines: torch.Tensor) -> torch.Tensor:
    return (0.5 * (1.0 - cosines)).clamp_min(0.0)
