"""``Health``: health and readiness of one agent, with a check for each part.

Healthy: the process can do its work; a restart would not help. Ready: a frame that came now would be
judged and recorded. An agent whose broker is away is healthy and not ready.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from adapters.observability.health_source import DiskState, HealthSource
from agent.domain.errors import SightlineError

logger = logging.getLogger(__name__)

_OK = "ok"
_MOST_SHOWN = 10
"""Topics of refused messages in one answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """One part: whether it works, and a sentence if it does not, or not wholly."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """All checks for health or for readiness."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all checks are well."""
        return all(check.ok for check in self.checks)

    @property
    def problems(self) -> str:
        """All problems in one line; empty if there are none."""
        return "; ".join(f"{check.name}: {check.detail}" for check in self.checks if not check.ok)

    def document(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


class Health:
    """Checks the parts. Callable from any thread, never raises, and answers within some seconds."""

    def __init__(self, source: HealthSource) -> None:
        self.source = source

    def healthy(self) -> Report:
        """Whether the process can do its work: all stages run, none hangs, the pipeline has not given up."""
        return self._report(self._pipeline, self._stages)

    def ready(self) -> Report:
        """Whether frames would be judged and recorded now."""
        return self._report(
            self._pipeline, self._stages, self._broker, self._storage, self._models, self._recipes, self._disk
        )

    def _report(self, *parts: Callable[[], Check]) -> Report:
        return Report(tuple(self._guarded(part) for part in parts))

    def _guarded(self, part: Callable[[], Check]) -> Check:
        name = part.__name__.removeprefix("_")
        try:
            return part()
        except SightlineError as error:
            return Check(name, False, str(error))
        except Exception as error:  # a part that cannot be checked is not well, whatever the reason
            self.source.counters.add("health_checks_failed")
            logger.warning("the check of %s failed", name, exc_info=True)
            return Check(name, False, f"cannot be checked ({type(error).__name__}), see the agent's log")

    def _pipeline(self) -> Check:
        state = self.source.pipeline()
        if state is None:
            return Check("pipeline", False, "not started yet")
        return _check("pipeline", ["has given up; the agent ends to be started anew"] if state.failed else [])

    def _stages(self) -> Check:
        state = self.source.pipeline()
        if state is None:
            return Check("stages", False, "not started yet")
        limit_s, problems = self.source.hang_after_s, []
        for stage in state.stages:
            if not stage.alive:
                problems.append(f"{stage.name} does not run")
            elif stage.busy_s is not None and stage.busy_s > limit_s:
                problems.append(f"{stage.name} has been at one piece of work for {stage.busy_s:.0f} s")
        return _check("stages", problems)

    def _broker(self) -> Check:
        state = self.source.broker()
        if state is None:
            return Check("broker", False, "not started yet")
        if not state.connected:
            return Check("broker", False, state.last_error or "not connected")
        # Refused messages do not keep frames from being judged and recorded: the agent is ready.
        return Check("broker", True, _degraded(state.refused) if state.refused else _OK)

    def _storage(self) -> Check:
        state = self.source.pipeline()
        if state is not None and state.storage_wait is not None:
            return Check("storage", False, f"the agent waits for it: {state.storage_wait}")
        file = self.source.database_file
        # An open SQLite file that was deleted still answers, and all that is written to it is lost.
        if file is not None and not file.exists():
            return Check("storage", False, f"the database file {file} is gone; restore it and restart")
        self.source.outbox.answer()
        return Check("storage", True, _OK)

    def _models(self) -> Check:
        missing = self.source.models()
        return _check("models", [] if missing is None else [missing])

    def _recipes(self) -> Check:
        left, state = self.source.recipes(), self.source.pipeline()
        problems = [] if left is None else [left]
        if state is not None and state.preparing is not None and state.awaiting:
            sku, seconds = state.preparing
            if seconds > self.source.hang_after_s:
                problems.append(
                    f"that of {sku!r} has been prepared for {seconds:.0f} s, and {state.awaiting} frames wait"
                )
        return _check("recipes", problems)

    def _disk(self) -> Check:
        disks = self.source.disks.answer()
        return _check("disk", [_full(disk) for disk in disks if disk.free < disk.reserve])


def _check(name: str, problems: Iterable[str]) -> Check:
    sentence = ", ".join(problems)
    return Check(name, not sentence, sentence or _OK)


def _degraded(refused: Mapping[str, str]) -> str:
    shown = [f"{topic}: {why}" for topic, why in sorted(refused.items())[:_MOST_SHOWN]]
    if len(refused) > _MOST_SHOWN:
        shown.append(f"and {len(refused) - _MOST_SHOWN} more")
    return f"degraded, messages are refused on {', '.join(shown)}"


def _full(disk: DiskState) -> str:
    return (
        f"{disk.free / 1e6:,.0f} MB are free for {disk.name}, {disk.reserve / 1e6:,.0f} MB should be; "
        "free space or shorten media.keep"
    )
