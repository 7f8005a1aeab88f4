"""The machine and versions that figures were measured and weights were trained with."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from adapters import simulator

PACKAGES = ("torch", "timm", "open_clip_torch", "numpy", "opencv-python-headless")


def machine() -> dict[str, Any]:
    """Processor, cores and threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores,
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name: rounding differs from one kind to another."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of the libraries that figures depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def load_average() -> float | None:
    """How many processes wanted a core in the last minute; None if the system does not know."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def simulator_digest() -> str:
    """sha256 over the simulator's source: other images are other figures."""
    folder = Path(simulator.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
