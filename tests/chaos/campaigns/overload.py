"""Ten times what the model follows: frames wait at the broker, or only the newest is judged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from tests.chaos.databases import Kind
from tests.chaos.judge import judge
from tests.chaos.messages import frames
from tests.chaos.plant import Plant
from tests.chaos.producer import Producer
from tests.chaos.result import Result

TIMES = 10
SAMPLE_S = 0.5


def overload(
    folder: Path,
    *,
    mode: Literal["wait", "latest"] = "wait",
    database: Kind = "sqlite",
    frames_: int = 4000,
    cost_ms: float = 50.0,
    growth: float = 0.03,
    seed: int = 1,
) -> Result:
    """Publish at ten times the rate that ``cost_ms`` a frame allows; memory may grow by ``growth``."""
    rate_hz = TIMES * 1000.0 / cost_ms
    parameters = {"overload": mode, "database": database, "frames": frames_, "rate, 1/s": rate_hz}
    result = Result(
        f"overload, {mode}", {**parameters, "seed": seed, "method": f"null, {cost_ms:g} ms a frame"}
    )
    inspection = {"null_cost_ms": cost_ms, "overload": mode}
    with Plant(folder, database, persistence=False, inspection=inspection) as plant:
        plant.start_agent()
        warm = frames_ // 10
        with Producer(plant.broker.url, frames(frames_, seed), limit=warm, rate_hz=rate_hz) as producer:
            done = _watch(plant, warm, [])
            resident = [plant.agent.resident_kb]
            producer.allow(None)
            start = time.monotonic()
            producer.wait_acknowledged(frames_, 60 + frames_ / rate_hz)
            result.figures["frames published per second"] = round(
                (frames_ - warm) / (time.monotonic() - start), 1
            )
            done = done and _watch(plant, frames_, resident)
            result.check("the camera got rid of all its frames", producer.done)
            result.check("all of it was worked off", done)
            result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
            plant.wait_delivered(plant.rows())
            rows = judge(result, plant.database.url, producer.acknowledged, plant.customer)
        grown = max(resident) / max(1, resident[0]) - 1
        result.figures |= {
            "skipped": len(rows.skipped),
            "judged": rows.count - len(rows.skipped),
            "resident memory before and at most, MB": [round(resident[0] / 1000, 1), max(resident) / 1000],
            "growth of memory": round(grown, 4),
        }
        as_asked = 0 < len(rows.skipped) < rows.count if mode == "latest" else not rows.skipped
        result.check("skipped frames have rows" if mode == "latest" else "nothing is skipped", as_asked)
        result.check(f"memory grows by less than {growth:.0%}", grown < growth)
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()


def _watch(plant: Plant, count: int, resident: list[int]) -> bool:
    """Wait until there are ``count`` rows, looking at the memory; False once none comes for long."""
    known, last = -1, time.monotonic()
    while known < count:
        time.sleep(SAMPLE_S)
        resident.append(plant.agent.resident_kb)
        now = plant.rows()
        if now != known:
            known, last = now, time.monotonic()
        if time.monotonic() - last > 60 or not plant.agent.alive:
            return False
    return True
