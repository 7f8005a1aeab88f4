"""Onboarding: which agent, of all that share a database, works on a new product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class OnboardingState(StrEnum):
    """How far the onboarding of one SKU has come."""

    WAITING = "waiting"
    """Asked for, and nobody works on it."""
    CLAIMED = "claimed"
    """One agent works on it, until its lease ends."""
    DONE = "done"
    """The SKU has the recipe that was meant; with a time for the next attempt, a better one is tried then."""
    FAILED = "failed"
    """It ended without; the reason says why."""


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
    """From when it may be claimed again; None: only once somebody asks (:meth:`OnboardingClaims.request`)."""
    reason: str | None
    updated_at: datetime


class OnboardingClaims(Protocol):
    """Claims on the onboarding of SKUs, one row each. Every method raises StorageError.

    Times come from the caller. Agents on one database are expected to agree on the time to within a
    fraction of a lease; an agent whose clock runs ahead by more takes over what another works on.
    """

    def claim(self, sku: str, agent: str, lease_s: float, now: datetime) -> bool:
        """Take the onboarding of ``sku`` for ``lease_s`` seconds; True for exactly one caller.

        It can be taken where it was never claimed or is due: asked for, its next attempt has come, or
        the lease of whoever claimed it has ended (that agent was stopped). A claim that still holds
        is refused to its own agent too: two processes may run under one id by mistake.
        """
        ...

    def take_back(self, agent: str, now: datetime) -> Sequence[str]:
        """Make due at once what an earlier process under this agent's id had claimed; which SKUs.

        For the start of an agent: whoever held these claims was stopped, and nobody should wait for the end
        of their leases. Agents have ids of their own; of two that share one by mistake, the older loses its
        claims here, which :meth:`renew` and :meth:`finish` tell it.
        """
        ...

    def renew(self, sku: str, agent: str, lease_s: float, now: datetime) -> bool:
        """Hold the claim for another ``lease_s`` seconds; False where it is this agent's no longer."""
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
        """End a claim; False, and nothing changes, where it is this agent's no longer.

        Args:
            state: how it ended; ``waiting`` without ``next_attempt_at`` is due at once. Not ``claimed``.
            next_attempt_at: when it is tried again, also after ``done``: a template stands in, and the
                language model is asked later.

        Raises:
            ValueError: ``state`` is ``claimed``.
        """
        ...

    def request(self, sku: str, now: datetime, reason: str | None = None) -> None:
        """Ask for onboarding, again where it had ended; a claim that holds goes on undisturbed."""
        ...

    def due(self, now: datetime) -> Sequence[str]:
        """SKUs that can be claimed now, the longest due first."""
        ...

    def record(self, sku: str) -> OnboardingRecord | None:
        """The row of one SKU; None where it was never claimed or asked for."""
        ...
