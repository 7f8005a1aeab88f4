"""``usable_cores``, ``default_threads``, ``wait_passively``: how the models share the processor.

The agent, its decoder process, the broker and perhaps a database run on one small machine. Threads that spin
while they wait for each other take the cores from all of them, and wait longest themselves: the one that the
system has taken off its core lets all others spin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Any of them is a choice of the user."""
_SHARED = 3
"""From so many cores on, one is left to decoding, recording and the broker. A pass ends with its slowest
thread: on n cores, one of them shared with a busy process, it takes 2 / n of its work; on the others alone
1 / (n - 1), which is less from three cores on."""


def wait_passively(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait for others sleep, unless the user set how they wait.

    OpenMP reads it once, when PyTorch is loaded.
    """
    if not any(name in environment for name in _POLICIES):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"


def waiting(environment: Mapping[str, str]) -> str:
    """How threads wait for each other, in words after "they wait"."""
    found = {name: environment[name] for name in _POLICIES if name in environment}
    if found == {"OMP_WAIT_POLICY": "PASSIVE"}:
        return "passively"
    return "by " + ", ".join(f"{name}={value}" for name, value in found.items()) if found else "by default"


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the quotas of its control groups, rounded down.

    ``root``: where ``/proc`` and ``/sys`` are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(root))]))


def default_threads(environment: Mapping[str, str], cores: int) -> int:
    """Threads that one pass of a model computes on: as OpenMP is told by its variable, else by the cores."""
    own = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if own.isdecimal() and int(own) > 0:
        return int(own)
    return cores - 1 if cores >= _SHARED else cores


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each control group around this process allows."""
    groups = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        own = (groups / "cpu" if controllers else groups) / path.lstrip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(groups):
                break
            yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Of one group, by version 2 (``cpu.max``) or 1 (two files); none if it sets no limit."""
    words = _words(folder / "cpu.max") or [
        *_words(folder / "cpu.cfs_quota_us"),
        *_words(folder / "cpu.cfs_period_us"),
    ]
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
        yield int(words[0]) / int(words[1])


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
