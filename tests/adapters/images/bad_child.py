"""A decoder that misbehaves where the image asks it to, behind the real protocol."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.images import decode_child
from adapters.images.depth import KnownDepth
from adapters.images.header import Header
from adapters.images.pixels import decode_bgr
from agent.domain.frame import Image

_WISH = re.compile(rb"please (\w+) ?(.*)\Z", re.DOTALL)


def asking(content: bytes, wish: str) -> bytes:
    """An image with a wish behind its end."""
    return content + b"please " + wish.encode()


def decode(content: bytes, max_pixels: int, known: KnownDepth) -> tuple[Header, Image]:
    found = _WISH.search(content)
    wish, rest = (found[1].decode(), found[2].decode()) if found else ("", "")
    if wish == "hang":
        if rest:
            Path(rest).write_text("")
        while True:
            time.sleep(60)
    if wish == "crash":
        os.kill(os.getpid(), signal.Signals[rest])
    if wish == "leave":
        os._exit(3)
    if wish == "once" and not Path(rest).exists():
        Path(rest).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == "exhaust":
        np.ones(4_000_000_000, np.uint8)
    if wish == "fail":
        raise RuntimeError("of its own")
    if wish == "talk":
        os.write(2, b"Warning: something\n" * 100_000)
    header, image = decode_bgr(content, max_pixels, known)
    return header, image[:1] if wish == "shrink" else image


def main(channel: int, canvases: Sequence[int]) -> None:
    decode_child.main(channel, canvases, decode)
