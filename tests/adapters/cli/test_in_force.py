"""Commands that activate a version return when running agents judge by it; so the next frame does."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.cli.in_force import RunningAgents
from agent.app import Application
from agent.app.agent import Agent
from agent.app.store import Store
from agent.domain.errors import RecipeError
from agent.domain.events import AGENT_STARTED
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


class SlowMethod(PixelMethod):
    """Prepares recipes with references only while a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_prepare = threading.Event()
        self.may_prepare.set()
        self.refusal: Exception | None = None

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> PixelPrepared:
        if references:
            assert self.may_prepare.wait(60.0)
            if self.refusal is not None:
                raise self.refusal
        return super().prepare(recipe, references, groups)


class SlowApplication(Application):
    def __init__(self, method: SlowMethod) -> None:
        self._method = method

    def inspector(self, settings: Settings) -> Inspector:
        return Inspector(self._method)


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
def method() -> SlowMethod:
    return SlowMethod()


@pytest.fixture
def agent(sightline: CommandLine, options: list[str], method: SlowMethod) -> Iterator[Agent]:
    """A running agent in the folder of the command line."""
    agent = SlowApplication(method).agent(load(overrides=options[1::2], environ={}).settings)
    agent.start()
    wait_until(lambda: AGENT_STARTED in kinds(agent.store), "the event of the start")
    yield agent
    method.may_prepare.set()
    agent.stop()


def kinds(store: Store) -> list[str]:
    return [str(row["kind"]) for row in store.query("SELECT kind FROM event ORDER BY id")]


def inspections(agent: Agent) -> list[dict[str, Any]]:
    query = "SELECT verdict, recipe_version, threshold FROM inspection_history ORDER BY inspected_at"
    return [dict(row) for row in agent.store.query(query)]


def test_the_next_frame_is_judged_by_what_a_command_activated(
    sightline: CommandLine, agent: Agent, gears: Gears, options: list[str]
) -> None:
    """The promise of README, with a real agent, broker and database: no command is followed by a frame that
    an older version judges."""
    one = gears("one", 1)
    judged: list[int] = []

    def next_frame() -> dict[str, Any]:
        judged.append(len(judged) + 1)
        (one / f"{len(judged) - 1:03d}.jpg").rename(one / f"{len(judged):03d}.jpg")  # another frame id
        sightline("camera", "--source", str(one), "--camera", "l/c", "--sku", "GR-1", *options)
        wait_until(lambda: len(inspections(agent)) == len(judged), "the verdict")
        return inspections(agent)[-1]

    name = options[3].removeprefix("agent.id=")
    done = sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 9)), *options)
    assert f"in force on {name}" in done.stderr.replace("\n", " ")
    assert next_frame()["recipe_version"] == 1
    done = sightline("recipe", "threshold", "GR-1", "7.5", *options)
    assert f"in force on {name}" in done.stderr.replace("\n", " ")
    row = next_frame()
    assert (row["recipe_version"], row["threshold"]) == (2, 7.5)
    sightline("recipe", "activate", "GR-1", "1", *options)
    assert next_frame()["recipe_version"] == 1
    file = sightline.folder / "recipe.yaml"
    sightline("recipe", "export", "GR-1", "--out", str(file), *options)
    file.write_text(file.read_text().replace("noun: object", "noun: gear"))
    sightline("recipe", "import", str(file), *options)
    assert next_frame()["recipe_version"] == 3
    answers = [row for row in agent.store.query("SELECT * FROM event") if row["kind"] == "recipe-in-force"]
    assert len(answers) == 4, "one for each command"


def test_a_version_that_was_active_is_waited_for_by_nobody(
    sightline: CommandLine, agent: Agent, gears: Gears, options: list[str]
) -> None:
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 9)), *options)
    done = sightline("recipe", "activate", "GR-1", "1", *options)
    assert "in force" not in done.stderr


def test_an_agent_that_still_prepares_is_named_after_a_while(
    sightline: CommandLine, agent: Agent, method: SlowMethod, gears: Gears, options: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 9)), *options)
    recipe = agent.store.book.active("GR-1")
    assert recipe is not None
    method.may_prepare.clear()
    agents = RunningAgents(agent.store)
    agent.store.book.add(recipe)
    agents.wait("GR-1", within_s=0.0)
    assert "did not answer within 0 s" in capsys.readouterr().err.replace("\n", " ")
    method.may_prepare.set()
    agents.wait("GR-1")
    assert "in force on" in capsys.readouterr().err


def test_a_version_that_the_agent_cannot_use_is_named_with_the_reason(
    sightline: CommandLine, agent: Agent, method: SlowMethod, gears: Gears, options: list[str]
) -> None:
    sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 9)), *options)
    method.refusal = RecipeError("this parameter is wrong")
    done = sightline("recipe", "threshold", "GR-1", "7.5", *options)
    assert "this parameter is wrong" in done.stderr.replace("\n", " ")


def test_an_agent_that_stopped_is_not_waited_for(
    sightline: CommandLine, options: list[str], gears: Gears
) -> None:
    agent = QuickApplication().agent(load(overrides=options[1::2], environ={}).settings)
    agent.start()
    agent.stop()
    done = sightline("enroll", "--sku", "GR-1", "--references", str(gears("good", 9)), *options)
    assert "did not answer" not in done.stderr
    with QuickApplication().store(load(overrides=options[1::2], environ={}).settings) as store:
        lives = [kind for kind in kinds(store) if kind.startswith("agent-")]
    assert lives == ["agent-started", "agent-stopped"]
