"""``set_up``: logging to standard error, as ``logging`` in the configuration asks for it."""

from __future__ import annotations

import atexit
import json
import logging
import sys
from datetime import UTC, datetime

from adapters.observability.log_rate import LogRate
from agent.telemetry import NAMES
from config.sections.observability import LoggingSettings

OURS = ("agent", "adapters", "storage", "config")
"""Loggers of Sightline; libraries log only from WARNING up, whatever its level is."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """``time level logger thread message``, then ``camera sku frame_id inspection_id`` of a line about a
        frame, and ``exception`` if there is one.
        """
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For people: the fields of a line about a frame in brackets behind its sentence."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name of the base class
        """The line without its traceback."""
        line = super().formatMessage(record)
        fields = [_plain(value) for name, value in _fields(record).items() if name != "inspection_id"]
        return f"{line} [{' '.join(fields)}]" if fields else line


def _fields(record: logging.LogRecord) -> dict[str, str]:
    return {name: str(getattr(record, name)) for name in NAMES if getattr(record, name, None) is not None}


def _plain(text: str) -> str:
    """Anybody chooses names: nothing in them may look like another line."""
    return text if text.isprintable() else ascii(text)


def set_up(settings: LoggingSettings, *, level: str | None = None) -> None:
    """Send logs to stderr. ``level`` replaces the configured one, for commands that only want warnings."""
    handler = _handler(settings)
    rate = LogRate(lambda record: _emit(handler, record))
    handler.addFilter(rate)
    root = logging.getLogger()
    for old in list(root.handlers):
        before = getattr(old, "_sightline", None)
        if before is not None:
            before.flush()
            atexit.unregister(before.flush)
            root.removeHandler(old)
    handler._sightline = rate  # type: ignore[attr-defined]
    atexit.register(rate.flush)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level or settings.level)


def _emit(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Write a record past the filters of the handler."""
    handler.acquire()
    try:
        handler.emit(record)
    finally:
        handler.release()


def _handler(settings: LoggingSettings) -> logging.Handler:
    if settings.format == "json":
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        return handler
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        console = Console(file=sys.stderr, highlight=False)
        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", markup=False)
        handler.setFormatter(TextFormatter("%(message)s"))
        return handler
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    return handler
