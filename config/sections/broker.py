"""``BrokerSettings`` and ``TopicSettings``: the MQTT broker and the topics."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from config.sections.base import Section, read_secret, refuse_mask
from config.sections.units import Duration

PORTS = {"mqtt": 1883, "mqtts": 8883, "embedded": 1883}
_LEVEL = re.compile(r"[^/+#\x00-\x1f\x7f-\x9f]+")


_OF_AGENT = ("status", "command", "reply")
"""Topics of the agent itself; the others are a camera's."""


class TlsSettings(Section):
    """Certificates for ``mqtts://``."""

    ca: Path | None = Field(
        None, title="CA file", description="Certificates to trust, PEM. null: those of the system."
    )
    cert: Path | None = Field(
        None, title="Client certificate", description="The agent's own certificate, PEM; needs `key`."
    )
    key: Path | None = Field(
        None, title="Client key", description="Private key of `cert`, PEM, without a passphrase."
    )
    verify_hostname: bool = Field(
        True,
        title="Verify the host name",
        description="Whether the broker's certificate must carry the name in `broker.url`.",
    )

    @model_validator(mode="after")
    def _pair(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("needs cert and key together, or neither")
        return self


class BrokerSettings(Section):
    """The broker that frames come from and verdicts go to."""

    url: str = Field(
        "mqtt://127.0.0.1:1883",
        title="URL",
        description="mqtt://HOST:PORT, mqtts://HOST:PORT with TLS, or embedded://127.0.0.1:PORT for a broker "
        "inside the agent's process, reachable from this machine only (port 0: any free one).",
    )
    version: Literal["auto", "5", "3.1.1"] = Field(
        "auto",
        title="MQTT version",
        description="5, 3.1.1, or auto: 5, or 3.1.1 if the broker refuses it.",
    )
    username: str | None = Field(None, title="User name", description="null: no log-in.")
    password: SecretStr | None = Field(
        None,
        title="Password",
        description="Meant for the environment (SIGHTLINE_BROKER__PASSWORD); files use password_file.",
    )
    password_file: Path | None = Field(
        None, title="Password file", description="File whose first line is the password."
    )
    tls: TlsSettings = Field(
        default_factory=TlsSettings, title="TLS", description="Certificates; used with mqtts:// only."
    )
    client_id: str | None = Field(
        None,
        title="Client id",
        min_length=1,
        max_length=128,
        description="Unique among the broker's clients, and stable. null: sightline- and the agent's id.",
    )
    keepalive_s: int = Field(
        30, title="Keepalive, s", ge=5, le=3600, description="Silence after which the broker drops the agent."
    )
    session_expiry: Duration = Field(
        timedelta(days=1),
        title="Session expiry",
        description="How long the broker keeps frames for an agent that is away (MQTT 5).",
    )
    receive_maximum: int = Field(
        64,
        title="Receive maximum",
        ge=1,
        le=65_535,
        description="Frames that the broker may have sent and not yet seen acknowledged: the back-pressure.",
    )
    max_outgoing: int = Field(
        256,
        title="Outgoing queue",
        ge=1,
        description="Messages handed to the client and not yet acknowledged; the rest waits in the database.",
    )
    reconnect_min_s: float = Field(
        0.5, title="First wait, s", gt=0, description="Wait before the first attempt to connect again."
    )
    reconnect_max_s: float = Field(
        30.0, title="Longest wait, s", gt=0, description="The wait doubles, with jitter, up to this."
    )

    @field_validator("version", mode="before")
    @classmethod
    def _version(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("is not a URL; write mqtt://HOST:PORT") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("should be mqtt://HOST:PORT, mqtts://HOST:PORT or embedded://127.0.0.1:PORT")
        if "@" in parts.netloc:
            raise ValueError(
                "should name no user; use broker.username and broker.password_file (a URL ends up in logs)"
            )
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("should end after the port")
        if parts.scheme == "embedded" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError(
                "is an embedded broker, which listens on 127.0.0.1 only: it asks for no password"
            )
        if port == 0 and parts.scheme != "embedded":
            raise ValueError("needs a port above 0")
        return url

    _unmasked = field_validator("password")(refuse_mask)

    @model_validator(mode="after")
    def _consistent(self) -> BrokerSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("has both password and password_file; keep one")
        if (self.password is not None or self.password_file is not None) and self.username is None:
            raise ValueError("has a password and no username")
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ValueError("has reconnect_min_s above reconnect_max_s")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the agent runs a broker of its own."""
        return urlsplit(self.url).scheme == "embedded"

    @property
    def secure(self) -> bool:
        """Whether the connection is TLS."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """As written, or the standard one of the scheme; 0 only for an embedded broker."""
        parts = urlsplit(self.url)
        return PORTS[parts.scheme] if parts.port is None else parts.port

    def read_password(self) -> str | None:
        """The password itself. Raises ConfigurationError if its file cannot be read."""
        return read_secret(self.password, self.password_file, "broker.password")


class TopicSettings(Section):
    """Templates of topics; ``{site} {line} {camera}`` stand for one level each, ``{agent}`` for its id.

    A topic without ``{line}`` is of cameras of the line ``main``, which the other topics then name.
    """

    frame: str = Field("{site}/{line}/{camera}/frame", title="Frames", description="In: images.")
    sku: str = Field(
        "{site}/{line}/{camera}/sku", title="Jobs", description="In, retained: the SKU that now runs."
    )
    reference: str = Field(
        "{site}/{line}/{camera}/reference", title="References", description="In: good parts to enroll."
    )
    feedback: str = Field(
        "{site}/{line}/{camera}/feedback",
        title="Feedback",
        description="In: a person's feedback on a verdict.",
    )
    verdict: str = Field("{site}/{line}/{camera}/verdict", title="Verdicts", description="Out, QoS 1.")
    alert: str = Field("{site}/{line}/{camera}/alert", title="Alerts", description="Out, QoS 1.")
    mask: str = Field("{site}/{line}/{camera}/mask", title="Masks", description="Out, QoS 1.")
    status: str = Field(
        "{site}/sightline/{agent}/status", title="Status", description="Out, retained: online and offline."
    )
    command: str = Field(
        "{site}/sightline/{agent}/command",
        title="Commands",
        description="In: recipes listed, shown, changed.",
    )
    reply: str = Field(
        "{site}/sightline/{agent}/reply",
        title="Replies",
        description="Out, QoS 1: answers to commands that name no response topic.",
    )

    @field_validator(
        "frame", "sku", "reference", "feedback", "verdict", "alert", "mask", "status", "command", "reply"
    )
    @classmethod
    def _template(cls, template: str, info: Any) -> str:
        of_agent = info.field_name in _OF_AGENT
        allowed = {"site", "agent"} if of_agent else {"site", "line", "camera"}
        # A + was meant for the line; without one, the template may leave the line out.
        needed = {"agent"} if of_agent else {"line", "camera"} if "+" in template else {"camera"}
        try:
            names = [name for _, name, spec, conversion in Formatter().parse(template) if name is not None]
            example = template.format(**dict.fromkeys(allowed, "x"))
        except (ValueError, KeyError, IndexError, AttributeError):
            raise ValueError(f"may hold {_braced(allowed)} and no other braces") from None
        if len(names) != len(set(names)) or not needed <= set(names):
            raise ValueError(f"should hold {_braced(needed)}, each once")
        levels = example.split("/")
        if not all(_LEVEL.fullmatch(level) for level in levels) or example.startswith("$"):
            raise ValueError("should have no empty level, no + or #, no control character, and no leading $")
        if not set(template.split("/")) >= {f"{{{name}}}" for name in names}:
            raise ValueError("should give each name in braces a level of its own")
        return template

    @model_validator(mode="after")
    def _apart(self) -> TopicSettings:
        """No subscription may cover what the agent itself sends, nor two kinds share a topic."""
        templates = list(self.model_dump().items())
        for index, (first, one) in enumerate(templates):
            for second, other in templates[index + 1 :]:
                if _overlap(one, other):
                    raise ValueError(
                        f"{first} and {second} could be the same topic; make a fixed level differ"
                    )
        return self


def _braced(names: set[str]) -> str:
    return " ".join(f"{{{name}}}" for name in sorted(names))


def _overlap(one: str, other: str) -> bool:
    """Whether some topic fits both templates: a name in braces stands for any level."""
    levels, others = one.split("/"), other.split("/")
    return len(levels) == len(others) and all(
        a == b or a.startswith("{") or b.startswith("{") for a, b in zip(levels, others, strict=True)
    )
