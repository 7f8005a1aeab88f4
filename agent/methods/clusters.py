"""``ClusterIndex``: the nearest of many vectors, exactly, without comparing with all of them."""

from __future__ import annotations

import torch

SIZE = 96
"""Vectors of a cluster, on average."""
_ROUNDS = 4
_SAMPLED = 32
"""Vectors for each cluster that its middle is found from."""
_SLACK = 1e-3
"""Radians by which clusters are taken to be larger: more than rounding can amount to."""
WORTH_IT = 0.3
"""If more of all pairs are left than this share, one large product is quicker than what is left of it."""


class ClusterIndex:
    """Vectors of unit length in clusters (spherical k-means), each inside a cap around its middle.

    A query's cosine with any vector of a cluster is at most the cosine of the angle to its middle less the
    cap's. Patches of a good part lie near to what is memorised, so most clusters cannot hold the nearest one
    (the triangle inequality, as in Elkan 2003). How much that saves depends on the images: much in a fixture,
    little where parts lie in any direction.
    """

    def __init__(self, vectors: torch.Tensor) -> None:
        """``vectors``: (N, C) of unit length. The same vectors give the same clusters."""
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(vectors), generator=generator)
        count = max(1, len(vectors) // SIZE)
        middles, sample = vectors[order[:count]], vectors[order[: _SAMPLED * count]]
        for _ in range(_ROUNDS):
            near = (sample @ middles.T).argmax(dim=1)
            sums = torch.zeros_like(middles).index_add_(0, near, sample)
            middles = torch.nn.functional.normalize(sums + 1e-6 * middles, dim=1)
        near = _nearest_middles(vectors, middles)
        self._middles = middles
        self._order = near.argsort(stable=True)
        self._vectors = vectors[self._order].contiguous()
        self._counts = torch.bincount(near, minlength=count)
        self._parts = [part.T for part in self._vectors.split(self._counts.tolist())]
        self._starts = self._counts.cumsum(0) - self._counts
        angles = (self._vectors * middles[near[self._order]]).sum(dim=1).clamp(-1.0, 1.0).acos()
        caps = torch.zeros(count).to(vectors).scatter_reduce(0, near[self._order], angles, "amax") + _SLACK
        self._cosine, self._sine = caps.cos(), caps.sin()
        self.compared = 0
        """Pairs of a query and a vector that were compared so far, middles left out."""

    def nearest(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(Q,) highest cosines of (Q, C) queries of unit length, and (Q,) the vectors that have them.

        None if so many clusters are left that comparing with all vectors is quicker.
        """
        to_middle = queries @ self._middles.T
        bound = to_middle * self._cosine + (1.0 - to_middle.square()).clamp_min_(0.0).sqrt_() * self._sine
        bound.masked_fill_(to_middle > self._cosine, 1.0)  # inside of the cap
        first = to_middle.argmax(dim=1)
        rows = first.argsort(stable=True)
        cosines, places = self._visit(queries, rows, first[rows])
        best, index = torch.empty_like(cosines), torch.empty_like(places)
        best[rows], index[rows] = cosines, places
        bound.scatter_(1, first[:, None], -2.0)
        left = bound > best[:, None]
        if int((left.sum(dim=0) * self._counts).sum()) > WORTH_IT * len(queries) * len(self._vectors):
            return None
        clusters, rows = left.T.nonzero().unbind(dim=1)
        cosines, places = self._visit(queries, rows, clusters)
        highest = best.scatter_reduce(0, rows, cosines, "amax")
        won = (cosines >= highest[rows]) & (cosines > best[rows])
        index[rows[won]] = places[won]
        return highest, self._order[index]

    def _visit(
        self, queries: torch.Tensor, rows: torch.Tensor, clusters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """For each pair of a query and a cluster, in the order of clusters: highest cosine, and its place."""
        visiting = queries[rows]
        cosines, places = torch.empty(len(rows)).to(queries), torch.empty_like(rows)
        start = 0
        counts = torch.bincount(clusters, minlength=len(self._parts)).tolist()
        for part, count in zip(self._parts, counts, strict=True):
            if count:
                stop = start + count
                found = cosines[start:stop], places[start:stop]
                torch.max(visiting[start:stop] @ part, dim=1, out=found)
                self.compared += count * part.shape[1]
                start = stop
        return cosines, places + self._starts[clusters]


def _nearest_middles(vectors: torch.Tensor, middles: torch.Tensor) -> torch.Tensor:
    return torch.cat([(rows @ middles.T).argmax(dim=1) for rows in vectors.split(4096)])
