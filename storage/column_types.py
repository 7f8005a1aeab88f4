"""``UtcDateTime`` and others: column types that behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

RowId = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit row number. SQLite counts up only what is declared INTEGER, which has 64 bits there."""

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

SKU_BYTES = 1020
"""255 characters of at most four UTF-8 bytes: every legal SKU is stored as it is."""

NAME_BYTES = 500
"""Four of these (site, line, camera, frame id) fit into one PostgreSQL index row of 2,704 bytes."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; naive datetimes are refused with a ValueError.

    PostgreSQL keeps it as TIMESTAMP WITH TIME ZONE. SQLite, which has no such type, keeps RFC 3339
    text of fixed width (``2026-11-20T10:32:55.000000Z``). It sorts by time, SQLite's date functions
    read it, and its zone is explicit.
    """

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError(f"the time {value.isoformat()} has no zone; times are stored as UTC, give one")
        moment = _in_utc(value)
        if dialect.name == "postgresql":
            return moment
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # year 1 or 9999 and an offset: a camera's clock, not a reason to lose its frame
        return _FIRST if moment.year == _FIRST.year else _LAST


def storable(text: str) -> str:
    r"""``text`` without what a database refuses: NUL becomes ``\x00``, a lone surrogate ``\ud800``.

    Both can arrive in the JSON of a message, and neither may cost the row. Escapes instead of a
    replacement character keep different texts different.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


class CleanText(TypeDecorator[str]):
    """Text of any length from a message, made :func:`storable`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Name(TypeDecorator[str]):
    """A name from a message, for an index: at most ``max_bytes`` of UTF-8, compared bytewise.

    A longer name keeps its beginning, followed by ``~`` and its sha256, because an index row has a limit
    (PostgreSQL: 2,704 bytes). So a frame with an absurd id still gets its one row, which the same id
    finds again. Bytewise order (collation C) gives range scans the same meaning on both databases.
    """

    impl = Text
    cache_ok = True

    def __init__(self, max_bytes: int = NAME_BYTES) -> None:
        super().__init__()
        self.max_bytes = max_bytes

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TEXT(collation="C"))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        clean = storable(value)
        encoded = clean.encode()
        if len(encoded) <= self.max_bytes:
            return clean
        digest = hashlib.sha256(encoded).hexdigest()
        return encoded[: self.max_bytes - len(digest) - 1].decode("utf-8", "ignore") + "~" + digest
