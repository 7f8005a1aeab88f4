"""A long day: many frames at the agent's own pace, and whether memory and disk stay as computed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.databases import Kind
from tests.chaos.judge import judge
from tests.chaos.messages import Message, frames
from tests.chaos.plant import Plant
from tests.chaos.producer import Producer
from tests.chaos.result import Result

SIZE = 32
"""Side of the images in pixels."""
REPEAT_EVERY = 4
"""Each fourth frame shows the empty belt, always the same image."""
AHEAD = 400
"""How far the camera is ahead of the customer, at most: a camera in step with its production line."""
SAMPLES = 100
FIRST = 5000
"""From the first so many frames it is computed how large the database will be."""


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment."""

    frames: int
    at_s: float
    resident_kb: int
    database_bytes: int


def soak(
    folder: Path,
    *,
    database: Kind = "sqlite",
    frames_: int = 200_000,
    growth: float = 0.03,
    tolerance: float = 0.10,
    seed: int = 1,
) -> Result:
    """Judge ``frames_`` with the method null.

    Args:
        growth: by which share memory may grow from a tenth of the frames to the end.
        tolerance: by which share the size of the database may differ from that of the first frames (5,000,
            or half of them if that is less), extrapolated.
    """
    parameters = {"database": database, "frames": frames_, "repeated images": f"1 in {REPEAT_EVERY}"}
    result = Result("soak", {**parameters, "seed": seed, "method": "null"})
    with Plant(folder, database, persistence=False, inspection={"max_batch": 32}) as plant:
        plant.start_agent()
        before, threads = plant.database.size(), plant.agent.threads()
        ledger = _Ledger(frames(frames_, seed, size=SIZE, repeat_every=REPEAT_EVERY))
        with Producer(plant.broker.url, ledger, limit=AHEAD) as producer:
            samples = _watch(plant, producer, frames_)
            result.check("the camera got rid of all its frames", producer.done)
            after = plant.agent.threads()
            result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
            judge(result, plant.database.url, producer.acknowledged, plant.customer)
        if len(samples) < 2:
            result.check("the agent got beyond the first frames", False)
            result.notes.append(plant.agent.log_tail)
            return result.end()
        _check_memory(result, samples, growth)
        _check_database(result, samples, before, tolerance)
        stored = sum(file.stat().st_size for file in plant.media.rglob("*.jpg"))
        result.figures |= {"media bytes": stored, "media bytes computed": ledger.bytes}
        result.figures["frames per second"] = round(frames_ / samples[-1].at_s, 1)
        result.check("media: exactly the bytes of the different images", stored == ledger.bytes)
        result.check("the same threads before and after", set(threads) <= set(after))
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()


class _Ledger:
    """The frames, and the bytes of the different images among them."""

    def __init__(self, source: Iterator[Message]) -> None:
        self._source = source
        self._seen: set[int] = set()
        self.bytes = 0

    def __iter__(self) -> Iterator[Message]:
        for message in self._source:
            digest = hash(message.payload)
            if digest not in self._seen:
                self._seen.add(digest)
                self.bytes += len(message.payload)
            yield message


def _watch(plant: Plant, producer: Producer, count: int) -> list[Sample]:
    """Keep the camera in step with the customer, and look in ``SAMPLES`` times."""
    start = time.monotonic()
    samples: list[Sample] = []
    step = max(1, count // SAMPLES)
    delivered = plant.customer.verdicts
    while len(delivered) < count:
        target = min(count, (len(samples) + 1) * step)
        while len(delivered) < target:
            known = len(delivered)
            producer.allow(known + AHEAD)
            more = min(target, known + AHEAD // 4)
            if not plant.customer.wait_for(lambda more=more: len(delivered) >= more, 60):  # type: ignore[misc]
                return samples
        samples.append(
            Sample(len(delivered), time.monotonic() - start, plant.agent.resident_kb, plant.database.size())
        )
    return samples


def _check_memory(result: Result, samples: list[Sample], growth: float) -> None:
    warm = next(sample for sample in samples if sample.frames >= samples[-1].frames // 10)
    last = samples[-5:]
    grown = sum(sample.resident_kb for sample in last) / len(last) / warm.resident_kb - 1
    result.figures |= {
        "resident memory after a tenth and at the end, MB": [
            round(warm.resident_kb / 1000, 1),
            round(last[-1].resident_kb / 1000, 1),
        ],
        "growth of memory": round(grown, 4),
        "growth of memory, bytes a frame": round(
            (last[-1].resident_kb - warm.resident_kb) * 1024 / max(1, last[-1].frames - warm.frames), 1
        ),
    }
    result.check(f"memory grows by less than {growth:.0%}", grown < growth)


def _check_database(result: Result, samples: list[Sample], empty: int, tolerance: float) -> None:
    end = samples[-1]
    first = next(sample for sample in samples if sample.frames >= min(FIRST, end.frames // 2))
    per_frame = (first.database_bytes - empty) / first.frames
    computed = empty + per_frame * end.frames
    differs = end.database_bytes / computed - 1
    result.figures |= {
        "database bytes a frame, among the first": round(per_frame),
        "database bytes": end.database_bytes,
        "database bytes computed": round(computed),
        "differs by": round(differs, 4),
    }
    claim = f"the database is as large as computed, give or take {tolerance:.0%}"
    result.check(claim, abs(differs) < tolerance)
