"""``verify`` and ``LockFile``: sha256 of weights files, and the lock file that keeps them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from agent.domain.errors import ModelError

PULL_HINT = "run `sightline models pull` or name a local file under models.files"
LOCK_NAME = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](\S.*)")


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file. Raises ModelError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelError(f"there is no weights file {path}: {PULL_HINT}") from None
    except OSError as error:
        raise ModelError(f"the weights file {path} cannot be read ({error.strerror}): {PULL_HINT}") from error


def verify(path: Path, expected: str | None) -> str:
    """The digest of a file; refuses one that differs from ``expected``. Raises ModelError.

    ``expected`` may be the beginning of a digest, as some publishers put it into their file names.
    """
    digest = sha256_of(path)
    if expected is not None and not digest.startswith(expected.lower()):
        raise ModelError(
            f"the weights file {path} has sha256 {digest[:12]}... but {expected[:12]}... was expected: "
            "it is damaged or another version; run `sightline models pull`, which replaces it"
        )
    return digest


def combined(digests: Mapping[str, str]) -> str:
    """One digest of several files by name, in any order: names count as much as contents."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


class LockFile:
    """``SHA256SUMS`` beside the weights: the digest of each file at its first arrival.

    The format of coreutils, so that ``sha256sum -c SHA256SUMS`` reads it too. Names are relative to the
    folder, with forward slashes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LOCK_NAME

    def read(self) -> dict[str, str]:
        """Digest by name; empty if there is no lock file. Raises ModelError naming the bad line."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"the lock file {self.path} cannot be read: {error}") from error
        pinned = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.rstrip())
            if match is None:
                raise ModelError(
                    f"line {number} of {self.path} is not `SHA256  NAME`: mend or delete that line, then run "
                    "`sightline models verify --pin`"
                )
            pinned[match[2]] = match[1].lower()
        return pinned

    def expected(self, file: Path) -> str | None:
        """The pinned digest of a file in the folder; None for others."""
        try:
            name = file.relative_to(self.folder).as_posix()
        except ValueError:
            return None
        return self.read().get(name)

    def pin(self, digests: Mapping[str, str]) -> None:
        """Add or replace entries; the file is replaced as a whole, never half written."""
        entries = {**self.read(), **digests}
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(entries.items()))
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{LOCK_NAME}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)
