"""Bounds: how much the line holds in memory, whatever comes."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """Beyond the bounds by count. What the broker guarantees is bounded by its window instead."""

    waiting_bytes: int = 256 * _MIB
    """Payloads that wait to be decoded and that nobody would deliver again."""
    queue_bytes: int = 512 * _MIB
    """Decoded pictures in one queue; they have three bytes a pixel, whatever the camera sent."""
    skips: int = 4096
    """Frames that newer ones replaced and that wait for their rows."""
    skipped_bytes: int = 64 * _MIB
    """Payloads of those, as far as they are still needed to tell whose they are."""
