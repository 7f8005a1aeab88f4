"""The end of a connection to a broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """How a connection ended."""

    reason: str
    accepted: bool = False
    """The broker had accepted it."""
    unsupported_version: bool = False
    """Refused because of the protocol version, in so many words."""
    unanswered: bool = False
    """No answer to CONNECT before the end, as from brokers that do not know the version."""
