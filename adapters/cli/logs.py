"""Logging to standard error, as ``logging`` in the configuration asks for."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from config.settings import LoggingSettings

OURS = ("agent", "adapters", "storage", "config")
"""Libraries speak only from WARNING up, whatever level is asked of Sightline."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """``time level logger thread message`` and, where there is one, ``exception``."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(settings: LoggingSettings, *, level: str | None = None) -> None:
    """Send logs to stderr. ``level`` replaces the configured one (commands that only want warnings)."""
    handler = _handler(settings)
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "_sightline", False):
            root.removeHandler(old)
    handler._sightline = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level or settings.level)


def _handler(settings: LoggingSettings) -> logging.Handler:
    if settings.format == "json":
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        return handler
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        from adapters.cli.screen import stderr

        handler = RichHandler(console=stderr(), show_path=False, log_time_format="%H:%M:%S", markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
        return handler
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    return handler
