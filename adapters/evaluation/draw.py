"""``DRAWS``: which good training images a seed stands for, as the authors of the methods drew them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch


def draw_references(count: int, shots: int, seed: int) -> list[int]:
    """FADE's draw: indices of ``shots`` of ``count`` good training images (METHODS 1.5).

    The authors shuffle with a seeded DataLoader: its first random number seeds the workers, the
    second seeds the permutation. Sets of one seed are nested: the first k of a longer draw.

    Raises:
        ValueError: fewer images than shots.
    """
    if shots > count:
        raise ValueError(f"{shots} references are asked for, and there are {count} good training images")
    generator = torch.Generator().manual_seed(seed)
    torch.empty((), dtype=torch.int64).random_(generator=generator)  # the loader's seed for its workers
    permutation_seed = int(torch.empty((), dtype=torch.int64).random_(generator=generator))
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(permutation_seed))
    return [int(index) for index in shuffled[:shots]]


def draw_block(count: int, shots: int, seed: int) -> list[int]:
    """AnomalyDINO's draw: the images ``[seed * k : (seed + 1) * k]`` (METHODS 8.1).

    Raises:
        ValueError: the block does not lie within the images. The authors would get a shorter one.
    """
    if (seed + 1) * shots > count:
        raise ValueError(
            f"seed {seed} at {shots} references means images {seed * shots} to {(seed + 1) * shots - 1}, "
            f"and there are {count} good training images; use a smaller seed or the draw 'fade'"
        )
    return list(range(seed * shots, (seed + 1) * shots))


DRAWS: Mapping[str, Callable[[int, int, int], list[int]]] = {
    "fade": draw_references,
    "anomaly-dino": draw_block,
}
"""Draws by their authors: (count, shots, seed) to indices. A method's spec names its own."""
