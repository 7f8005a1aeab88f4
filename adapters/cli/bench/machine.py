"""``machine``: what figures were measured on, and the device, precision and runtime in force."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from config import Settings


def machine() -> dict[str, Any]:
    """The machine that the figures were measured on."""
    import torch

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def cores() -> int | None:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> str:
    """Its name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def in_force(settings: Settings) -> tuple[str, str, str]:
    """Device, precision and runtime in force."""
    import torch

    from adapters.models.device import PRECISIONS, pick_device, pick_precision, use_threads
    from adapters.models.runtimes.compiler import pick_runtime

    use_threads(settings.models.threads)
    device = pick_device(settings.models.device)
    dtype = pick_precision(settings.models.precision, device)
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    precision = next(known for known, each in PRECISIONS.items() if each == dtype)
    return name, precision, pick_runtime(settings.models.runtime, device, dtype)
