"""How much good parts differ from each other, place by place."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_ROWS = 512
"""Vectors compared at once: bounds the similarity matrix."""
_NONE = -1


@dataclass(frozen=True, slots=True)
class Spread:
    """How far each vector of a memory bank is from the references that it did not come from."""

    distances: torch.Tensor
    """(N, 2) to the nearest vector of another reference, and to that of a third one; infinite where there is
    none. After one reference was left out the second column is no longer known and missing."""
    others: torch.Tensor
    """(N, 2) which references these are, -1 where there is none."""

    @property
    def values(self) -> torch.Tensor:
        """(N,) distances to the nearest other reference; 0 where there is none, which says nothing."""
        nearest = self.distances[:, 0]
        return torch.where(nearest.isinf(), torch.zeros_like(nearest), nearest)

    def without(self, reference: int, kept: torch.Tensor) -> Spread | None:
        """As it would be had ``reference`` never been there, for the vectors ``kept``, (N,) of truths.

        None where it has to be measured anew: of a spread that has lost a reference already.
        """
        if self.distances.shape[1] < 2:
            return None
        lost = (self.others[kept, 0] == reference).long()[:, None]
        return Spread(self.distances[kept].gather(1, lost), self.others[kept].gather(1, lost))


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
