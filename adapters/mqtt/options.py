"""``BrokerOptions``: how to reach a broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.domain.errors import ConfigurationError

VERSIONS = ("auto", "5", "3.1.1")
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for TLS. Without ``ca`` the system's certificates are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify_hostname: bool = True
    """Whether the broker's certificate must carry the name in ``url``; it must be trusted anyway."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """The broker's address, the client's identity, and the client's own limits.

    Raises ConfigurationError if the URL, the version or a file is unusable.
    """

    url: str = "mqtt://127.0.0.1:1883"
    client_id: str = "sightline"
    version: str = "auto"
    """``auto`` tries MQTT 5 and falls back to 3.1.1 if the broker refuses it."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    tls: Tls = field(default_factory=Tls)
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    session_expiry_s: int = 86_400
    """How long the broker keeps the session and its frames during an absence (MQTT 5). 0: clean sessions."""
    receive_maximum: int = 64
    """Unacknowledged deliveries at most. An MQTT 5 broker keeps to it; in 3.1.1 its own limit applies
    (mosquitto: ``max_inflight_messages``, 20). If it sends more, the client stops reading the socket."""
    max_outgoing: int = 256
    """Messages handed over and not yet acknowledged by the broker, at most."""
    backoff_min_s: float = 0.5
    backoff_max_s: float = 30.0

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ConfigurationError(f"broker.version is one of {', '.join(VERSIONS)}, not {self.version!r}")
        parts = urlsplit(self.url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ConfigurationError("broker.url must read mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0:
            raise ConfigurationError("the port in broker.url must be a number from 1 to 65535")
        if not 1 <= self.receive_maximum <= 65_535:
            raise ConfigurationError("broker.receive_maximum must be 1 to 65535")
        if self.max_outgoing < 1:
            raise ConfigurationError("broker.max_outgoing must be at least 1")
        if (self.tls.cert is None) != (self.tls.key is None):
            raise ConfigurationError(
                "broker.tls.cert and broker.tls.key belong together; give both or neither"
            )
        for name, file in (
            ("tls.ca", self.tls.ca),
            ("tls.cert", self.tls.cert),
            ("tls.key", self.tls.key),
            ("password_file", self.password_file),
        ):
            if file is not None and not Path(file).is_file():
                raise ConfigurationError(f"broker.{name} names {file}, which is not a readable file")

    @property
    def secure(self) -> bool:
        """Whether the connection is TLS."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or PORTS[parts.scheme]

    @property
    def address(self) -> str:
        """``host:port`` for logs, without any secret."""
        return f"{self.host}:{self.port}"

    def credentials(self) -> tuple[str | None, str | None]:
        """User and password: from the options, else from the URL. The file is read at each connect.

        Raises ConfigurationError if the password file cannot be read.
        """
        parts = urlsplit(self.url)
        user = self.username or (unquote(parts.username) if parts.username else None)
        password = self.password or (unquote(parts.password) if parts.password else None)
        if self.password_file is not None:
            try:
                password = Path(self.password_file).read_text(encoding="utf-8").strip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"the password file {self.password_file} cannot be read: {error}"
                ) from None
        return user, password
