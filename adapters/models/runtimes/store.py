"""``GraphStore``: exported graphs in a folder, each made once for its weights."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from pathlib import Path

_log = logging.getLogger(__name__)

LIMIT_BYTES = 1_000_000_000
"""Of all files together; beyond it those go that were used longest ago."""
_DIGITS = 32
"""Of each sha256 in a file's name."""


class GraphStore:
    """Files ``KEY.SHA256.onnx``: what is damaged does not fit its own name, and is made anew.

    A folder that cannot be written costs the time of an export at each start, and a warning.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self._limit = limit_bytes

    def get(self, key: str) -> bytes | None:
        """The graph under ``key``, the sha256 of what it was made from; None if it is not there."""
        for path in sorted(self.folder.glob(f"{key[:_DIGITS]}.*.onnx")):
            try:
                content = path.read_bytes()
                if path.name == _name(key, content):
                    os.utime(path)  # the order in which files are used
                    return content
                _log.warning("%s is damaged and is made anew", path)
                path.unlink()
            except OSError as error:
                _log.warning("%s cannot be used (%s); the graph is made anew", path, error.strerror or error)
        return None

    def put(self, key: str, content: bytes) -> None:
        """Keep a graph, as a whole or not at all."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / f".{uuid.uuid4().hex}.onnx"
            fresh.write_bytes(content)
            fresh.replace(self.folder / _name(key, content))
            self._make_room()
        except OSError as error:
            _log.warning(
                "%s cannot be written (%s): models.cache names another folder; until then graphs are "
                "exported at each start",
                self.folder,
                error.strerror or error,
            )

    def _make_room(self) -> None:
        """Remove what was used longest ago; a file that an interrupted export left counts as well."""
        files = sorted(
            ((path.stat(), path) for path in self.folder.iterdir() if path.suffix == ".onnx"),
            key=lambda each: each[0].st_mtime_ns,
        )
        held = sum(status.st_size for status, _ in files)
        for status, path in files[:-1]:
            if held <= self._limit:
                return
            path.unlink(missing_ok=True)
            held -= status.st_size


def _name(key: str, content: bytes) -> str:
    return f"{key[:_DIGITS]}.{hashlib.sha256(content).hexdigest()[:_DIGITS]}.onnx"
