"""What the agent and its decoder say to each other, over a socket; the pixels go through the canvas."""

from __future__ import annotations

import struct

REQUEST = struct.Struct("!QQQd")
"""Bytes of the image that follows, most pixels, bytes of memory it may take, seconds it may take."""
ANSWER = struct.Struct("!BIIH")
"""Whether the pixels are there, their height and width, bytes of the sentence that follows where not."""
READY = b"R"
