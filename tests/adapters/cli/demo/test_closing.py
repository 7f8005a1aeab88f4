"""show_summary: the last screen of ``sightline demo``."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from adapters.cli.demo.closing import REAL_WEIGHTS, show_summary
from adapters.cli.models import needs_of
from adapters.models.weights.catalogue import find
from config import load

SUMMARY = {
    "frames": 24, "verdicts": 24, "lost": 0, "duplicated": 0, "skus": 3, "recipes": 4, "seconds": 9.0,
    "confusion": {"good": {"PASS": 12, "FAIL": 0}, "defective": {"PASS": 1, "FAIL": 11}},
    "auroc": {"few_shot": 0.97, "zero_shot": None},
    "auroc_by_sku": {"few_shot": {"A": 0.97}, "zero_shot": {}},
    "latency_ms": {"p50": 40.0, "p95": 90.0}, "fps": 12.0, "infer_ms_per_frame": 30.0,
    "prompt_source": "template",
}  # fmt: skip


def test_the_summary_ends_with_the_step_beyond_the_bundled_model() -> None:
    shown = io.StringIO()
    show_summary(Console(file=shown, width=100), SUMMARY, Path("var/demo"), "sqlite:///var/demo/history.db")
    last = shown.getvalue().strip().splitlines()[-1]
    assert last.startswith(
        "Real weights, 88 MB: sightline models pull --profile edge, then sightline run --profile edge"
    )
    needed = {model.name for model in map(find, needs_of(load(profile="edge").settings)) if model}
    assert REAL_WEIGHTS in needed
    assert [find(name).size // 1_000_000 for name in needed if not find(name).bundled] == [88]  # type: ignore[union-attr]
