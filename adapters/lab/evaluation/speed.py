"""``measure``: frames a second of the bare model, without broker, decoding and database; load time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from adapters.lab.evaluation.judging import method_of, recipe_of, side_in_force
from adapters.lab.evaluation.models import Files
from adapters.lab.evaluation.trials import SIZE
from adapters.lab.machine import load_average
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.simulator import Product, Station, draw
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.domain.recipe import Reference
from agent.ports import ImageTextEncoder

SHOTS = 4
BATCHES = (1, 8)
CORES = 2
LOADS = 3
_WARM_UP = 2


def measure(encoder: ImageTextEncoder, files: Files, frames: int) -> dict[str, Any]:
    """Frames a second on two threads and load times, with how busy the machine was meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(CORES)
    try:
        busy = load_average()
        rates = _rates(encoder, frames)
    finally:
        torch.set_num_threads(before)
    loads = [load_once(files) for _ in range(LOADS)]
    return {
        "threads": CORES,
        "frame_size": [SIZE, SIZE],
        "scaled_to": side_in_force(),
        "frames": frames,
        "frames_per_s": rates,
        "load_s": round(float(np.median([each["load_s"] for each in loads])), 3),
        "import_s": round(float(np.median([each["import_s"] for each in loads])), 3),
        "load_average_before": busy,
        "load_average_after": load_average(),
    }


def _rates(encoder: ImageTextEncoder, frames: int) -> dict[str, dict[str, float]]:
    images, side = _images(max(BATCHES) + SHOTS), side_in_force()
    references, shown = images[:SHOTS], images[SHOTS:]
    method, plain = method_of(encoder), recipe_of("speed", "gear")
    names = tuple(Reference("", str(index), str(index)) for index in range(SHOTS))
    zero = method.prepare(plain, [])
    few = method.prepare(replace(plain, references=names), references)
    return {
        "image tower": _of(lambda batch: encoder.encode_images(batch, side), shown, frames),
        "zero-shot": _of(lambda batch: method.score(batch, [zero] * len(batch)), shown, frames),
        f"{SHOTS}-shot": _of(lambda batch: method.score(batch, [few] * len(batch)), shown, frames),
    }


def _of(work: Callable[[Sequence[Image]], Any], images: Sequence[Image], frames: int) -> dict[str, float]:
    """Frames a second by the median batch, for each size of batch."""
    rates = {}
    for size in BATCHES:
        times = []
        for turn in range(_WARM_UP + max(3, frames // size)):
            batch = [images[(turn * size + place) % len(images)] for place in range(size)]
            started = time.perf_counter()
            work(batch)
            times.append(time.perf_counter() - started)
        rates[f"batch {size}"] = round(size / float(np.median(times[_WARM_UP:])), 1)
    return rates


def _images(count: int) -> list[Image]:
    product, station = Product.create("gear", RESERVED_SEED), Station.fixed(RESERVED_SEED)
    return [draw(product, station, RESERVED_SEED + index, size=SIZE).image for index in range(count)]


def load_once(files: Files) -> dict[str, float]:
    """Seconds in a process of its own. Raises ModelError if it ends with an error."""
    command = [sys.executable, "-m", "adapters.lab.evaluation.cold"]
    places = [str(files.architecture), str(files.checkpoint), str(files.output_stride or 0)]
    done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ModelError(
            f"the model cannot be loaded in a fresh process: {lines[-1] if lines else 'no reason'}"
        )
    loaded: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return loaded
