"""``Section``: the base class of every section of the configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from agent.domain.errors import ConfigurationError

CAMERA_NAME = r"[^/+#\x00-\x1f\x7f-\x9f]{0,255}/[^/+#\x00-\x1f\x7f-\x9f]{0,255}"
"""LINE/CAMERA, each with all that MQTT allows in a level, an empty one too."""
MASK = "********"
"""Shown instead of a secret wherever the configuration is shown."""


class Section(BaseModel):
    """Keys that belong together. Unknown ones are refused, and values never appear in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
        defer_build=True,  # sections are built once, as parts of Settings, which saves every command time
    )


@dataclass(frozen=True, slots=True)
class Matching:
    """Metadata of a text key: it matches ``pattern`` from end to end, or is refused with ``sentence``."""

    pattern: str
    sentence: str
    """What the text should be, after "should be"."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^({self.pattern})$"}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"should be {self.sentence}")
        return text


def refuse_mask(password: SecretStr | None) -> SecretStr | None:
    """Refuse the mask: a masked configuration that is loaded again would log in with it."""
    if password is not None and password.get_secret_value() == MASK:
        raise ValueError(f"is the mask {MASK} that `sightline config show` prints, not a password")
    return password


def read_secret(
    value: SecretStr | None, file: Path | None, key: str, *, what: str = "password"
) -> str | None:
    """The secret itself, from the value or the first line of the file.

    Raises ConfigurationError if the file cannot be read or is empty.
    """
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        secret = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"{key}_file: {file} cannot be read: {reason}") from error
    if not secret:
        raise ConfigurationError(f"{key}_file: the first line of {file} is empty; write the {what} there")
    return secret
