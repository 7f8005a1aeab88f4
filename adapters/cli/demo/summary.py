"""The arithmetic of the summary: what was published against what came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

TRUTHS = ("good", "defective")
JUDGEMENTS = ("PASS", "FAIL", "REVIEW")

Key = tuple[str, str]
"""A frame: (line/camera, frame id)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One frame of the demonstration with its truth and what the agent said of it."""

    sku: str
    truth: str
    verdict: str
    score: float | None
    calibrated: bool
    shots: int
    infer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Whether every frame came back exactly once, as a row and as a message."""

    lost: int
    """Published frames without a row or without a verdict message."""
    duplicated: int
    """Rows and verdict messages beyond the first of each frame, and those of frames nobody published."""


def tally(published: Iterable[Key], rows: Iterable[Key], messages: Iterable[Key]) -> Tally:
    """Compare what was published with what the history and the subscriber have."""
    sent, stored, heard = set(published), Counter(rows), Counter(messages)
    lost = sum(1 for key in sent if not stored[key] or not heard[key])
    extra = sum(
        count - (1 if key in sent else 0) for found in (stored, heard) for key, count in found.items()
    )
    return Tally(lost, extra)


def auroc(truths: Sequence[str], scores: Sequence[float]) -> float | None:
    """Area under the ROC curve of defective against good; None where one of them is missing."""
    if len(set(truths)) < 2:
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([truth == "defective" for truth in truths], scores))


def auroc_by_sku(judged: Iterable[Judged], *, few_shot: bool) -> dict[str, float]:
    """Of each SKU that was judged with references (``few_shot``) or without any."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        if (one.shots > 0) == few_shot and one.score is not None:
            groups.setdefault(one.sku, []).append(one)
    areas = {
        sku: auroc([one.truth for one in group], [one.score or 0.0 for one in group])
        for sku, group in groups.items()
    }
    return {sku: area for sku, area in sorted(areas.items()) if area is not None}


def mean_or_none(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    numbers = list(values)
    return fmean(numbers) if numbers else None


def confusion(judged: Iterable[Judged]) -> dict[str, dict[str, int]]:
    """Truth -> verdict -> count, over frames of calibrated recipes; ERROR stands beside where it occurs."""
    counts = Counter((one.truth, one.verdict) for one in judged if one.calibrated)
    verdicts = [*JUDGEMENTS, *sorted({verdict for _, verdict in counts} - set(JUDGEMENTS))]
    return {truth: {verdict: counts[truth, verdict] for verdict in verdicts} for truth in TRUTHS}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The ``share`` (0 to 1) quantile, linearly interpolated; None of nothing."""
    return float(np.quantile(np.asarray(values), share)) if len(values) else None


def rounded(value: Any, digits: int = 4) -> Any:
    """All floats in a structure rounded, so that the file reads well."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner, digits) for inner in value]
    return value


def summarise(
    judged: Sequence[Judged],
    counted: Tally,
    *,
    frames: int,
    messages: int,
    recipes: int,
    seconds: float,
    latencies_ms: Sequence[float],
    prompt_sources: Iterable[str],
) -> dict[str, Any]:
    """The contract of ``summary.json`` (DESIGN section 4), with what explains it beside."""
    zero, few = auroc_by_sku(judged, few_shot=False), auroc_by_sku(judged, few_shot=True)
    infer = mean_or_none(one.infer_ms for one in judged)
    return {
        "frames": frames,
        "verdicts": messages,
        "lost": counted.lost,
        "duplicated": counted.duplicated,
        "skus": len({one.sku for one in judged}),
        "recipes": recipes,
        "auroc": {"zero_shot": mean_or_none(zero.values()), "few_shot": mean_or_none(few.values())},
        "confusion": confusion(judged),
        "fps": frames / seconds if seconds > 0 else None,
        "latency_ms": {"p50": percentile(latencies_ms, 0.5), "p95": percentile(latencies_ms, 0.95)},
        "prompt_source": "+".join(sorted(set(prompt_sources))),
        "auroc_by_sku": {"zero_shot": zero, "few_shot": few},
        "verdict_counts": dict(sorted(Counter(one.verdict for one in judged).items())),
        "defective": sum(one.truth == "defective" for one in judged),
        "infer_ms_per_frame": infer,
        "seconds": seconds,
    }
