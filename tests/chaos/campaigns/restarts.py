"""Broker and database away and back, again and again, in one stream."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.databases import Faulty, Kind, plan
from tests.chaos.judge import judge, read_rows
from tests.chaos.messages import Message, frames
from tests.chaos.plant import Plant
from tests.chaos.producer import Producer
from tests.chaos.result import Result
from tests.fixtures.mosquitto import Mosquitto

COST_MS = 10.0
SLICE_S = 0.3
QUIET_S = 10.0
"""Once all faults are over: nothing more comes when nothing came for so long."""


@dataclass(frozen=True)
class Fault:
    """Something that goes away for a while."""

    what: str
    how: str
    seconds: float


def restarts(
    folder: Path,
    *,
    database: Kind = "sqlite",
    frames_: int = 2000,
    broker_restarts: int = 20,
    database_faults: int = 10,
    longest_s: float = 4.0,
    seed: int = 1,
) -> Result:
    """Restart the broker (every other time by SIGKILL) and let the database have its faults, in any order.

    The first database fault lasts longer than SQLite's writers wait for each other where ``longest_s`` does.
    """
    parameters = {
        "database": database, "frames": frames_, "broker restarts": broker_restarts,
        "database faults": database_faults, "longest, s": longest_s, "seed": seed,
    }  # fmt: skip
    result = Result("restarts", {**parameters, "method": f"null, {COST_MS:g} ms a frame"})
    source = random.Random(seed)
    messages = {message.key: message for message in frames(frames_, seed)}
    inspection = {"null_cost_ms": COST_MS, "max_batch": 4}
    with Plant(folder, database, watched=True, inspection=inspection) as plant:
        plant.start_agent()
        faults = _plan(plant.database, broker_restarts, database_faults, longest_s, source)
        with Producer(plant.broker.url, messages.values(), limit=0) as producer:
            for number, fault in enumerate(faults):
                if number == len(faults) // 3:
                    plant.customer.leave()
                if number == 2 * len(faults) // 3:
                    plant.customer.come_back()
                producer.allow(frames_ * (number + 1) // (len(faults) + 1))
                time.sleep(source.uniform(0.0, SLICE_S))
                _suffer(fault, plant.broker, plant.database)
            plant.customer.come_back()
            producer.allow(None)
            plant.wait_delivered(frames_, stall_s=QUIET_S)
            result.check("the camera got rid of all its frames", producer.done)
            result.check("the agent lived through all of it", plant.agent.alive)
            _account(result, plant, producer, messages)
            result.figures["frames that the camera published again"] = producer.republished
        result.figures["faults"] = _counted(faults)
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()


def _plan(
    database: Faulty, broker_restarts: int, database_faults: int, longest_s: float, source: random.Random
) -> list[Fault]:
    faults = [
        Fault("broker", "SIGKILL" if index % 2 else "SIGTERM", source.uniform(0.0, 2.0))
        for index in range(broker_restarts)
    ]
    for index, how in enumerate(plan(database, database_faults, source)):
        seconds = longest_s if index == 0 else source.uniform(0.5, min(4.0, longest_s))
        faults.append(Fault("database", how, seconds))
    source.shuffle(faults)
    return faults


def _counted(faults: list[Fault]) -> dict[str, int]:
    names = [f"{fault.what} {fault.how}" for fault in faults]
    return {name: names.count(name) for name in sorted(set(names))}


def _suffer(fault: Fault, broker: Mosquitto, database: Faulty) -> None:
    if fault.what == "database":
        database.suffer(fault.how, fault.seconds)
        return
    broker.stop(kill=fault.how == "SIGKILL")
    time.sleep(fault.seconds)
    broker.start()


def _account(result: Result, plant: Plant, producer: Producer, messages: dict[str, Message]) -> None:
    """Distinguish what the broker forgot from what the agent lost, by what went over the wire.

    mosquitto writes its store after the messages it has just taken were acknowledged. Killed in between it
    forgets them: no agent can know of these. A camera that misses a verdict publishes the frame again.
    """
    assert plant.witness is not None
    testimony = plant.witness.testimony
    rows = read_rows(plant.database.url)
    missing = producer.acknowledged - set(rows.inspections)
    forgotten = missing - testimony.frames_acknowledged
    result.figures["frames that the agent acknowledged without a row"] = len(missing - forgotten)
    result.check("no frame acknowledged to the broker without a row", missing == forgotten)
    result.figures["frames that the killed broker forgot"] = len(forgotten)
    if forgotten:
        producer.publish(messages[key] for key in sorted(forgotten))
        plant.wait_delivered(len(messages), stall_s=QUIET_S)
    result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
    rows = read_rows(plant.database.url)
    undelivered = set(rows.inspections) - set(plant.customer.verdicts)
    forgotten_verdicts = undelivered & testimony.verdicts_acknowledged
    result.figures["verdicts that the killed broker forgot"] = len(forgotten_verdicts)
    judge(
        result, plant.database.url, producer.acknowledged, plant.customer, lost_by_broker=forgotten_verdicts
    )
    disorder = testimony.out_of_order + testimony.strangers
    result.figures["acknowledgements out of order"] = disorder
    result.check("acknowledgements in the order of receipt, none across connections", disorder == 0)
