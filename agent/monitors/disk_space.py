"""DiskSpaceMonitor: reports a disk that fills up, and deletes images if room is needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.monitors.retention import details, sentence
from agent.ports import Disks, Pruned, Retention, Scheduler
from agent.ports.disk import Space
from agent.telemetry import Counters

RELEASE_ORDER = (Verdict.PASS, Verdict.ERROR, Verdict.REVIEW, Verdict.FAIL)
"""Whose images are deleted first if room is needed: those of passed parts, which are needed least."""

_SHARE = 10
"""The reserve is at most the disk's size divided by this: otherwise a small card would be all reserve."""
_FLOOR = 16
"""A disk with less free than the reserve divided by this is full, even if small writes succeed."""

_QUIET_LOOKS = 6


class DiskState(StrEnum):
    """The states of a disk; each change is reported once."""

    OK = "disk-recovered"
    LOW = "disk-low"
    """Less than the reserve is free."""
    FULL = "disk-full"
    """A write was refused for lack of space."""


@dataclass(frozen=True, slots=True)
class DiskPolicy:
    """How much space to keep free.

    Args:
        reserve: bytes; 0: nothing is done before the disk is full.
    """

    reserve: int = 1_000_000_000

    def reserve_of(self, space: Space) -> int:
        """Free bytes below which the monitor makes room."""
        return min(self.reserve, space.total // _SHARE)

    def goal_of(self, space: Space) -> int:
        """Free bytes up to which it makes room: more than the reserve, so that one frame does not undo it."""
        reserve = self.reserve_of(space)
        return reserve + reserve // 4

    def floor_of(self, space: Space) -> int:
        """Free bytes below which the disk counts as full."""
        return self.reserve_of(space) // _FLOOR


class DiskStateTracker:
    """The state of one disk. It gets worse by steps and better only at once, so nothing is reported twice.

    A disk may refuse although it has room: it lacks inodes, or there is a quota. It counts as well again only
    after some checks without a refusal.
    """

    def __init__(self, policy: DiskPolicy) -> None:
        self._policy = policy
        self._quiet = 0
        self.state = DiskState.OK

    def look(self, space: Space, *, refused: bool = False) -> DiskState | None:
        """The new state if it changed.

        Args:
            space: the disk as it is now.
            refused: whether a write was refused for lack of space since the last look.
        """
        before = self.state
        has_room = space.free >= self._policy.goal_of(space)
        self._quiet = _QUIET_LOOKS if refused and has_room else max(0, self._quiet - 1)
        if refused or space.free < self._policy.floor_of(space):
            self.state = DiskState.FULL
        elif self.state is DiskState.OK and space.free < self._policy.reserve_of(space):
            self.state = DiskState.LOW
        elif self.state is not DiskState.OK and has_room and not self._quiet:
            self.state = DiskState.OK
        return self.state if self.state is not before else None


logger = logging.getLogger(__name__)

EVERY_S = 10.0
AT_ONCE_S = 0.5
"""Pause after a refused write. Refusals come in groups; one look serves them all."""
GRACE = timedelta(minutes=1)
_PATIENCE_S = 5.0

_SEVERITY = {DiskState.OK: "info", DiskState.LOW: "warning", DiskState.FULL: "error"}


@dataclass(frozen=True, slots=True)
class DiskParts:
    """What the monitor works with."""

    disks: Disks
    retention: Retention
    events: EventLog
    schedule: Scheduler
    counters: Counters
    agent: Camera
    """Site, ``sightline`` and the agent's id: the alerts carry it as their camera."""


class DiskSpaceMonitor:
    """Looks at the disks, reports each change once, and deletes images if room is needed.

    The event log publishes an alert directly while the history refuses it for lack of room.
    """

    def __init__(
        self,
        parts: DiskParts,
        policy: DiskPolicy,
        *,
        grace: timedelta = GRACE,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._parts = parts
        self._policy = policy
        self._grace = grace
        self._clock = clock
        self._trackers: dict[str, DiskStateTracker] = {}
        self._released = Pruned()
        self._helpless = False
        self._trouble = ""
        self._refused = threading.Event()
        self._planned = threading.Event()
        self._stopped = threading.Event()
        self._looking = threading.Lock()
        self._looker: int | None = None
        self._spaces: tuple[Space, ...] = ()

    @property
    def spaces(self) -> Sequence[Space]:
        """The disks at the last look, for metrics."""
        return self._spaces

    @property
    def state(self) -> DiskState:
        """The worst state of any disk."""
        states = {tracker.state for tracker in list(self._trackers.values())}
        return next((one for one in (DiskState.FULL, DiskState.LOW) if one in states), DiskState.OK)

    def start(self) -> None:
        """Look now, then regularly."""
        self()
        self._parts.schedule.every("disk", EVERY_S, self)

    def stop(self) -> None:
        """End a release that is under way and report it. Does not wait for a look that hangs."""
        self._stopped.set()
        if not self._looking.acquire(timeout=_PATIENCE_S):
            logger.warning("disk: a look hangs; what it released is not reported")
            return
        try:
            self._report_released()
            self._store()
        finally:
            self._looking.release()

    def refused(self) -> None:
        """A write was refused for lack of space: look at once. Any thread may call."""
        if threading.get_ident() == self._looker:
            return  # the refused write is the look's own, which handles it
        self._refused.set()
        if not self._planned.is_set():
            self._planned.set()
            self._parts.schedule.later("disk at once", AT_ONCE_S, self)

    def __call__(self) -> None:
        """One look. A step that fails is counted, logged and repeated at the next look."""
        with self._looking:
            self._looker = threading.get_ident()
            self._planned.clear()
            refused = self._refused.is_set()
            self._refused.clear()
            try:
                self._look_and_act(refused=refused)
                self._store()
            finally:
                self._looker = None

    # ------------------------------------------------------------------------------------- looking

    def _look_and_act(self, *, refused: bool) -> None:
        try:
            self._look(refused=refused)
            if self._state("media") is DiskState.OK:
                self._keep_ballast()
            else:
                self._make_room(refused=refused)
            self._trouble = ""
        except StorageError as error:
            self._parts.counters.add("disk_watch_failed")
            known, self._trouble = self._trouble, str(error)
            level = logging.DEBUG if known == self._trouble else logging.WARNING
            logger.log(level, "disk: %s; it is tried again", error)

    def _look(self, *, refused: bool = False) -> None:
        self._spaces = tuple(self._parts.disks.spaces())
        fullest = min(self._spaces, key=lambda space: space.free / max(1, space.total))
        for space in self._spaces:
            tracker = self._trackers.setdefault(space.name, DiskStateTracker(self._policy))
            change = tracker.look(space, refused=refused and space is fullest)
            if change is not None:
                self._changed(space, change)

    def _state(self, name: str) -> DiskState:
        tracker = self._trackers.get(name)
        return DiskState.OK if tracker is None else tracker.state

    def _changed(self, space: Space, state: DiskState) -> None:
        if state is DiskState.OK:
            self._report_released()
            self._helpless = False
        what = {
            DiskState.OK: "has room again",
            DiskState.LOW: "is nearly full",
            DiskState.FULL: "is full",
        }[state]
        message = f"the disk of {space.name} {what}: {space.free:,} of {space.total:,} bytes are free"
        if state is DiskState.FULL:
            message += "; frames wait, unacknowledged, until there is room"
        if state is not DiskState.OK and space.name == "media":
            message += "; the oldest images go, those of failed parts last"
        elif state is not DiskState.OK:
            message += "; make room, nothing is deleted there"
        self._report(state.value, message, _SEVERITY[state], {"free": space.free, "total": space.total})

    # ------------------------------------------------------------------------------------ making room

    def _keep_ballast(self) -> None:
        disks, media = self._parts.disks, self._spaces[0]
        if media.free - disks.ballast >= self._policy.goal_of(media):
            disks.take_ballast()

    def _make_room(self, *, refused: bool) -> None:
        """Delete images up to the goal. After a refused write, delete at least one chunk even if the disk
        reports room: it may lack inodes, or its owner may have a quota."""
        parts = self._parts
        if self._state("media") is DiskState.FULL and parts.disks.drop_ballast():
            self._store()  # while there is room for it
        if not self._policy.reserve:
            return
        asked = 0

        def enough() -> bool:
            nonlocal asked
            asked += 1
            media = parts.disks.spaces()[0]
            return media.free >= self._policy.goal_of(media) and not (refused and asked == 1)

        released = parts.retention.release(
            RELEASE_ORDER, enough, now=self._clock(), grace=self._grace, stop=self._stopped.is_set
        )
        self._released += released
        if released:
            parts.counters.add("images_released", released.files)
            logger.warning("disk: %s, before their time", sentence(released))
        self._look()
        if self._state("media") is DiskState.OK:
            self._refused.clear()  # writes that were refused meanwhile now find room, and are repeated
        elif not released and not self._helpless:
            self._helpless = True
            logger.error(
                "disk: no image is left that may go; the disk is full of the history itself, of references,"
                " or of what is not the agent's: make room, or give it a larger disk"
            )

    # ------------------------------------------------------------------------------------- reporting

    def _report_released(self) -> None:
        """Report all that was deleted since the last report as one event."""
        released, self._released = self._released, Pruned()
        if released:
            message = f"to make room, {sentence(released)}, before their time"
            self._report("emergency-retention", message, "warning", details(released))

    def _report(
        self, kind: str, message: str, severity: str, numbers: dict[str, str | int | float | None]
    ) -> None:
        event = Event(kind, message, self._clock(), details=numbers, severity=severity)
        self._parts.events.report(event, alert=self._parts.agent)

    def _store(self) -> None:
        """Store the reported events now; if the history refuses, they are stored later."""
        try:
            self._parts.events.flush()
        except StorageError as error:
            logger.debug("the events of the disk wait for the history: %s", error)
