"""The reference draw of the FADE authors, without their data loader."""

from __future__ import annotations

import torch


def draw_references(count: int, shots: int, seed: int) -> list[int]:
    """Indices of ``shots`` of ``count`` good training pictures (METHODS 1.5).

    The authors shuffle with a seeded DataLoader: its first random number seeds the workers, the
    second seeds the permutation. Sets of one seed are nested: the first k of a longer draw.

    Raises:
        ValueError: fewer pictures than shots.
    """
    if shots > count:
        raise ValueError(f"{shots} references are asked for, and there are {count} good training pictures")
    generator = torch.Generator().manual_seed(seed)
    torch.empty((), dtype=torch.int64).random_(generator=generator)  # the loader's seed for its workers
    permutation_seed = int(torch.empty((), dtype=torch.int64).random_(generator=generator))
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(permutation_seed))
    return [int(index) for index in shuffled[:shots]]
