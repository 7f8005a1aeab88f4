"""``disk``, ``sqlite_bytes``, ``device_memory``: what the agent uses of its machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.observability.health_source import DiskState

_SQLITE_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """One CUDA device, as PyTorch sees it."""

    device: str
    allocated: int
    """Bytes in tensors."""
    reserved: int
    """Bytes that PyTorch holds, tensors and its cache."""
    free: int
    """Bytes that no process holds."""
    size: int


def disk(name: str, path: Path) -> DiskState:
    """The file system under ``path`` or, if that does not exist yet, under the nearest folder above.

    Raises OSError.
    """
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    found = os.statvfs(path)
    return DiskState(name, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def sqlite_bytes(file: Path) -> int:
    """Size of the database with its journal. Raises OSError if there is no database."""
    size = file.stat().st_size
    for suffix in _SQLITE_BESIDE:
        beside = file.with_name(file.name + suffix)
        size += beside.stat().st_size if beside.exists() else 0
    return size


def device_memory() -> Iterator[DeviceMemory]:
    """Memory of each CUDA device that this process has used; nothing if PyTorch or CUDA is not in use.

    Raises RuntimeError if the driver does not answer.
    """
    torch = sys.modules.get("torch")  # never imported for this: it costs seconds and hundreds of megabytes
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return
    for index in range(torch.cuda.device_count()):
        allocated, reserved = torch.cuda.memory_allocated(index), torch.cuda.memory_reserved(index)
        if reserved == 0:
            continue  # the query itself would take memory on a device that others use
        free, size = torch.cuda.mem_get_info(index)
        yield DeviceMemory(f"cuda:{index}", allocated, reserved, free, size)
