"""``BusyProcesses`` and ``beside``: a frame's time alone and beside other processes, in turns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Self

from adapters.models.threads import waiting
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.inference.inspector import Inspector
    from agent.methods.prepared import Prepared

_BUSY = """
import os, select
while os.read(0, 1):
    os.write(0, b"r")
    while not select.select([0], [], [], 0)[0]:
        sum(range(10_000))
    if not os.read(0, 1):
        break
    os.write(0, b"p")
"""
"""Waits for a byte, computes until the next one, waits again; ends with its parent. It confirms each."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Milliseconds of a frame, medians of frames that were inspected in turns."""

    processes: int
    alone_ms: float
    beside_ms: float
    waiting: str
    """How threads wait for each other, in words."""

    @property
    def factor(self) -> float:
        """How many times longer it takes."""
        return self.beside_ms / self.alone_ms


class BusyProcesses:
    """Processes that each keep one core busy while they are let."""

    def __init__(self, count: int) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._channels: list[socket.socket] = []
        for _ in range(count):
            ours, theirs = socket.socketpair()
            with theirs:
                self.processes.append(
                    subprocess.Popen([sys.executable, "-I", "-c", _BUSY], stdin=theirs.fileno())
                )
            self._channels.append(ours)

    @contextmanager
    def running(self) -> Iterator[None]:
        """They compute inside of this, and sleep outside. Raises SightlineError if one is gone."""
        self._switch()
        try:
            yield
        finally:
            self._switch()

    def _switch(self) -> None:
        for channel in self._channels:
            try:
                channel.send(b"x")
                confirmed = channel.recv(1)
            except OSError:
                confirmed = b""
            if not confirmed:
                raise SightlineError("a busy process ended before the measurement did; measure again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            channel.close()
        for process in self.processes:
            process.wait()


def beside(
    inspector: Inspector, prepared: Prepared, images: Sequence[Image], count: int, rounds: int
) -> Beside:
    """Inspect ``rounds`` frames alone and as many beside ``count`` busy processes, in turns."""
    alone: list[float] = []
    crowded: list[float] = []
    with BusyProcesses(count) as busy:
        for turn in range(rounds):
            image = images[turn % len(images)]
            alone.append(_milliseconds(inspector, prepared, image))
            with busy.running():
                crowded.append(_milliseconds(inspector, prepared, image))
    return Beside(count, round(median(alone), 2), round(median(crowded), 2), waiting(os.environ))


def _milliseconds(inspector: Inspector, prepared: Prepared, image: Image) -> float:
    started = time.perf_counter()
    inspector.inspect([image], [prepared])
    return (time.perf_counter() - started) * 1000.0
