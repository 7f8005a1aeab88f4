"""``DatabaseSettings`` and ``MediaSettings``: the inspection history and its images."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from config.sections.base import Section, read_secret, refuse_mask
from config.sections.units import ByteCount, Duration

_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")
_SQLITE_OPTIONS = re.compile(
    r"(?:(?:mode|cache|immutable|nolock|psow|vfs|uri|timeout)=[\w.-]+(?:&(?!$)|$))+", re.ASCII
)
"""What SQLite and its driver know after the ? of a URL."""
_FORM = "should be sqlite:///PATH or postgresql://USER@HOST:PORT/NAME"


class KeepRowsSettings(Section):
    """How long rows beside the inspections are kept. Inspections and their defects stay for ever."""

    events: Duration | None = Field(
        timedelta(days=365), title="Events", description="Bad input, job changes, alerts. null: for ever."
    )
    sent: Duration | None = Field(
        timedelta(days=7),
        title="Sent messages",
        description="Messages that were sent, with their time. null: for ever.",
    )


class DatabaseSettings(Section):
    """The inspection history. A password inside the URL is moved to ``password``, which is masked."""

    url: str = Field(
        "sqlite:///var/history.db",
        title="URL",
        description="sqlite:///PATH (relative to the working directory; four slashes: absolute) or "
        "postgresql://USER@HOST:PORT/NAME.",
    )
    password: SecretStr | None = Field(
        None,
        title="Password",
        description="Meant for the environment (SIGHTLINE_DATABASE__PASSWORD); files use password_file.",
    )
    password_file: Path | None = Field(
        None, title="Password file", description="File whose first line is the password."
    )

    backup_before_upgrade: bool = Field(
        True,
        title="Backup before an upgrade",
        description="Copy a SQLite history beside itself before its schema changes; the newest three stay.",
    )
    keep: KeepRowsSettings = Field(
        default_factory=KeepRowsSettings, title="Retention", description="How long, by kind of row."
    )

    @model_validator(mode="before")
    @classmethod
    def _take_password_out_of_url(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("url"), str):
            return values
        bare, password = _split_password(values["url"])
        taken = {**values, "url": bare}
        if password is not None and not (values.get("password") or values.get("password_file")):
            taken["password"] = password
        return taken

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises if the port is not a number
        except ValueError:
            raise ValueError(_FORM) from None
        if parts.scheme not in _SCHEMES:
            raise ValueError(_FORM)
        if parts.scheme == "sqlite":
            if parts.netloc or len(parts.path) < 2:
                raise ValueError("should be sqlite:///PATH, with three slashes or four")
            if "?" in url and not _SQLITE_OPTIONS.fullmatch(url.partition("?")[2]):
                raise ValueError(
                    "holds a question mark, where the path of a URL ends: the history would be another file; "
                    "rename the file or folder"
                )
        elif not parts.hostname and "host=" not in parts.query:
            raise ValueError(_FORM)
        if "password=" in parts.query.lower():
            raise ValueError("should hold no password= after the ?; use database.password_file")
        return url

    _unmasked = field_validator("password")(refuse_mask)

    @model_validator(mode="after")
    def _consistent(self) -> DatabaseSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("has both password and password_file; keep one")
        return self

    @property
    def is_sqlite(self) -> bool:
        return urlsplit(self.url).scheme == "sqlite"

    def full_url(self) -> str:
        """The URL for SQLAlchemy, driver and password included: for the engine, never for a log.

        Raises ConfigurationError if the password's file cannot be read.
        """
        parts = urlsplit(self.url)
        if parts.scheme == "sqlite":
            return self.url
        password = read_secret(self.password, self.password_file, "database.password")
        user, separator, host = parts.netloc.rpartition("@")
        if password is not None:
            user, separator = f"{user}:{quote(password, safe='')}", "@"
        return urlunsplit(parts._replace(scheme="postgresql+psycopg", netloc=f"{user}{separator}{host}"))


def _split_password(url: str) -> tuple[str, str | None]:
    """The URL without its password, and the password; also of URLs that urlsplit refuses."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme == "sqlite":
        return url, None
    authority, slash, path = rest.partition("/")
    # The last @: an unescaped one in a password belongs to the password, never to what is shown.
    user_info, at, host = authority.rpartition("@")
    if not at and "@" in path:
        # A password with an unescaped slash: nothing after the first colon may be kept.
        user_info, at, host = rest.rpartition("@")
        slash = path = ""
    user, colon, password = user_info.partition(":")
    if not at or not colon:
        return url, None
    return f"{scheme}{mark}{user}{at}{host}{slash}{path}", unquote(password)


class KeepSettings(Section):
    """How long images are kept, by verdict; null: for ever. Rows of history stay."""

    pass_: Duration | None = Field(
        timedelta(days=7), alias="pass", title="PASS", description="Frames that passed."
    )
    fail: Duration | None = Field(timedelta(days=90), title="FAIL", description="Frames that failed.")
    review: Duration | None = Field(
        timedelta(days=90), title="REVIEW", description="Frames left to a person."
    )
    error: Duration | None = Field(
        timedelta(days=30), title="ERROR", description="Frames that could not be judged."
    )


class MediaSettings(Section):
    """Frames as received, masks and overlays."""

    path: Path = Field(Path("var/media"), title="Folder", description="Relative to the working directory.")
    keep: KeepSettings = Field(
        default_factory=KeepSettings, title="Retention", description="How long, by verdict."
    )
    reserve: ByteCount = Field(
        1_000_000_000,
        title="Reserve",
        ge=0,
        description="Free space that is defended: below it the oldest images go before their time, those "
        "of failed parts last. At most a tenth of the file system. 0: never.",
    )
    ballast: ByteCount = Field(
        32_000_000,
        title="Ballast",
        ge=0,
        description="A file that only takes space, given up first on a full disk so that there is room to "
        "make room. 0: none.",
    )
