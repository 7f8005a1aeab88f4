"""``WebhookSettings``: one URL to which verdicts and alerts are posted."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, Secret, field_validator

from agent.domain.errors import ConfigurationError
from agent.domain.names import clean_name
from config.sections.base import CAMERA_NAME, MASK, Matching, Section
from config.sections.units import Duration

SHORTEST_KEY = 16
"""Bytes. A shorter key could be guessed from one signed message."""
LONGEST_TIMEOUT = timedelta(minutes=1)

VerdictName = Literal["PASS", "FAIL", "REVIEW", "ERROR", "SKIPPED"]
CameraName = Annotated[str, Matching(CAMERA_NAME, "LINE/CAMERA")]


class SecretUrl(Secret[str]):
    """A URL of which only scheme, host and port are shown: its path may hold a token."""

    def parts(self) -> SplitResult:
        return urlsplit(self.get_secret_value())

    def _display(self) -> str:
        parts = self.parts()
        return f"{parts.scheme}://{parts.netloc}/{MASK}"


class WebhookSettings(Section):
    """Where verdicts and alerts are posted to, and which."""

    url: SecretUrl = Field(
        title="URL",
        description="http://HOST/PATH or https://HOST/PATH. Redirects and proxies are not followed.",
    )
    kinds: list[Literal["verdict", "alert"]] = Field(
        ["verdict", "alert"],
        title="Kinds",
        min_length=1,
        description="verdict: one message for each inspection that `verdicts` names. alert: bursts, drift, "
        "lost frames, silent cameras, full disks; failed parts come as verdicts.",
    )
    verdicts: list[VerdictName] = Field(
        ["FAIL", "ERROR"],
        title="Verdicts",
        description="Which verdicts are posted: PASS, FAIL, REVIEW, ERROR, SKIPPED.",
    )
    skus: list[str] = Field(
        default_factory=list,
        title="SKUs",
        description="Only what is about these; alerts that name no SKU are posted too. []: all.",
    )
    cameras: list[CameraName] = Field(
        default_factory=list,
        title="Cameras",
        description="Only what is about these, as LINE/CAMERA; alerts of the agent itself are posted too. "
        "[]: all.",
    )
    key_file: Path | None = Field(
        None,
        title="Key file",
        description=f"A file with a secret of at least {SHORTEST_KEY} bytes that the receiver knows too; it "
        "signs each message. null: messages are not signed.",
    )
    timeout: Duration = Field(
        timedelta(seconds=10),
        title="Timeout",
        gt=timedelta(0),
        le=LONGEST_TIMEOUT,
        description="Longest wait for the answer to one message, connecting included.",
    )
    allowed_addresses: list[str] = Field(
        default_factory=list,
        title="Allowed addresses",
        description="Addresses or networks inside the plant that the URL may lead to: 192.168.1.20, or "
        "192.168.10.0/24. Public addresses need no entry.",
    )
    ca_file: Path | None = Field(
        None,
        title="CA certificates",
        description="PEM file with the certificate authorities to trust for https, such as the plant's own. "
        "null: those of the system.",
    )

    @field_validator("url")
    @classmethod
    def _url(cls, url: SecretUrl) -> SecretUrl:
        text = url.get_secret_value()
        if MASK in text:
            raise ValueError(
                f"holds the mask {MASK} that `sightline config show` prints; write the URL itself"
            )
        try:
            parts = url.parts()
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        good = host and host.isascii() and "%" not in host and port != 0 and text.isprintable()
        if not good or parts.scheme not in ("http", "https") or "@" in parts.netloc:
            raise ValueError("should be http://HOST/PATH or https://HOST/PATH, without a user")
        return url

    @field_validator("skus")
    @classmethod
    def _skus(cls, skus: list[str]) -> list[str]:
        for sku in skus:
            clean_name(sku)  # raises
        return skus

    @field_validator("allowed_addresses")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        for entry in value:
            try:
                ipaddress.ip_network(entry.strip())
            except ValueError:
                raise ValueError(f"{entry!r} should be ADDRESS or NETWORK such as 192.168.10.0/24") from None
        return value

    def read_key(self, name: str) -> bytes | None:
        """The secret of the webhook ``name``, without the line break at its end; None if there is none.

        Raises ConfigurationError: the file cannot be read or is too short.
        """
        if self.key_file is None:
            return None
        key = f"webhooks.{name}.key_file"
        try:
            secret = self.key_file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{key}: {self.key_file} cannot be read: {error.strerror}") from error
        secret = secret.removesuffix(b"\n").removesuffix(b"\r")
        if len(secret) < SHORTEST_KEY:
            raise ConfigurationError(
                f"{key}: {self.key_file} holds {len(secret)} bytes, and a key needs at least {SHORTEST_KEY}; "
                f"make one with `openssl rand -hex 32 > {self.key_file}`"
            )
        return secret
