"""``Coreset``: the vectors that stand for all in a bounded bank: greedy k-centre (PatchCore, section 3.2)."""

from __future__ import annotations

import numpy as np
import torch

CANDIDATES = 4
"""Vectors that compete for each place."""
_TOGETHER = 48
"""So many vectors are looked ahead at."""


class Coreset:
    """Vectors chosen one by one, each the farthest from those before it, so that they cover all.

    Distances are taken in a random projection, which keeps them nearly (Johnson-Lindenstrauss), and among at
    most :data:`CANDIDATES` for each place, so that thousands of references stay affordable.
    """

    def __init__(
        self,
        vectors: torch.Tensor,
        count: int,
        *,
        seed: int,
        projection: int = 16,
        groups: torch.Tensor | None = None,
    ) -> None:
        """
        Args:
            vectors: (N, C), more than ``count``.
            groups: (N,) numbers from 0 of the groups that :meth:`substitutes` may be asked for.
        """
        generator = torch.Generator().manual_seed(seed)
        n = vectors.shape[0]
        self._candidates = torch.randperm(n, generator=generator)[: CANDIDATES * count].to(vectors.device)
        matrix = torch.randn(vectors.shape[1], projection, generator=generator).to(vectors)
        self._points = vectors[self._candidates] @ matrix
        self._norms = (self._points * self._points).sum(dim=1)
        self._groups = None if groups is None else groups[self._candidates]
        self._choose(count)

    @property
    def chosen(self) -> torch.Tensor:
        """(count,) their indices, in the order in which they were chosen."""
        return self._candidates[self._places]

    def _choose(self, count: int) -> None:
        """Many vectors at once are compared with all, and the choice is that of one after the other.

        Distances to what is chosen only fall. So among the farthest few the next one is known without the
        others, as long as it is no nearer than the first of the others was.
        """
        points, norms, groups = self._points, self._norms, self._groups
        numbers = [] if groups is None else groups.tolist()
        # To the nearest one chosen of each group: what would be left without a group.
        by_group = torch.full((max(numbers, default=-1) + 1, len(norms)), torch.inf).to(norms)
        nearest = torch.full_like(norms, torch.inf)
        places, round_ = [], [0]
        while True:
            distances = torch.addmm(norms, points[round_], points.T, alpha=-2.0).add_(norms[round_, None])
            torch.minimum(nearest, distances.amin(dim=0), out=nearest)
            if numbers:
                for place, distance in zip(round_, distances, strict=True):
                    own = by_group[numbers[place]]
                    torch.minimum(own, distance, out=own)
            places += round_
            if len(places) == count:
                break
            round_ = self._farthest(nearest, count - len(places))
        self._places = torch.tensor(places, device=norms.device)
        self._by_group = by_group

    def _farthest(self, nearest: torch.Tensor, most: int) -> list[int]:
        """The next ones that are chosen, one after the other, as far as that is certain."""
        few, pool = nearest.topk(min(_TOGETHER + 1, len(nearest)))
        places, distances = pool.tolist(), few.double().cpu().numpy()
        others = distances[-1] if len(places) > _TOGETHER else -np.inf
        points = self._points[pool].double().cpu().numpy()
        chosen: list[int] = []
        while len(chosen) < min(most, _TOGETHER):
            index = int(distances.argmax())
            if chosen and (distances[index] <= others or distances[index] <= 0.0):
                break
            chosen.append(places[index])
            away = points - points[index]
            np.minimum(distances, (away * away).sum(axis=1), out=distances)
        return chosen

    def substitutes(self, group: int) -> torch.Tensor:
        """Indices of the vectors that would take the places of a group's, had the group not been there.

        The other vectors stay, and the choice goes on from them: as many as the group had, each the farthest
        from all before it. Only candidates far from those that stay compete. ValueError without groups.
        """
        if self._groups is None:
            raise ValueError("substitutes are known only of the groups that the coreset was chosen with")
        count = int((self._groups[self._places] == group).sum())
        others = [number for number in range(len(self._by_group)) if number != group]
        if not others or not count:
            return self._candidates[:0]
        distance = self._by_group[others].amin(dim=0)
        distance[self._groups == group] = -torch.inf
        distance[self._places] = -torch.inf
        free = int((distance > -torch.inf).sum())
        nearest, pool = distance.topk(min(free, CANDIDATES * count))
        points, norms = self._points[pool], self._norms[pool]
        picked = []
        for _ in range(min(count, len(pool))):
            place = int(nearest.argmax())
            picked.append(place)
            torch.minimum(nearest, norms + norms[place] - 2.0 * torch.mv(points, points[place]), out=nearest)
            nearest[place] = -torch.inf
        return self._candidates[pool[picked]]


def coreset(vectors: torch.Tensor, count: int, *, seed: int, projection: int = 16) -> torch.Tensor:
    """Indices of ``count`` vectors that cover all (:class:`Coreset`)."""
    return Coreset(vectors, count, seed=seed, projection=projection).chosen
