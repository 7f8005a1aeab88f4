"""``KeptFiles``: what was made once, in a folder, under the digest of what it was made from."""

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


class KeptFiles:
    """Files ``KEY.SHA256.SUFFIX``: what is damaged does not fit its own name, and is made anew.

    A folder that cannot be written costs the time of making all of it at each start, and a warning.
    """

    def __init__(self, folder: Path, suffix: str, limit_bytes: int = LIMIT_BYTES) -> None:
        """``suffix``: of the files, with its dot."""
        self.folder = folder
        self._suffix = suffix
        self._limit = limit_bytes

    def get(self, key: str) -> bytes | None:
        """What lies under ``key``, the sha256 of what it was made from; None if it is not there."""
        for path in sorted(self.folder.glob(f"{key[:_DIGITS]}.*{self._suffix}")):
            try:
                content = path.read_bytes()
                if path.name == self._name(key, content):
                    os.utime(path)  # the order in which files are used
                    return content
                _log.warning("%s is damaged and is made anew", path)
                path.unlink()
            except OSError as error:
                _log.warning("%s cannot be used (%s); it is made anew", path, error.strerror or error)
        return None

    def put(self, key: str, content: bytes) -> None:
        """Keep it, as a whole or not at all."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / f".{uuid.uuid4().hex}{self._suffix}"
            fresh.write_bytes(content)
            fresh.replace(self.folder / self._name(key, content))
            self._make_room()
        except OSError as error:
            _log.warning(
                "%s cannot be written (%s): models.cache names another folder; until then it is made "
                "anew at each start",
                self.folder,
                error.strerror or error,
            )

    def _make_room(self) -> None:
        """Remove what was used longest ago; a file that was left half written counts as well."""
        files = sorted(
            ((path.stat(), path) for path in self.folder.iterdir() if path.suffix == self._suffix),
            key=lambda each: each[0].st_mtime_ns,
        )
        held = sum(status.st_size for status, _ in files)
        for status, path in files[:-1]:
            if held <= self._limit:
                return
            path.unlink(missing_ok=True)
            held -= status.st_size

    def _name(self, key: str, content: bytes) -> str:
        return f"{key[:_DIGITS]}.{hashlib.sha256(content).hexdigest()[:_DIGITS]}{self._suffix}"
