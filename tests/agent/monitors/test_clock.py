"""ClockGuard: a clock that jumps ahead must not make every image look old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agent.monitors.clock import ClockGuard

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class World:
    """A date, a steady clock, and when frames came by the date of then."""

    def __init__(self, *frames: datetime) -> None:
        self.date = START
        self.steady = 5_000.0
        self.frames = list(frames)
        self.guard = self.restarted()

    def restarted(self) -> ClockGuard:
        self.guard = ClockGuard(lambda: self.date, lambda: self.steady)
        return self.guard

    def passes(self, span: timedelta, *, frames: bool = True) -> None:
        for _ in range(round(span / HOUR)):
            self.date += HOUR
            self.steady += 3600.0
            if frames:
                self.frames.append(self.date)

    def newest_before(self, moment: datetime) -> datetime | None:
        return max((at for at in self.frames if at < moment), default=None)

    @property
    def doubt(self) -> str | None:
        return self.guard.doubt(self.newest_before)


def test_running_production_is_believed_at_once() -> None:
    assert World(*(START - hours * HOUR for hours in range(200))).doubt is None


def test_a_new_history_is_believed_at_once() -> None:
    world = World()
    assert world.doubt is None
    world.passes(HOUR)
    assert world.doubt is None


def test_a_weekend_without_frames_is_believed() -> None:
    friday = START - 3 * DAY
    assert World(friday).doubt is None


def test_a_jump_while_the_agent_runs_is_doubted_until_the_clock_is_set_right() -> None:
    world = World(*(START - hours * HOUR for hours in range(200)))
    world.passes(10 * HOUR)
    world.date += 700 * DAY
    assert world.doubt == "the clock jumped ahead by 700 days"
    world.passes(20 * HOUR)
    assert world.doubt is not None
    world.date -= 700 * DAY
    world.frames = [at for at in world.frames if at <= world.date]
    assert world.doubt is None


def test_a_jump_that_nobody_sets_right_is_believed_after_two_days() -> None:
    world = World(START - HOUR)
    world.date += 700 * DAY
    world.passes(HOUR)
    assert world.doubt is not None
    world.passes(2 * DAY - HOUR)
    assert world.doubt is not None, "the time counts from when the jump was seen"
    world.passes(HOUR)
    assert world.doubt is None


def test_a_jump_while_the_agent_was_away_is_doubted_although_new_frames_have_the_new_date() -> None:
    world = World(*(START - hours * HOUR for hours in range(1, 200)))
    world.date += 700 * DAY
    world.restarted()
    assert world.doubt == "the history has nothing from the 698 days before 2028-10-18"
    world.passes(30 * HOUR)
    world.restarted()
    assert world.doubt is not None, "a restart proves nothing"
    world.passes(20 * HOUR)
    assert world.doubt is None, "two days of frames do"


def test_production_that_stood_still_for_weeks_waits_for_two_days() -> None:
    world = World(START - 60 * DAY)
    assert world.doubt is not None
    world.passes(2 * DAY, frames=False)
    assert world.doubt is None


def test_production_that_stands_still_beside_a_running_agent_is_believed() -> None:
    world = World(START - HOUR)
    for _ in range(20):
        world.passes(DAY, frames=False)
        assert world.doubt is None


def test_corrections_of_minutes_are_nothing() -> None:
    world = World(START - HOUR)
    world.date += timedelta(minutes=59)
    assert world.doubt is None
    world.date -= timedelta(minutes=90)
    assert world.doubt is None


def test_a_clock_that_is_set_back_deletes_less_and_is_believed() -> None:
    world = World(*(START - hours * HOUR for hours in range(200)))
    world.date -= 3 * DAY
    assert world.doubt is None
    world.date += 3 * DAY
    assert world.doubt is not None, "and ahead again is a jump like any other"
