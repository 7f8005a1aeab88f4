"""Event: something that happened and deserves a row of its own, such as bad input or a change of job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

RECIPE_IN_FORCE, RECIPE_REFUSED = "recipe-in-force", "recipe-refused"
"""Kinds by which an agent answers whoever activated a version; ``version`` stands in their details."""
AGENT_STARTED, AGENT_STOPPED = "agent-started", "agent-stopped"
"""Kinds that show which agents can answer."""


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
