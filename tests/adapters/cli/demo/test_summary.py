"""The summary of ``sightline demo``: its arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.demo.report import (
    Judged,
    Tally,
    auroc_by_sku,
    confusion,
    percentile,
    rounded,
    summarise,
    tally,
)

KEYS = st.tuples(st.sampled_from(["line-1/top", "line-2/top"]), st.integers(0, 30).map(str))


def judged(truth: str, verdict: str, score: float, *, sku: str = "A", shots: int = 12) -> Judged:
    return Judged(sku, truth, verdict, score, calibrated=shots > 0, shots=shots, infer_ms=20.0)


@given(st.sets(KEYS))
def test_each_frame_once_is_neither_lost_nor_duplicated(keys: set[tuple[str, str]]) -> None:
    assert tally(keys, list(keys), list(keys)) == Tally(0, 0)


@given(st.sets(KEYS, min_size=1), st.lists(KEYS), st.lists(KEYS))
def test_the_tally_balances(
    sent: set[tuple[str, str]], rows: list[tuple[str, str]], messages: list[tuple[str, str]]
) -> None:
    found = tally(sent, rows, messages)
    assert found.lost == len(sent - (set(rows) & set(messages)))
    assert found.duplicated == len(rows) + len(messages) - len(set(rows) & sent) - len(set(messages) & sent)


def test_a_frame_without_its_message_is_lost_and_a_second_message_is_a_duplicate() -> None:
    a, b = ("line-1/top", "1"), ("line-1/top", "2")
    assert tally([a, b], [a, b], [a, a]) == Tally(lost=1, duplicated=1)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_auroc_needs_both_truths(scores: list[float]) -> None:
    assert auroc_by_sku([judged("good", "PASS", score) for score in scores], few_shot=True) == {}


def test_auroc_is_reported_for_each_sku_by_whether_it_had_references() -> None:
    frames = [
        judged("good", "PASS", 0.1, sku="A"),
        judged("defective", "FAIL", 0.9, sku="A"),
        judged("good", "REVIEW", 0.9, sku="B", shots=0),
        judged("defective", "REVIEW", 0.1, sku="B", shots=0),
    ]
    assert auroc_by_sku(frames, few_shot=True) == {"A": 1.0}
    assert auroc_by_sku(frames, few_shot=False) == {"B": 0.0}


def test_confusion_counts_calibrated_recipes_only_and_keeps_errors() -> None:
    frames = [
        judged("good", "PASS", 0.1),
        judged("defective", "FAIL", 0.9),
        judged("defective", "ERROR", 0.0),
        judged("defective", "REVIEW", 0.4, shots=0),
    ]
    assert confusion(frames) == {
        "good": {"PASS": 1, "FAIL": 0, "REVIEW": 0, "ERROR": 0},
        "defective": {"PASS": 0, "FAIL": 1, "REVIEW": 0, "ERROR": 1},
    }


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_lies_within_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert min(values) <= found <= max(values) or found == pytest.approx(min(values))


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_rounding_reaches_every_depth() -> None:
    assert rounded({"a": [0.123456, {"b": 1.0 / 3}], "c": 3}) == {"a": [0.1235, {"b": 0.3333}], "c": 3}


def test_the_summary_has_the_keys_of_the_contract() -> None:
    frames = [judged("good", "PASS", 0.1), judged("defective", "FAIL", 0.9)]
    summary = summarise(
        frames,
        Tally(0, 0),
        frames=2,
        messages=2,
        recipes=1,
        seconds=4.0,
        latencies_ms=[10.0, 30.0],
        prompt_sources=["template", "template"],
    )
    contract = "frames verdicts lost duplicated skus recipes auroc confusion fps latency_ms prompt_source"
    assert list(summary)[:11] == contract.split()
    assert summary["auroc"] == {"zero_shot": None, "few_shot": 1.0}
    assert summary["fps"] == 0.5
    assert summary["latency_ms"] == {"p50": 20.0, "p95": pytest.approx(29.0)}
    assert summary["prompt_source"] == "template"
