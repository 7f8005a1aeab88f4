"""``build_summary`` and ``write_files``: what the demonstration leaves behind."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.cli.demo.factory import Production
from adapters.cli.demo.plan import Key, Plan, Shot
from adapters.cli.demo.sheet import Row, choose_cards, contact_sheet
from agent import __version__
from agent.calibration.proposal import auroc
from agent.ports import MediaStore

if TYPE_CHECKING:
    from agent.app.store import Store

TRUTHS = ("good", "defective")
JUDGEMENTS = ("PASS", "FAIL", "REVIEW")

_OWN = ("history.db", "history.db-wal", "history.db-shm", "summary.json", "contact_sheet.png")
_OWN_FOLDERS = ("media", "overlays")
_ROWS = """
SELECT line, camera, frame_id, sku, verdict, reason, score, threshold, calibrated, shots, prompt_source,
       infer_ms, defect_labels, overlay_path
FROM inspection_history
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """One frame of the demonstration with its truth and the agent's verdict."""

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
    """Rows and verdict messages beyond the first of each frame, and those of unpublished frames."""


def tally(published: Iterable[Key], rows: Iterable[Key], messages: Iterable[Key]) -> Tally:
    """Compare what was published with what the history and the subscriber have."""
    sent, stored, received = set(published), Counter(rows), Counter(messages)
    lost = sum(1 for key in sent if not stored[key] or not received[key])
    extra = sum(
        count - (1 if key in sent else 0) for found in (stored, received) for key, count in found.items()
    )
    return Tally(lost, extra)


def auroc_by_sku(judged: Iterable[Judged], *, few_shot: bool) -> dict[str, float]:
    """The AUROC of each SKU with both truths that was judged with references (``few_shot``) or without."""
    scores: dict[str, dict[str, list[float]]] = {}
    for one in judged:
        if (one.shots > 0) == few_shot and one.score is not None:
            scores.setdefault(one.sku, {truth: [] for truth in TRUTHS})[one.truth].append(one.score)
    areas = {sku: auroc(found["good"], found["defective"]) for sku, found in scores.items()}
    return {sku: area for sku, area in sorted(areas.items()) if area is not None}


def mean_or_none(values: Iterable[float]) -> float | None:
    """The mean; None of no values."""
    numbers = list(values)
    return fmean(numbers) if numbers else None


def confusion(judged: Iterable[Judged]) -> dict[str, dict[str, int]]:
    """Truth -> verdict -> count, over frames of calibrated recipes; ERROR is added if it occurs."""
    counts = Counter((one.truth, one.verdict) for one in judged if one.calibrated)
    verdicts = [*JUDGEMENTS, *sorted({verdict for _, verdict in counts} - set(JUDGEMENTS))]
    return {truth: {verdict: counts[truth, verdict] for verdict in verdicts} for truth in TRUTHS}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The ``share`` (0 to 1) quantile, linearly interpolated; None of no values."""
    return float(np.quantile(np.asarray(values), share)) if len(values) else None


def rounded(value: Any, digits: int = 4) -> Any:
    """All floats in a structure rounded, for people who read the file."""
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
    """The content of ``summary.json``; the keys up to ``prompt_source`` are a contract."""
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


def clear(folder: Path) -> None:
    """Remove what an earlier demonstration left in ``folder``, and nothing else."""
    for name in _OWN:
        (folder / name).unlink(missing_ok=True)
    for name in _OWN_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def read_rows(store: Store, production: Production) -> tuple[list[tuple[Key, Row]], int]:
    """The rows of this run's frames, and how many recipe versions there are."""
    prefixes = {frame_id.rpartition("-")[0] for _, frame_id in production.shots}
    rows = [
        ((f"{row['line']}/{row['camera']}", str(row["frame_id"])), row)
        for row in store.query(_ROWS)
        if str(row["frame_id"]).rpartition("-")[0] in prefixes
    ]
    return rows, int(store.query("SELECT COUNT(*) AS count FROM recipe")[0]["count"])


def build_summary(
    plan: Plan, production: Production, rows: Sequence[tuple[Key, Row]], recipes: int
) -> dict[str, Any]:
    first = dict(reversed(rows))
    judged = [
        Judged(
            sku=shot.sku,
            truth=shot.truth,
            verdict=str(first[key]["verdict"]),
            score=first[key]["score"],
            calibrated=bool(first[key]["calibrated"]),
            shots=first[key]["shots"] or 0,
            infer_ms=first[key]["infer_ms"] or 0.0,
        )
        for key, shot in production.shots.items()
        if key in first
    ]
    content = summarise(
        judged,
        tally(production.shots, [key for key, _ in rows], [message.key for message in production.received]),
        frames=len(production.shots),
        messages=len(production.received),
        recipes=recipes,
        seconds=production.seconds,
        latencies_ms=[message.latency_ms for message in production.received],
        prompt_sources=[row["prompt_source"] for row in first.values() if row["prompt_source"]],
    )
    content["products"] = {
        article.sku: {"family": article.family, "references": "enrolled" if article.enrolled else "none"}
        for article in plan.articles
    }
    content |= {"seed": plan.seed, "version": __version__, "machine": machine()}
    return dict(rounded(content))


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def write_files(
    folder: Path,
    summary: Mapping[str, Any],
    production: Production,
    rows: Sequence[tuple[Key, Row]],
    media: MediaStore,
) -> None:
    """``summary.json``, ``overlays/`` and ``contact_sheet.png``."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    overlays = folder / "overlays"
    overlays.mkdir(parents=True, exist_ok=True)
    for key, row in rows:
        shot = production.shots.get(key)
        if shot is not None and row["overlay_path"]:
            name = overlay_name(str(row["line"]), str(row["camera"]), shot, str(row["verdict"]))
            (overlays / name).write_bytes(media.get(row["overlay_path"]))
    cards = choose_cards(production.shots, rows, media)
    if cards:
        contact_sheet(cards, folder / "contact_sheet.png")


def overlay_name(line: str, camera: str, shot: Shot, verdict: str) -> str:
    """``line-1-top-GR-2041-0007-FAIL.jpg``; only characters that every file system accepts."""
    return re.sub(r"[^\w.-]+", "_", f"{line}-{camera}-{shot.sku}-{shot.index:04d}-{verdict}.jpg")
