"""SqlOnboardingClaims: one agent onboards a product, until its lease ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from agent.ports import OnboardingState
from storage import Database, SqlOnboardingClaims
from tests.storage.examples import NOON

LEASE_S = 60.0
SOON, LATER = NOON + timedelta(seconds=59), NOON + timedelta(seconds=60)


def test_a_new_product_is_claimed_once(claims: SqlOnboardingClaims) -> None:
    assert claims.record("bolt") is None
    assert claims.claim("bolt", "cell-1", LEASE_S, NOON)
    assert not claims.claim("bolt", "cell-2", LEASE_S, SOON)
    assert not claims.claim("bolt", "cell-1", LEASE_S, SOON), "nor by a second process of the same name"
    assert claims.claim("nut", "cell-2", LEASE_S, NOON)
    record = claims.record("bolt")
    assert record is not None
    assert (record.state, record.claimed_by, record.attempts) == (OnboardingState.CLAIMED, "cell-1", 1)
    assert (record.claimed_until, record.updated_at) == (NOON + timedelta(seconds=LEASE_S), NOON)


@pytest.mark.slow
def test_of_many_agents_one_claims(database_url: str) -> None:
    start = threading.Barrier(8)

    def claim(number: int) -> bool:
        with Database(database_url) as database:
            claims = SqlOnboardingClaims(database)
            start.wait()
            return claims.claim("bolt", f"cell-{number}", LEASE_S, NOON)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(8))) == [False] * 7 + [True]
    # The same race for a lease that has ended.
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: _claim_at(database_url, number), range(8)))
    assert sorted(taken) == [False] * 7 + [True]
    with Database(database_url) as database:
        record = SqlOnboardingClaims(database).record("bolt")
    assert record is not None
    assert record.attempts == 2
    assert record.claimed_by == f"later-{taken.index(True)}"


def _claim_at(url: str, number: int) -> bool:
    with Database(url) as database:
        return SqlOnboardingClaims(database).claim("bolt", f"later-{number}", LEASE_S, LATER)


@pytest.mark.slow
def test_of_two_processes_one_claims_each_product(database_url: str) -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from storage import Database, SqlOnboardingClaims\n"
        "claims = SqlOnboardingClaims(Database(sys.argv[1])); print('ready', flush=True); sys.stdin.read(1)\n"
        "now = datetime(2026, 11, 20, tzinfo=UTC)\n"
        "print([claims.claim(f'sku-{n}', sys.argv[2], 60.0, now) for n in range(25)])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, database_url, f"cell-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip("[]\n").split(", ") for process in processes]
    assert [sorted(pair) for pair in zip(*answers, strict=True)] == [["False", "True"]] * 25


def test_an_agent_that_starts_again_takes_back_its_own_claims_alone(claims: SqlOnboardingClaims) -> None:
    for sku, agent in (("nut", "cell-1"), ("bolt", "cell-1"), ("washer", "cell-2"), ("pin", "cell-1")):
        assert claims.claim(sku, agent, LEASE_S, NOON)
    assert claims.finish("pin", "cell-1", OnboardingState.DONE, NOON)
    assert claims.take_back("cell-1", SOON) == ["bolt", "nut"]
    assert claims.due(SOON) == ["bolt", "nut"]
    assert claims.take_back("cell-1", SOON) == []
    assert claims.claim("bolt", "cell-1", LEASE_S, SOON)
    assert not claims.claim("washer", "cell-1", LEASE_S, SOON)


def test_a_lease_that_was_renewed_holds_and_one_that_ended_is_taken_over(claims: SqlOnboardingClaims) -> None:
    claims.claim("bolt", "cell-1", LEASE_S, NOON)
    assert claims.renew("bolt", "cell-1", LEASE_S, SOON)
    assert not claims.claim("bolt", "cell-2", LEASE_S, LATER)
    assert claims.due(LATER) == []

    long_after = NOON + timedelta(hours=1)
    assert claims.due(long_after) == ["bolt"]
    assert claims.claim("bolt", "cell-2", LEASE_S, long_after)
    assert not claims.renew("bolt", "cell-1", LEASE_S, long_after), "whoever lost the claim learns it"
    assert not claims.finish("bolt", "cell-1", OnboardingState.DONE, long_after)
    record = claims.record("bolt")
    assert record is not None
    assert (record.claimed_by, record.attempts) == ("cell-2", 2)


def test_what_is_done_stays_done(claims: SqlOnboardingClaims) -> None:
    claims.claim("bolt", "cell-1", LEASE_S, NOON)
    assert claims.finish("bolt", "cell-1", OnboardingState.DONE, SOON)
    assert not claims.finish("bolt", "cell-1", OnboardingState.FAILED, SOON), "a claim ends once"
    assert not claims.claim("bolt", "cell-2", LEASE_S, NOON + timedelta(days=400))
    assert claims.due(NOON + timedelta(days=400)) == []


@pytest.mark.parametrize("state", [OnboardingState.DONE, OnboardingState.FAILED, OnboardingState.WAITING])
def test_a_next_attempt_waits_for_its_time(claims: SqlOnboardingClaims, state: OnboardingState) -> None:
    claims.claim("bolt", "cell-1", LEASE_S, NOON)
    again = NOON + timedelta(minutes=10)
    assert claims.finish("bolt", "cell-1", state, NOON, reason="Ollama is away", next_attempt_at=again)
    record = claims.record("bolt")
    assert record is not None
    assert (record.state, record.reason, record.next_attempt_at) == (state, "Ollama is away", again)
    assert (record.claimed_by, record.claimed_until) == (None, None)
    before = again - timedelta(microseconds=1)
    assert not claims.claim("bolt", "cell-2", LEASE_S, before)
    assert claims.due(before) == []
    assert claims.due(again) == ["bolt"]
    assert claims.claim("bolt", "cell-2", LEASE_S, again)


def test_onboarding_can_be_asked_for_again(claims: SqlOnboardingClaims) -> None:
    claims.request("bolt", NOON, "a person described it")
    claims.request("nut", NOON - timedelta(seconds=1))
    assert claims.due(NOON) == ["nut", "bolt"]
    assert claims.claim("bolt", "cell-1", LEASE_S, NOON)
    claims.request("bolt", SOON)
    assert not claims.claim("bolt", "cell-2", LEASE_S, SOON), "a claim that holds is left alone"
    assert claims.finish("bolt", "cell-1", OnboardingState.FAILED, SOON, reason="no words")
    assert claims.due(LATER) == ["nut"]
    claims.request("bolt", LATER)
    assert claims.claim("bolt", "cell-2", LEASE_S, LATER)
    record = claims.record("bolt")
    assert record is not None
    assert record.attempts == 2


def test_a_claim_does_not_end_as_a_claim(claims: SqlOnboardingClaims) -> None:
    claims.claim("bolt", "cell-1", LEASE_S, NOON)
    with pytest.raises(ValueError, match="waiting, done or failed"):
        claims.finish("bolt", "cell-1", OnboardingState.CLAIMED, NOON)


def test_waiting_without_a_time_is_due_at_once(claims: SqlOnboardingClaims) -> None:
    claims.claim("bolt", "cell-1", LEASE_S, NOON)
    assert claims.finish("bolt", "cell-1", OnboardingState.WAITING, NOON, reason="the agent was stopped")
    assert claims.claim("bolt", "cell-2", LEASE_S, NOON)
