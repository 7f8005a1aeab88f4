"""Limits of time: a 7B model on a CPU finishes, a hopeless one is given up within budget and lease."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ollama import OllamaOptions, OllamaWriter
from adapters.ollama.client import Reply
from adapters.ollama.experience import SHORTEST_S, Experience
from agent.domain.errors import WriterError
from agent.domain.prompts import COMMON_DEFECTS
from agent.onboarding import OnboardingOptions
from agent.ports import Description
from config import Settings
from tests.adapters.ollama.conftest import GEAR
from tests.support.slow_machine import Answer, Chatter, SlowMachine, diligent

LEASE_S = OnboardingOptions().lease_s


def described(machine: SlowMachine, options: OllamaOptions) -> Description:
    return OllamaWriter(options, client=machine, clock=machine.clock, count=len).describe(GEAR)


def a_machine(
    reads: float, writes: float, *, load_s: float = 90.0, answer: Answer = diligent, **options: float
) -> tuple[SlowMachine, OllamaOptions]:
    chosen = OllamaOptions(**options)  # type: ignore[arg-type]
    return SlowMachine(chosen, reads, writes, load_s, answer), chosen


@pytest.mark.parametrize(
    ("reads", "writes", "answer"),
    [(15, 4, diligent), (15, 4, Chatter()), (8, 2, diligent), (25, 7, Chatter()), (500, 60, diligent)],
    ids=["cpu", "cpu, chatty", "half a cpu", "good cpu, chatty", "gpu"],
)
def test_a_model_on_a_cpu_finishes(reads: float, writes: float, answer: Answer) -> None:
    machine, options = a_machine(reads, writes, answer=answer)
    found = described(machine, options)
    assert all(question.in_time for question in machine.questions)
    assert [(q.key, q.count) for q in machine.questions] == [("nouns", 4), ("normal", 8), ("defects", 6)]
    assert min(len(found.prompts.normal), len(found.prompts.anomalous)) >= 8
    assert len(found.prompts.defects) >= 6
    assert machine.now < options.load_timeout_s + options.budget_s < LEASE_S


def test_after_a_timeout_fewer_texts_are_asked_for() -> None:
    machine, options = a_machine(15, 4, timeout_s=75)
    found = described(machine, options)
    asked = [(q.key, q.count, q.in_time) for q in machine.questions]
    assert asked == [("nouns", 4, True), ("normal", 8, False), ("normal", 5, True), ("defects", 4, True)]
    assert len(found.prompts.normal) == 5
    assert any("did not answer" in note or "no answer within" in note for note in found.notes)


def test_if_time_is_short_fewer_texts_are_asked_for() -> None:
    machine, options = a_machine(15, 4, budget_s=190)
    described(machine, options)
    assert [(q.key, q.count) for q in machine.questions] == [("nouns", 4), ("normal", 8), ("defects", 4)]


@pytest.mark.parametrize(("reads", "writes"), [(3, 0.8), (1, 0.1), (0.1, 0.1)])
def test_a_model_that_is_too_slow_is_given_up_before_another_agent_takes_over(
    reads: float, writes: float
) -> None:
    machine, options = a_machine(reads, writes, load_s=170)
    with contextlib.suppress(WriterError):
        assert described(machine, options).prompts.defects == COMMON_DEFECTS
    assert machine.now < LEASE_S


def test_a_model_that_does_not_load_is_not_asked() -> None:
    machine, options = a_machine(15, 4, load_s=1000)
    with pytest.raises(WriterError, match="not loaded in time"):
        described(machine, options)
    assert machine.questions == []


def test_a_server_that_was_quick_is_given_up_early() -> None:
    known = Experience()
    assert known.limit_s(300, 300, 300) == pytest.approx(2.5 * (20 + 75))
    known.observe(Reply("", None, False, read=(300, 0.5), written=(200, 4.0)))
    assert (known.reads_per_s, known.writes_per_s) == (600, 50)
    assert known.limit_s(300, 300, 300) == SHORTEST_S
    known.observe(Reply("", None, False, read=(300, 20.0), written=(3, 0.001)))
    assert (known.reads_per_s, known.writes_per_s) == (15, 50), "the slowest counts, and three words are none"


def test_a_longer_timeout_stretches_all_limits() -> None:
    assert Experience().limit_s(300, 300, 900) == pytest.approx(3 * Experience().limit_s(300, 300, 300))


@given(
    lease_s=st.floats(1, 100_000), load_s=st.floats(0.1, 10_000), budget_s=st.floats(0.1, 10_000)
)  # fmt: skip
def test_loading_and_budget_stay_below_the_lease(lease_s: float, load_s: float, budget_s: float) -> None:
    settings = Settings.model_validate({"ollama": {"load_timeout_s": load_s, "budget_s": budget_s}}).ollama
    options = OllamaOptions.of(settings, lease_s=lease_s)
    assert 0 < options.load_timeout_s + options.budget_s < lease_s
    assert options.load_timeout_s <= load_s
    assert options.budget_s <= budget_s
