"""OnboardingClaims: which of the agents that share a database works on a new product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class OnboardingState(StrEnum):
    """How far the onboarding of one SKU has come."""

    WAITING = "waiting"
    """Requested, and no agent works on it."""
    CLAIMED = "claimed"
    """One agent works on it, until its lease ends."""
    DONE = "done"
    """The SKU has its recipe. With a time for the next attempt, a better one is tried then."""
    FAILED = "failed"
    """It ended without a recipe of its own, for the recorded reason."""


@dataclass(frozen=True, slots=True)
class OnboardingRecord:
    """The row of one SKU."""

    sku: str
    state: OnboardingState
    claimed_by: str | None
    claimed_until: datetime | None
    attempts: int
    """How often it was claimed."""
    next_attempt_at: datetime | None
    """From when it may be claimed again; None: only after :meth:`OnboardingClaims.request`."""
    reason: str | None
    updated_at: datetime

    def is_held(self, now: datetime) -> bool:
        """Whether somebody works on it now."""
        return self.claimed_until is not None and self.claimed_until > now


class OnboardingClaims(Protocol):
    """Claims on the onboarding of SKUs, one row each. Every method raises StorageError.

    The caller gives the time. Agents on one database must agree on it to within a fraction of a lease: an
    agent whose clock is further ahead takes over what another one works on.
    """

    def claim(self, sku: str, agent: str, lease_s: float, now: datetime) -> bool:
        """Take the onboarding of ``sku`` for ``lease_s`` seconds. True for exactly one caller.

        It can be taken if it was never claimed or is due: it was requested, the time of its next attempt has
        come, or the lease of its claim has ended (that agent was stopped). A claim that still holds is
        refused even to its own agent: two processes may run under one id by mistake.
        """
        ...

    def take_back(self, agent: str, now: datetime) -> Sequence[str]:
        """Make due at once what an earlier process under this agent's id had claimed. Returns the SKUs.

        For the start of an agent: the process that held these claims was stopped, and no agent should wait
        for the end of their leases. Each agent has its own id. If two share one by mistake, the older loses
        its claims here; :meth:`renew` and :meth:`finish` then return False to it.
        """
        ...

    def renew(self, sku: str, agent: str, lease_s: float, now: datetime) -> bool:
        """Hold the claim for another ``lease_s`` seconds. False if this agent no longer holds it."""
        ...

    def finish(
        self,
        sku: str,
        agent: str,
        state: OnboardingState,
        now: datetime,
        *,
        reason: str | None = None,
        next_attempt_at: datetime | None = None,
    ) -> bool:
        """End a claim. False, and nothing changes, if this agent no longer holds it.

        Args:
            state: how it ended; ``waiting`` without ``next_attempt_at`` is due at once. Not ``claimed``.
            next_attempt_at: when it is tried again, also after ``done``: the template's words are in use, and
                the language model is asked later.

        Raises:
            ValueError: ``state`` is ``claimed``.
        """
        ...

    def withdraw(self, sku: str, agent: str) -> None:
        """Forget a claim that this agent holds, as if it had never been."""
        ...

    def request(self, sku: str, now: datetime, reason: str | None = None) -> None:
        """Ask for onboarding, also if it had ended. A claim that holds is not disturbed."""
        ...

    def due(self, now: datetime) -> Sequence[str]:
        """SKUs that can be claimed now, the longest due first."""
        ...

    def record(self, sku: str) -> OnboardingRecord | None:
        """The row of one SKU; None if it was never claimed or requested."""
        ...
