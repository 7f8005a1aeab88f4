"""Garbage between good frames, on every topic that the agent listens to."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from adapters.images.decoder import PayloadDecoder
from agent.domain.frame import Camera, Delivery, DeliveryKind
from tests.chaos.customer import Customer
from tests.chaos.databases import Kind
from tests.chaos.judge import Rows, read_rows
from tests.chaos.messages import BASE, CAMERA, FRAME_TOPIC, LINE, SITE, Message, frames
from tests.chaos.plant import Plant
from tests.chaos.producer import Producer
from tests.chaos.result import Result
from tests.support.mutations import mutated_messages

AGENT = "under-test"
TOPICS = {
    "frame": FRAME_TOPIC,
    "sku": f"{BASE}/sku",
    "reference": f"{BASE}/reference",
    "feedback": f"{BASE}/feedback",
    "command": f"{SITE}/sightline/{AGENT}/command",
}
FRAMES_SHARE = 0.7
AHEAD = 300
"""How far the camera is ahead of the agent, at most."""


def fuzz(
    folder: Path,
    *,
    database: Kind = "sqlite",
    good: int = 500,
    bad: int = 20_000,
    growth: float = 0.03,
    seed: int = 1,
) -> Result:
    """``bad`` mutated messages between ``good`` frames; memory may grow by the share ``growth``."""
    parameters = {"database": database, "good frames": good, "fuzzed messages": bad, "seed": seed}
    result = Result("fuzz", {**parameters, "method": "null"})
    stream = list(_mixed(good, bad, seed))
    expected = _expected_rows(stream)
    with Plant(folder, database, persistence=False) as plant:
        plant.start_agent()
        with Producer(plant.broker.url, (message for _kind, message in stream), limit=0) as producer:
            warm = len(stream) // 5
            resident: list[int] = []
            threads: list[list[str]] = []
            for reached in range(0, len(stream) + 1, max(1, len(stream) // 20)):
                producer.allow(reached + AHEAD)
                last = _last_good(stream, reached)
                delivered = plant.customer.wait_for(lambda last=last: last in plant.customer.verdicts, 120)  # type: ignore[misc]
                if not delivered:
                    break
                if reached >= warm:
                    resident.append(plant.agent.resident_kb)
                    threads.append(plant.agent.threads())
            producer.allow(None)
            plant.wait_delivered(expected)
            result.check("the broker took every message", producer.done)
            result.check("the agent lives", plant.agent.alive)
            _check_threads(result, threads)
            result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
            rows = read_rows(plant.database.url)
        grown = max(resident, default=0) / resident[0] - 1 if resident else 1.0
        result.figures |= {
            "rows expected": expected,
            "rows": rows.count,
            "verdicts": dict(rows.verdicts),
            "events": dict(rows.events),
            "different reasons of errors": len(rows.reasons),
            "resident memory, MB": [round(one / 1000, 1) for one in resident],
            "growth of memory": round(grown, 4),
        }
        _check_frames(result, stream, rows, plant.customer)
        result.check(
            "one row for each image under an id named on the frame topic, and for each message without one",
            rows.count == expected,
        )
        result.check(f"memory grows by less than {growth:.0%}", grown < growth)
        _check_events(result, rows.events, Counter(kind for kind, _ in stream))
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()


def _mixed(good: int, bad: int, seed: int) -> Iterator[tuple[str, Message]]:
    """Good frames spread evenly through the bad messages; the last message is a good frame."""
    draw, fuzzed = random.Random(seed), mutated_messages(seed)
    others = [kind for kind in TOPICS if kind != "frame"]
    for index, message in enumerate(frames(good, seed)):
        for number in range(bad * index // good, bad * (index + 1) // good):
            payload, properties, content_type = next(fuzzed)
            kind = "frame" if draw.random() < FRAMES_SHARE else draw.choice(others)
            clean = tuple((_clean(key), _clean(value)) for key, value in properties.items())
            declared = content_type if content_type is None else _clean(content_type)
            yield kind, Message(f"bad-{number}", payload, TOPICS[kind], clean, declared)
        yield "good", message


def _clean(text: str) -> str:
    """Without the characters for which mosquitto ends the connection."""
    return "".join("?" if unicodedata.category(one) == "Cc" else one for one in text)


def _last_good(stream: list[tuple[str, Message]], reached: int) -> str:
    """The first good frame from ``reached`` on."""
    return next((message.key for kind, message in stream[reached:] if kind == "good"), stream[-1][1].key)


def _expected_rows(stream: list[tuple[str, Message]]) -> int:
    """Rows that the frame topic must leave: one for each image of a named id, one for each without an id."""
    decoder, camera = PayloadDecoder(), Camera(SITE, LINE, CAMERA)
    named: set[tuple[str, str | None]] = set()
    nameless = 0
    for kind, message in stream:
        if kind not in ("frame", "good"):
            continue
        delivery = Delivery(
            kind=DeliveryKind.FRAME,
            camera=camera,
            payload=message.payload,
            received_at=datetime.now(UTC),
            properties=dict(message.properties),
            content_type=message.content_type,
            guaranteed=True,
        )
        identity = decoder.identify(delivery)
        if identity.content_derived:
            nameless += 1
        else:
            named.add((identity.frame_id, identity.content))
    return len(named) + nameless


def _check_frames(result: Result, stream: list[tuple[str, Message]], rows: Rows, customer: Customer) -> None:
    good = {message.key for kind, message in stream if kind == "good"}
    delivered = Counter(number for ids in customer.verdicts.values() for number in ids)
    result.figures |= {
        "good frames judged": len(good & set(customer.verdicts)),
        "duplicates": rows.duplicates,
        "verdicts not delivered": len(set(rows.inspections.values()) - set(delivered)),
        "messages left in the outbox": rows.unsent,
    }
    result.check("a verdict for every good frame", good <= set(customer.verdicts))
    result.check("every good frame passes", rows.verdicts.get("PASS", 0) >= len(good))
    result.check("no duplicates", rows.duplicates == 0)
    result.check(
        "a verdict delivered for every row, and no other", set(rows.inspections.values()) == set(delivered)
    )
    result.check("the outbox is empty", rows.unsent == 0)


def _check_threads(result: Result, seen: list[list[str]]) -> None:
    """None is lost. Pools start theirs as they are needed, but none pile up."""
    result.figures["threads"] = seen[-1] if seen else []
    result.check("the same threads before and after", bool(seen) and set(seen[0]) <= set(seen[-1]))
    result.check("no threads pile up", bool(seen) and len(seen[-1]) <= len(seen[0]) + 4)


def _check_events(result: Result, events: object, sent: Counter[str]) -> None:
    assert isinstance(events, dict)
    result.figures["messages by kind"] = dict(sent)
    commands = events.get("command", 0) + events.get("bad-command", 0)
    result.check("an event for every command", commands == sent["command"])
    for kind in ("sku", "reference", "feedback"):
        refused = events.get(f"bad-{kind}", 0)
        result.check(f"messages on {kind} are refused with an event", 0 < refused <= sent[kind])
