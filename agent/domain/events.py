"""Event: something that happened and deserves a row of its own, such as bad input or a change of job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a row that is not an inspection: bad input, skipped work, a change of job."""

    kind: str
    message: str
    at: datetime
    camera: str | None = None
    sku: str | None = None
    details: Mapping[str, str | int | float | None] = field(default_factory=dict)
    severity: str = "info"
    """``info``, ``warning`` or ``error``."""
