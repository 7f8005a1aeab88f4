"""What came out of a campaign."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """One campaign: what was asked, what was counted, what was claimed and whether it held."""

    name: str
    parameters: Mapping[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    checks: list[tuple[str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why it could not be run here; None if it was."""
    started: float = field(default_factory=time.monotonic)
    duration_s: float = 0.0

    def check(self, claim: str, holds: bool) -> None:
        """Note a claim and whether it holds."""
        self.checks.append((claim, holds))

    @property
    def failures(self) -> list[str]:
        """The claims that do not hold."""
        return [claim for claim, holds in self.checks if not holds]

    @property
    def passed(self) -> bool:
        return not self.failures and self.skipped is None

    def end(self) -> Result:
        self.duration_s = time.monotonic() - self.started
        return self

    def __str__(self) -> str:
        """All of it in a few lines, for an assertion that failed."""
        lines = [f"{self.name}: {self.figures}", *(f"does not hold: {claim}" for claim in self.failures)]
        return "\n".join([*lines, *self.notes])
