"""``open_secrets``: files with secrets that every user of the machine may read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings

_CONTAINER = Path("/run/secrets")
"""Folders of secrets in containers: open to every user there, and there is only one user."""


def open_secrets(settings: Settings) -> list[str]:
    """One sentence with a remedy for each password or key file that every user of the machine may read."""
    return [
        f"every user of this machine may read {file} ({key}); keep others out with chmod 600 {file}"
        for key, file in _files(settings)
        if _open_to_all(file)
    ]


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    found = {
        **{f"webhooks.{name}.key_file": one.key_file for name, one in settings.webhooks.items()},
        "broker.password_file": settings.broker.password_file,
        "broker.tls.key": settings.broker.tls.key,
        "database.password_file": settings.database.password_file,
        "ollama.key_file": settings.ollama.key_file,
    }
    return ((key, file) for key, file in found.items() if file is not None)


def _open_to_all(file: Path) -> bool:
    """Whether anybody may read it, and may enter all folders above it."""
    try:
        file = file.resolve()
        if file.is_relative_to(_CONTAINER) or not file.stat().st_mode & stat.S_IROTH:
            return False
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
    except OSError:
        return False  # the reader of the file reports why it cannot be read
