"""What the demonstration leaves behind: summary, overlays, contact sheet."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.cli.composition import Store
from adapters.cli.demo.factory import Production
from adapters.cli.demo.plan import Plan, Shot
from adapters.cli.demo.sheet import Card, contact_sheet
from adapters.cli.demo.summary import Judged, Key, rounded, summarise, tally
from agent import __version__
from agent.ports import MediaStore

Row = Mapping[str, Any]

_OWN = ("history.db", "history.db-wal", "history.db-shm", "summary.json", "contact_sheet.png")
_OWN_FOLDERS = ("media", "overlays")
_ROWS = """
SELECT line, camera, frame_id, sku, verdict, reason, score, threshold, calibrated, shots, prompt_source,
       infer_ms, defect_labels, overlay_path
FROM inspection_history
"""
_CARDS = (
    ("FAIL", "defective", True, 4),
    ("PASS", "good", True, 2),
    ("REVIEW", "defective", False, 2),
)
"""Verdict, truth, calibrated, how many of them on the contact sheet."""


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
    """The content of ``summary.json``."""
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
        tally(production.shots, [key for key, _ in rows], [heard.key for heard in production.heard]),
        frames=len(production.shots),
        messages=len(production.heard),
        recipes=recipes,
        seconds=production.seconds,
        latencies_ms=[heard.latency_ms for heard in production.heard],
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
    """``line-1-top-GR-2041-0007-FAIL.jpg``; nothing in it that a file system could mind."""
    return re.sub(r"[^\w.-]+", "_", f"{line}-{camera}-{shot.sku}-{shot.index:04d}-{verdict}.jpg")


def choose_cards(shots: Mapping[Key, Shot], rows: Sequence[tuple[Key, Row]], media: MediaStore) -> list[Card]:
    """Some of each kind, the products taking turns, the larger scores first among the defective."""
    cards: list[Card] = []
    for verdict, truth, calibrated, count in _CARDS:
        fitting = [
            (shots[key], row)
            for key, row in rows
            if key in shots
            and row["verdict"] == verdict
            and shots[key].truth == truth
            and bool(row["calibrated"]) == calibrated
            and (row["overlay_path"] or truth == "good")
        ]
        cards += [_card(shot, row, media) for shot, row in _taking_turns(fitting)[:count]]
    return cards


def _taking_turns(found: list[tuple[Shot, Row]]) -> list[tuple[Shot, Row]]:
    """The median score first of each SKU, then its neighbours: typical verdicts, not the best ones."""
    ranked = sorted(found, key=lambda one: one[1]["score"] or 0.0)
    places: dict[str, list[tuple[Shot, Row]]] = {}
    for one in ranked:
        places.setdefault(one[0].sku, []).append(one)
    queues = [sorted(group, key=lambda one, middle=group[len(group) // 2]: _distance(one, middle))  # type: ignore[misc]
              for group in places.values()]  # fmt: skip
    return [queue[turn] for turn in range(len(found)) for queue in queues if turn < len(queue)]


def _distance(one: tuple[Shot, Row], other: tuple[Shot, Row]) -> float:
    return abs((one[1]["score"] or 0.0) - (other[1]["score"] or 0.0))


def _card(shot: Shot, row: Row, media: MediaStore) -> Card:
    threshold = f" / threshold {row['threshold']:.3f}" if row["threshold"] is not None else ""
    score = f"score {row['score']:.3f}{threshold}" if row["score"] is not None else ""
    truth = f"true: {shot.defect}" if shot.defect else "true: good"
    return Card(
        title=f"{shot.sku} #{shot.index:04d}",
        verdict=str(row["verdict"]),
        note=f"{truth}   {score}",
        frame=shot.encoded,
        truth=shot.mask,
        overlay=media.get(row["overlay_path"]) if row["overlay_path"] else None,
    )
