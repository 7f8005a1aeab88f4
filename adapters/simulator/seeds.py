"""``generator``: random streams named by words and numbers; nothing draws from a global one."""

from zlib import crc32

import numpy as np


def generator(*keys: str | int) -> np.random.Generator:
    """A generator that depends on the keys alone, the same on every machine and in every process.

    Words enter through their CRC-32, because Python's own hash of a string differs from process to process.
    """
    entropy = [crc32(key.encode()) if isinstance(key, str) else key & 0xFFFFFFFFFFFFFFFF for key in keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def subseed(rng: np.random.Generator) -> int:
    """A fresh seed drawn from a generator, for a stream that must not disturb its parent's order."""
    return int(rng.integers(1 << 48))
