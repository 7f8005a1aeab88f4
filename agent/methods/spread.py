"""``Spread``: how far the references of a memory bank are from each other, place by place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch

_ROWS = 512
"""Vectors compared at once: bounds the similarity matrix of a spread."""
_NONE = -1


@dataclass(frozen=True, slots=True)
class Spread:
    """How far each vector of a memory bank is from the references that it did not come from."""

    distances: torch.Tensor
    """(N, 2) to the nearest vector of another reference, and to that of a third one; infinite if there is
    none. After references were left out the second column is unknown, and missing."""
    others: torch.Tensor
    """(N, 2) which references these are, -1 if there is none or it is not known."""

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


class SpreadTable:
    """The highest cosine of each vector to each reference, from which spreads follow."""

    def __init__(self, vectors: torch.Tensor, owners: torch.Tensor) -> None:
        """``vectors``: (N, C) of unit length that came from the references ``owners``, (N,).

        Takes N^2 C multiplications and N values for each reference.
        """
        self._vectors, self._owners = vectors, owners
        self._references = owners.unique()
        order = owners.argsort(stable=True)
        groups = vectors[order].split([int((owners == each).sum()) for each in self._references])
        highest = torch.stack([_highest(vectors, group) for group in groups], dim=1)
        highest[owners[:, None] == self._references] = -torch.inf
        self._highest = highest

    def spread(self) -> Spread:
        """Of all vectors."""
        highest, references = self._highest, self._references
        if len(references) == 1:
            highest, references = highest.repeat(1, 2), references.repeat(2)
        best, which = highest.topk(2, dim=1)
        distances = _distances(best)
        return Spread(distances, torch.where(distances.isinf(), _NONE, references[which]))

    def without(self, references: Collection[int], added: torch.Tensor, added_owners: torch.Tensor) -> Spread:
        """Of the vectors of all other references, in their order, and behind them of those ``added``.

        Args:
            added: (M, C) vectors that come from these other references as well.
        """
        gone = torch.tensor(sorted(references), device=self._owners.device)
        kept = ~torch.isin(self._owners, gone)
        columns = ~torch.isin(self._references, gone)
        best = self._highest[kept][:, columns].amax(dim=1) if columns.any() else self._highest[kept, 0]
        if not len(added):
            return _single(best)
        vectors, owners = self._vectors[kept], self._owners[kept]
        own = torch.full((len(added),), -torch.inf).to(best)
        for start in range(0, len(vectors), _ROWS):
            rows = slice(start, start + _ROWS)
            cosines = vectors[rows] @ added.T
            cosines.masked_fill_(owners[rows, None] == added_owners, -torch.inf)
            best[rows] = torch.maximum(best[rows], cosines.amax(dim=1))
            own = torch.maximum(own, cosines.amax(dim=0))
        cosines = added @ added.T
        cosines.masked_fill_(added_owners[:, None] == added_owners, -torch.inf)
        return _single(torch.cat([best, torch.maximum(own, cosines.amax(dim=1))]))


def spread_of(vectors: torch.Tensor, owners: torch.Tensor) -> Spread:
    """The spread of (N, C) unit vectors that came from the references ``owners``, (N,).

    Distances are 0.5 (1 - cosine).
    """
    return SpreadTable(vectors, owners).spread()


def _single(cosines: torch.Tensor) -> Spread:
    distances = _distances(cosines)[:, None]
    return Spread(distances, torch.full_like(distances, _NONE, dtype=torch.long))


def _distances(cosines: torch.Tensor) -> torch.Tensor:
    return (0.5 * (1.0 - cosines)).clamp_min(0.0)


def _highest(vectors: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    return torch.cat([(rows @ group.T).amax(dim=1) for rows in vectors.split(_ROWS)])
