"""SIGKILL at random instants: while frames flow, and while the agent starts."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos.databases import Kind
from tests.chaos.judge import judge, read_rows
from tests.chaos.messages import frames
from tests.chaos.plant import Plant
from tests.chaos.producer import Producer
from tests.chaos.result import Result

COST_MS = 15.0
STARTING = 0.2
"""Share of the kills that come while the agent starts."""
STARTUP_S = 4.0
NAMELESS_EVERY = 5


def kill9(
    folder: Path, *, database: Kind = "sqlite", frames_: int = 2000, kills: int = 50, seed: int = 1
) -> Result:
    """Kill the agent ``kills`` times in a stream of ``frames_``; the customer is away for the middle third.

    Every fifth frame carries no id of its own.
    """
    parameters = {"database": database, "frames": frames_, "kills": kills, "seed": seed}
    result = Result("kill -9", {**parameters, "method": f"null, {COST_MS:g} ms a frame"})
    source = random.Random(seed)
    messages = frames(frames_, seed, nameless_every=NAMELESS_EVERY)
    inspection = {"null_cost_ms": COST_MS, "max_batch": 4}
    with Plant(folder, database, watched=True, inspection=inspection) as plant:
        assert plant.witness is not None
        testimony = plant.witness.testimony
        premature = starting = under_way = 0
        with Producer(plant.broker.url, messages, limit=0) as producer:
            for kill in range(kills):
                if kill == kills // 3:
                    plant.customer.leave()
                if kill == 2 * kills // 3:
                    plant.customer.come_back()
                target = frames_ * (kill + 1) // (kills + 1)
                portion_s = COST_MS / 1000 * frames_ / (kills + 1)
                # Before an agent's first connect no broker keeps frames for it: the first start is let be.
                if source.random() < STARTING and kill:
                    starting += 1
                    producer.allow(target)
                    plant.agent.start()
                    time.sleep(source.uniform(0.0, STARTUP_S))
                else:
                    plant.start_agent()
                    producer.allow(target)
                    time.sleep(source.uniform(0.0, 1.2 * portion_s))
                plant.agent.kill()
                under_way += len(testimony.frames_delivered) > len(testimony.frames_acknowledged)
                if testimony.frames_acknowledged:
                    rows = read_rows(plant.database.url).inspections
                    premature += len(testimony.frames_acknowledged - set(rows))
            plant.customer.come_back()
            plant.start_agent()
            producer.allow(None)
            plant.wait_delivered(frames_)
            result.check("the camera got rid of all its frames", producer.done)
            result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
            judge(result, plant.database.url, producer.acknowledged, plant.customer)
        result.figures |= {
            "kills": kills,
            "of them while starting": starting,
            "of them with frames under way": under_way,
            "frames acknowledged before their row": premature,
            "acknowledgements out of order": testimony.out_of_order + testimony.strangers,
        }
        result.check("no frame acknowledged before its row stands", premature == 0)
        result.check(
            "acknowledgements in the order of receipt", testimony.out_of_order + testimony.strangers == 0
        )
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()
