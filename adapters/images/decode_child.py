"""``main`` of the decode process: one image after the other, until the agent is gone.

:mod:`adapters.images.worker` starts it. It imports nothing but numpy and OpenCV.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from adapters.images.channel import ANSWER, READY, REQUEST, Canvas, open_canvas
from adapters.images.depth import KnownDepth
from adapters.images.header import Header, HeaderError
from adapters.images.pixels import NO_MEMORY, decode_bgr
from agent.domain.frame import Image

_LOG_BYTES = 1_000_000
_GRACE_S = 2.0
_PADDING = 64
_COMPLAINT = re.compile(r"(Corrupt JPEG data: [^\n]*|Premature end of JPEG file[^\n]*)")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd([0-79])")

Decode = Callable[[bytes, int, KnownDepth], tuple[Header, Image]]


def damage(log: str) -> str | None:
    """What libjpeg complained of when it filled in missing parts of an image; None if nothing is missing.

    Some cameras pad with a few bytes before a restart or at the end; that does no harm.
    """
    found = _COMPLAINT.search(log)
    if found is None:
        return None
    padding = _EXTRANEOUS.search(found[0])
    if padding is not None and int(padding[1]) <= _PADDING:
        return None
    return found[0].removeprefix("Corrupt JPEG data: ")


class Log:
    """Standard error of this process: the codecs report missing data only there."""

    def __init__(self) -> None:
        self._descriptor = open_canvas()
        os.dup2(self._descriptor, 2)

    def take(self) -> str:
        """All text since the last call."""
        text = os.pread(self._descriptor, _LOG_BYTES, 0)
        if text:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        return text.decode("utf-8", "replace")


def main(channel: int, canvases: Sequence[int], decode: Decode = decode_bgr) -> None:
    """Serve the socket ``channel`` until it is closed; pixels go to each of ``canvases`` in turn."""
    _prepare_process()
    with socket.socket(fileno=channel) as agent:
        agent.sendall(READY)
        log, turns = Log(), cycle([Canvas(one) for one in canvases])
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LOG_BYTES, _LOG_BYTES))
        while (request := _read(agent, REQUEST.size)) is not None:
            length, max_pixels, memory, seconds, *depth = REQUEST.unpack(request)
            content = _read(agent, length)
            if content is None:
                break
            # If the agent dies meanwhile, nothing else would end a decoder that hangs.
            signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_S)
            with _memory(memory):
                reading = partial(decode, bytes(content), max_pixels, KnownDepth(*depth))
                answer = _answer(reading, log, next(turns))
            del content, reading  # frees a large one before the next request
            signal.setitimer(signal.ITIMER_REAL, 0)
            agent.sendall(answer)


def _prepare_process() -> None:
    """Ignore signals: the terminal and systemd stop the agent, and the agent ends this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # Linux only: the kernel should kill this process before the agent
        Path("/proc/self/oom_score_adj").write_text("900")
    cv2.setNumThreads(1)


def _answer(decode: Callable[[], tuple[Header, Image]], log: Log, shared: Canvas) -> bytes:
    try:
        header, image = decode()
        missing = damage(log.take())
        if missing is not None:
            return _refusal(f"the JPEG is damaged, parts of the image are missing ({missing})")
        height, width = image.shape[:2]
        target = shared.pixels(height, width)
        if cv2.cvtColor(image, cv2.COLOR_BGR2RGB, target) is not target:
            np.copyto(target, image[..., ::-1])
        return ANSWER.pack(True, height, width, 0, header.bits, header.highest)
    except HeaderError as error:
        return _refusal(str(error))
    except MemoryError:
        return _refusal(NO_MEMORY)
    except Exception as error:  # noqa: BLE001 - this image's row records it
        return _refusal(f"the image cannot be decoded: {type(error).__name__}: {error}")
    finally:
        log.take()
        shared.unmap()


def _refusal(reason: str) -> bytes:
    sentence = reason.encode("utf-8", "replace")[:4_000]
    return ANSWER.pack(False, 0, 0, len(sentence), 0, 0) + sentence


@contextlib.contextmanager
def _memory(budget: int) -> Iterator[None]:
    """Limit the address space to ``budget`` bytes more than now."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with contextlib.suppress(OSError, ValueError):  # macOS has the limit but does not enforce it
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + budget
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, unlimited)


def _read(agent: socket.socket, length: int) -> bytearray | None:
    """Exactly ``length`` bytes; None if the agent is gone."""
    content = bytearray(length)
    view, got = memoryview(content), 0
    while got < length:
        count = agent.recv_into(view[got:])
        if not count:
            return None
        got += count
    return content
