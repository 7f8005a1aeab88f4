"""``MemoryBank``: the patch features of good parts, and how far a patch is from all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F

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

_CANDIDATES = 4
"""Vectors that compete for each place of a bounded bank."""
_ROWS = 512
"""Vectors compared at once: bounds the similarity matrix of a spread."""
_NONE = -1


@dataclass(frozen=True, slots=True)
class Spread:
    """How far each vector of a memory bank is from the references that it did not come from."""

    distances: torch.Tensor
    """(N, 2) to the nearest vector of another reference, and to that of a third one; infinite if there is
    none. After one reference was left out the second column is unknown, and missing."""
    others: torch.Tensor
    """(N, 2) which references these are, -1 if there is none."""

    @property
    def values(self) -> torch.Tensor:
        """(N,) distances to the nearest other reference; 0 if there is none, which means nothing."""
        nearest = self.distances[:, 0]
        return torch.where(nearest.isinf(), torch.zeros_like(nearest), nearest)

    def without(self, reference: int, kept: torch.Tensor) -> Spread | None:
        """As it would be had ``reference`` never been there, for the vectors ``kept``, (N,) booleans.

        None for a spread that has lost a reference already: it has to be measured again.
        """
        if self.distances.shape[1] < 2:
            return None
        lost = (self.others[kept, 0] == reference).long()[:, None]
        return Spread(self.distances[kept].gather(1, lost), self.others[kept].gather(1, lost))


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

    def with_spread(self) -> Self:
        """The same bank, and how far its references are from each other."""
        return replace(self, spread=spread_of(self.vectors, self.owners))

    def without(self, reference: int) -> MemoryBank:
        """The bank as it would be had ``reference`` never been enrolled.

        Exactly so if it is complete. Of a coreset the vectors of the others stay as they are: one that
        gave way to a near vector of ``reference`` does not come back, and leaves a gap.
        """
        keep = self.owners != reference
        left = MemoryBank(self.vectors[keep], self.owners[keep], self.complete)
        if self.spread is None:
            return left
        spread = self.spread.without(reference, keep)
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


def bank_of(references: Iterable[torch.Tensor], *, limit: int, seed: int = 0) -> MemoryBank:
    """The same from one tensor (..., C) of unit vectors for each reference; 0 as limit keeps all of them.

    ``references`` may be a generator: see :class:`BankBuilder` for what is held at once.
    """
    builder = BankBuilder(limit, seed=seed)
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

    def __init__(self, limit: int, *, seed: int = 0) -> None:
        """``limit``: most vectors of the bank; 0 keeps all of them."""
        self._limit = limit
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
        if self._limit and sum(len(each) for each, _, _ in self._held) > 2 * _CANDIDATES * self._limit:
            self._held = [self._thinned()]

    def build(self) -> MemoryBank:
        """The bank of all references so far. Raises ValueError without one."""
        if not self._held:
            raise ValueError("a memory bank needs at least one reference")
        vectors, owners, _ = self._thinned()
        if self._limit and len(vectors) > self._limit:
            kept = coreset(vectors, self._limit, seed=self._seed)
            vectors, owners = vectors[kept], owners[kept]
        return MemoryBank(vectors.contiguous(), owners, complete=len(vectors) == self._total)

    def _thinned(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All that is held, or the candidates among it, in the order of the references."""
        vectors, owners, numbers = (torch.cat(column) for column in zip(*self._held, strict=True))
        if not self._limit or len(vectors) <= _CANDIDATES * self._limit:
            return vectors, owners, numbers
        kept = numbers.argsort(stable=True)[: _CANDIDATES * self._limit].sort().values
        return vectors[kept], owners[kept], numbers[kept]


def coreset(vectors: torch.Tensor, count: int, *, seed: int, projection: int = 16) -> torch.Tensor:
    """Indices of ``count`` vectors that cover all: greedy k-centre (PatchCore, section 3.2).

    Distances are taken in a random projection, which keeps them nearly (Johnson-Lindenstrauss), and
    among at most four candidates for each place, so that thousands of references stay affordable.
    """
    generator = torch.Generator().manual_seed(seed)
    n = vectors.shape[0]
    candidates = torch.randperm(n, generator=generator)[: _CANDIDATES * count].to(vectors.device)
    matrix = torch.randn(vectors.shape[1], projection, generator=generator).to(vectors)
    points = vectors[candidates] @ matrix
    norms = (points * points).sum(dim=1)
    chosen = torch.empty(count, dtype=torch.long, device=vectors.device)
    nearest = torch.full_like(norms, torch.inf)
    index = torch.zeros((), dtype=torch.long, device=vectors.device)
    for i in range(count):
        chosen[i] = index
        distance = norms + norms[index] - 2.0 * (points @ points[index])
        nearest = torch.minimum(nearest, distance)
        index = nearest.argmax()
    return candidates[chosen]


def nearest_distances(queries: torch.Tensor, bank: MemoryBank) -> torch.Tensor:
    """0.5 (1 - max cosine) of each query patch to the bank (FADE, METHODS 1.4).

    Args:
        queries: (..., C) unit vectors.

    Returns:
        (...) distances in [0, 1].
    """
    flat = _flat(queries, bank)
    rows, columns = _BLOCK_CPU if flat.device.type == "cpu" else _BLOCK
    best = torch.full((flat.shape[0],), -2.0, device=flat.device, dtype=flat.dtype)
    for block in bank.vectors.split(columns):
        for queried, highest in zip(flat.split(rows), best.split(rows), strict=True):
            torch.maximum(highest, (queried @ block.T).amax(dim=1), out=highest)  # writes into best
    return (0.5 * (1.0 - best)).clamp_min(0.0).reshape(queries.shape[:-1])


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
    best, index = _nearest(_flat(queries, bank), bank.vectors)
    distances = (0.5 * (1.0 - best)).clamp_min(0.0).reshape(-1, 1, *queries.shape[-3:-1])
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
    return (0.5 * (1.0 - best)).clamp_min(0.0).reshape(batch, height, width)


def spread_of(vectors: torch.Tensor, owners: torch.Tensor) -> Spread:
    """The spread of (N, C) unit vectors that came from the references ``owners``, (N,).

    Distances are 0.5 (1 - cosine). Takes N^2 C multiplications and N values for each reference.
    """
    references = owners.unique()
    order = owners.argsort(stable=True)
    groups = vectors[order].split([int((owners == each).sum()) for each in references])
    highest = torch.stack([_highest(vectors, group) for group in groups], dim=1)
    highest[owners[:, None] == references] = -torch.inf
    if len(references) == 1:
        highest, references = highest.repeat(1, 2), references.repeat(2)
    best, which = highest.topk(2, dim=1)
    distances = (0.5 * (1.0 - best)).clamp_min(0.0)
    return Spread(distances, torch.where(distances.isinf(), _NONE, references[which]))


def _highest(vectors: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    return torch.cat([(rows @ group.T).amax(dim=1) for rows in vectors.split(_ROWS)])
