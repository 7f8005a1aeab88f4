"""Health: health and readiness are reported truly, whatever is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.observability.health import Health
from adapters.observability.health_source import BrokerState, DiskState
from agent.domain.errors import StorageError
from tests.support.observed_agent import ObservedAgent, pipeline_state, stage


def test_an_agent_that_is_well_is_healthy_and_ready() -> None:
    health = Health(ObservedAgent().source())
    assert health.healthy().ok
    assert health.ready().ok
    assert health.ready().problems == ""
    assert {check.name for check in health.ready().checks} == {
        "pipeline",
        "stages",
        "broker",
        "storage",
        "models",
        "recipes",
        "disk",
    }


def test_an_agent_is_ready_once_the_recipes_of_the_last_shift_are_prepared() -> None:
    agent = ObservedAgent()
    agent.recipes = "recipes of the last shift: 3 of 12 are prepared, about 40 s to go"
    health = Health(agent.source())
    assert health.healthy().ok
    assert health.ready().problems == f"recipes: {agent.recipes}"


def test_a_recipe_that_takes_for_ever_is_named_while_frames_wait_for_it() -> None:
    agent = ObservedAgent()
    preparing = replace(pipeline_state(), preparing=("A-17", 601.0))
    agent.pipeline = preparing
    assert Health(agent.source()).ready().ok
    agent.pipeline = replace(preparing, awaiting=3)
    assert "'A-17' has been prepared for 601 s, and 3 frames wait" in Health(agent.source()).ready().problems
    assert Health(agent.source()).healthy().ok


def test_refused_messages_are_named_and_frames_are_still_judged() -> None:
    agent = ObservedAgent()
    agent.broker = BrokerState(
        True, None, 0, {f"p/l/c{number:02}/verdict": "no right" for number in range(12)}
    )
    report = Health(agent.source()).ready()
    (broker,) = (check for check in report.checks if check.name == "broker")
    assert report.ok
    assert broker.detail.startswith("degraded, messages are refused on p/l/c00/verdict: no right, p/l/c01/")
    assert broker.detail.endswith("and 2 more")


SICK: list[tuple[str, Callable[[ObservedAgent], None], str]] = [
    ("pipeline", lambda one: setattr(one, "pipeline", pipeline_state(failed=True)), "has given up"),
    ("pipeline", lambda one: setattr(one, "pipeline", None), "not started yet"),
    (
        "stages",
        lambda one: setattr(one, "pipeline", pipeline_state(stage("inspect", alive=False))),
        "inspect does not run",
    ),
    (
        "stages",
        lambda one: setattr(one, "pipeline", pipeline_state(stage("record", busy_s=601.0))),
        "record has been at one piece of work for 601 s",
    ),
]


@pytest.mark.parametrize(("part", "break_it", "reason"), SICK)
def test_what_a_restart_would_mend_is_unhealthy(
    part: str, break_it: Callable[[ObservedAgent], None], reason: str
) -> None:
    agent = ObservedAgent()
    break_it(agent)
    for report in (Health(agent.source()).healthy(), Health(agent.source()).ready()):
        assert not report.ok
        assert any(check.name == part and not check.ok and reason in check.detail for check in report.checks)
        assert reason in report.problems


AWAY: list[tuple[str, Callable[[ObservedAgent], None], str]] = [
    (
        "broker",
        lambda one: setattr(one, "broker", BrokerState(False, "Connection refused", 0)),
        "Connection refused",
    ),
    ("broker", lambda one: setattr(one, "broker", BrokerState(False, None, 0)), "not connected"),
    (
        "storage",
        lambda one: setattr(one, "pipeline", pipeline_state(storage_wait="the disk is full")),
        "the agent waits for it: the disk is full",
    ),
    ("storage", lambda one: setattr(one, "outbox", StorageError("no such table")), "no such table"),
    (
        "storage",
        lambda one: setattr(one, "database_file", Path("/nowhere/history.db")),
        "/nowhere/history.db is gone",
    ),
    ("models", lambda one: setattr(one, "models", "clip is not there"), "clip is not there"),
    (
        "disk",
        lambda one: setattr(one, "disks", [DiskState("media", 5_000_000, 100_000_000, 10_000_000)]),
        "5 MB are free for media, 10 MB should be",
    ),
    ("disk", lambda one: setattr(one, "disks", OSError("stale handle")), "cannot be checked (OSError)"),
]


@pytest.mark.parametrize(("part", "break_it", "reason"), AWAY)
def test_what_a_restart_would_not_mend_is_healthy_and_not_ready(
    part: str, break_it: Callable[[ObservedAgent], None], reason: str
) -> None:
    agent = ObservedAgent()
    break_it(agent)
    health = Health(agent.source())
    assert health.healthy().ok
    report = health.ready()
    assert [check.name for check in report.checks if not check.ok] == [part]
    assert reason in report.problems


def test_a_long_piece_of_work_within_the_limit_is_healthy() -> None:
    agent = ObservedAgent(pipeline=pipeline_state(stage("inspect", busy_s=599.0)))
    assert Health(agent.source()).healthy().ok


def test_a_check_that_cannot_be_made_is_counted() -> None:
    agent = ObservedAgent(disks=ValueError("secret detail"))
    report = Health(agent.source()).ready()
    assert not report.ok
    assert "secret detail" not in report.problems
    assert agent.counters.get("health_checks_failed") == 1
