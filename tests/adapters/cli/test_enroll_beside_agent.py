"""``sightline enroll`` beside a running agent: frames that come meanwhile make no version of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.cli.commands import application
from agent.app.agent import Agent
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.inference.inspector import Inspector
from agent.methods.prepared import Groups
from config import Settings, load
from tests.adapters.cli.conftest import CommandLine, QuickApplication
from tests.adapters.cli.pixel_method import PixelMethod, PixelPrepared
from tests.fixtures.mosquitto import Mosquitto
from tests.support.factory import wait_until

pytestmark = pytest.mark.system

Gears = Callable[[str, int], Path]


class Interrupted(QuickApplication):
    """Calls ``meanwhile`` while references are being enrolled."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def inspector(self, settings: Settings) -> Inspector:
        meanwhile = self._meanwhile

        class Method(PixelMethod):
            def prepare(
                self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()
            ) -> PixelPrepared:
                if len(references) == 9:
                    meanwhile()
                return super().prepare(recipe, references)

        return Inspector(Method())


@pytest.fixture
def options(mosquitto: Mosquitto) -> list[str]:
    """The configuration of agent and commands."""
    name = f"site-{uuid.uuid4().hex[:8]}"
    keys = {
        "agent.site": name,
        "agent.id": name,
        "broker.url": mosquitto.url,
        "metrics.port": "0",
        "ollama.enabled": "false",
    }
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def agent(sightline: CommandLine, options: list[str]) -> Iterator[Agent]:
    """A running agent in the folder of the command line."""
    agent = QuickApplication().agent(load(overrides=options[1::2], environ={}).settings)
    agent.start()
    yield agent
    agent.stop()


def versions(agent: Agent) -> list[tuple[int, str]]:
    return [(row.version, row.origin) for row in agent.store.book.listing("GR-1")]


def inspections(agent: Agent) -> list[dict[str, Any]]:
    query = "SELECT verdict, recipe_version, reason FROM inspection_history ORDER BY inspected_at"
    return [dict(row) for row in agent.store.query(query)]


def publish(sightline: CommandLine, options: list[str], images: Path) -> None:
    sightline("camera", "--source", str(images), "--camera", "l/c", "--sku", "GR-1", *options)


def settled(agent: Agent) -> None:
    """What the frames so far asked of onboarding is done."""
    assert agent._pipeline is not None
    agent._pipeline._parts.onboarding.wait(20.0)


def test_the_first_frame_comes_while_its_product_is_enrolled(
    sightline: CommandLine, agent: Agent, gears: Gears, options: list[str]
) -> None:
    good, first, second = gears("good", 9), gears("first", 1), gears("second", 2)

    def meanwhile() -> None:
        publish(sightline, options, first)
        wait_until(lambda: len(inspections(agent)) == 1, "the first verdict")
        settled(agent)
        assert versions(agent) == []

    command = ["enroll", "--sku", "GR-1", "--name", "gear", "--references", str(good), *options]
    done = CliRunner().invoke(application(), command, obj=Interrupted(meanwhile))
    assert done.exit_code == 0, done.output
    assert "recipe version 1 with 9 references" in done.stdout
    settled(agent)
    (second / "000.jpg").unlink()
    publish(sightline, options, second)
    wait_until(lambda: len(inspections(agent)) == 2, "the second verdict")
    before, after = inspections(agent)
    assert (before["verdict"], before["recipe_version"]) == ("REVIEW", 0)
    assert after["recipe_version"] == 1
    assert versions(agent) == [(1, "enrollment")]
    assert agent.store.book.active_version("GR-1") == 1
    assert agent.store.claims.record("GR-1") is None


def test_an_enrollment_that_fails_leaves_the_product_to_the_agent(
    sightline: CommandLine, agent: Agent, gears: Gears, options: list[str]
) -> None:
    def meanwhile() -> None:
        publish(sightline, options, first)
        wait_until(lambda: len(inspections(agent)) == 1, "the first verdict")
        settled(agent)
        raise ValueError("the memory is full")

    good, first = gears("good", 9), gears("first", 1)
    command = ["enroll", "--sku", "GR-1", "--references", str(good), *options]
    assert CliRunner().invoke(application(), command, obj=Interrupted(meanwhile)).exit_code != 0
    assert agent.store.claims.record("GR-1") is None
    assert agent._pipeline is not None
    onboarding = agent._pipeline._parts.onboarding
    for _ in range(2):  # as the schedule does; what it finds twice is no other agent's work under way
        onboarding._make_missing_recipes()
    settled(agent)
    assert versions(agent) == [(1, "template")]
