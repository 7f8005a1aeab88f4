"""A disk that fills up under the agent: frames wait, and go on once there is room."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.domain.errors import StorageError
from storage import Database, MediaFolder
from tests.chaos.databases import Kind
from tests.chaos.judge import judge
from tests.chaos.messages import frames, image
from tests.chaos.plant import NotHereError, Plant
from tests.chaos.producer import Producer
from tests.chaos.result import Result

MB = 1_000_000
IMAGE = 256
"""Side of the images in pixels."""
ROW = 4_000
"""Bytes of the database for a frame, at most."""
LOG_MB = 12
"""What SQLite's log may take before it is written back, twice over."""
STILL_S = 4.0
"""No new row for so long on a full disk: the agent waits."""
FILL_S = 120.0


def disk(
    folder: Path,
    *,
    database: Kind = "sqlite",
    frames_: int = 2000,
    fills: int = 5,
    seed: int = 1,
) -> Result:
    """Database and media on a file system that is full ``fills`` times; each time somebody makes room.

    Raises:
        NotHereError: no file system can be mounted here.
    """
    parameters = {"database": database, "frames": frames_, "fills": fills, "seed": seed}
    result = Result("disk full, room made by hand", {**parameters, "method": "null"})
    size = len(image(seed, IMAGE))
    # Room for everything twice over: the filler decides when it is full.
    megabytes = 24 + 2 * frames_ * size // MB
    with (
        small_disk(folder / "disk", megabytes) as data,
        Plant(folder / "plant", database, data=data, media={"reserve": 0, "ballast": 0}) as plant,
    ):
        filler = data / "filler"
        plant.start_agent()
        stream = frames(frames_, seed, size=IMAGE)
        waited: list[float] = []
        with Producer(plant.broker.url, stream, limit=0) as producer:
            for fill in range(fills):
                if fill == fills // 2:
                    plant.customer.leave()
                _fill(filler, leave=frames_ // (fills + 1) * size // 3)
                producer.allow(frames_ * (fill + 1) // (fills + 1) + 1)
                waited.append(_until_still(plant, producer))
                result.check(f"fill {fill + 1}: frames wait", plant.rows() < len(producer.acknowledged))
                result.check(f"fill {fill + 1}: the agent lives", plant.agent.alive)
                filler.unlink()
                before = plant.rows()
                result.check(f"fill {fill + 1}: it goes on once there is room", _grows(plant, before))
                plant.customer.come_back()
            producer.allow(None)
            plant.wait_delivered(frames_)
            result.check("the camera got rid of all its frames", producer.done)
            result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
            judge(result, plant.database.url, producer.acknowledged, plant.customer)
        result.figures["seconds until the disk was full"] = [round(one, 1) for one in waited]
        result.figures["times that storage was waited for"] = plant.agent.logged("waiting for storage")
        missing = _missing_files(plant)
        result.figures["rows whose image is not whole"] = missing
        result.check("every image of a row is on the disk, whole", missing == 0)
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()


def disk_retention(
    folder: Path, *, database: Kind = "sqlite", frames_: int = 2000, times: float = 2.0, seed: int = 1
) -> Result:
    """Images of ``times`` what the file system holds; nobody helps, the agent makes room for itself.

    Raises:
        NotHereError: no file system can be mounted here.
    """
    parameters = {"database": database, "frames": frames_, "images are": f"{times:g} disks", "seed": seed}
    result = Result("disk full, room made by retention", {**parameters, "method": "null"})
    size = len(image(seed, IMAGE))
    # The rows and their log take room too, and are never let go of.
    megabytes = int((frames_ * size / times + frames_ * ROW) / MB) + LOG_MB
    with (
        small_disk(folder / "disk", megabytes) as data,
        Plant(folder / "plant", database, data=data) as plant,
    ):
        plant.start_agent()
        with Producer(plant.broker.url, frames(frames_, seed, size=IMAGE)) as producer:
            plant.wait_delivered(frames_)
            result.check("the camera got rid of all its frames", producer.done)
            result.check("the agent lived through it", plant.agent.alive)
            result.check("the agent ends cleanly at SIGTERM", plant.agent.stop() == 0)
            judge(result, plant.database.url, producer.acknowledged, plant.customer)
        with Database(plant.database.url) as opened, opened.read() as connection:
            sql = "SELECT count(*) FROM inspection WHERE image_path IS NULL"
            without = int(connection.exec_driver_sql(sql).scalar_one())
        result.figures["rows that let go of their image"] = without
        result.figures["times that storage was waited for"] = plant.agent.logged("waiting for storage")
        result.figures["rows whose image is not whole"] = _missing_files(plant)
        result.check("some images went, and not all", 0 < without < frames_)
        result.check("every image of a row is on the disk, whole", _missing_files(plant) == 0)
        if not result.passed:
            result.notes.append(plant.agent.log_tail)
    return result.end()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, in memory. Raises NotHereError where none can be mounted."""
    folder.mkdir(parents=True)
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        raise NotHereError("only root may mount a small file system")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotHereError(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def _fill(file: Path, *, leave: int) -> None:
    """Take the disk up to ``leave`` bytes."""
    with file.open("wb") as filler:
        while (wanted := shutil.disk_usage(file.parent).free - leave) > 0:
            # The agent writes too: what was free may be taken by now.
            with contextlib.suppress(OSError):
                os.posix_fallocate(filler.fileno(), 0, wanted)
                return


def _until_still(plant: Plant, producer: Producer) -> float:
    """Wait until no row comes any more although frames wait; the seconds until the last one came."""
    start = last = time.monotonic()
    known = plant.rows()
    while time.monotonic() - start < FILL_S:
        if time.monotonic() - last > STILL_S and len(producer.acknowledged) > known:
            break
        time.sleep(0.2)
        now = plant.rows()
        if now != known:
            known, last = now, time.monotonic()
    return last - start


def _grows(plant: Plant, before: int) -> bool:
    deadline = time.monotonic() + 60
    while plant.rows() <= before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _missing_files(plant: Plant) -> int:
    """Rows that name an image which is missing or differs from its name, the digest."""
    media = MediaFolder(plant.media)
    with Database(plant.database.url) as database, database.read() as connection:
        paths = list(
            connection.exec_driver_sql(
                "SELECT image_path FROM inspection WHERE image_path IS NOT NULL"
            ).scalars()
        )
    missing = 0
    for path in paths:
        try:
            media.get(path)
        except StorageError:
            missing += 1
    return missing
