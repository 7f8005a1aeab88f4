"""WebhookOptions: one configured URL; MessageFilter: what is posted to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from adapters.http.connection import HttpUrl
from adapters.http.hosts import AllowedHosts, parse_address
from agent.domain.errors import ConfigurationError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.inspection import Inspection
from agent.domain.names import clean_name
from config.sections.webhooks import WebhookSettings


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages are posted. An empty set of SKUs or cameras means all."""

    kinds: frozenset[str] = frozenset({"verdict", "alert"})
    verdicts: frozenset[str] = frozenset({"FAIL", "ERROR"})
    skus: frozenset[str] = frozenset()
    cameras: frozenset[str] = frozenset()
    """As LINE/CAMERA."""

    def wants_verdict(self, inspection: Inspection) -> bool:
        return (
            "verdict" in self.kinds
            and inspection.verdict.value in self.verdicts
            and (not self.skus or inspection.sku in self.skus)
            and self._wants_camera(inspection.identity.camera)
        )

    def wants_alert(self, event: Event, camera: Camera) -> bool:
        """Events of the agent itself name no camera, and those of a camera may name no SKU. A filter drops no
        event that lacks the field it filters by."""
        return (
            "alert" in self.kinds
            and (not self.skus or event.sku is None or event.sku in self.skus)
            and (event.camera is None or self._wants_camera(camera))
        )

    def _wants_camera(self, camera: Camera) -> bool:
        return not self.cameras or f"{camera.line}/{camera.camera}" in self.cameras


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """One URL. Neither the key nor the path of the URL is in its repr."""

    name: str
    url: HttpUrl
    wanted: MessageFilter = field(default_factory=MessageFilter)
    key: bytes | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    """Private addresses that the URL may lead to."""
    trusted: ssl.SSLContext | None = None
    """For https; None: the system's certificates."""

    @classmethod
    def of(cls, name: str, settings: WebhookSettings) -> WebhookOptions:
        """Raises ConfigurationError: a file cannot be used, or the address is private and not listed."""
        url = HttpUrl.parse(settings.url.get_secret_value(), "URL")
        hosts = AllowedHosts(settings.allowed_addresses)
        address = parse_address(url.host)
        if address is not None and not hosts.reaches(address):
            raise ConfigurationError(
                f"webhooks.{name}.url leads to {address}, which is not a public address; if it is a receiver "
                f"of your own, list it: webhooks.{name}.allowed_addresses: [{address}]"
            )
        return cls(
            name,
            url,
            MessageFilter(
                frozenset(settings.kinds),
                frozenset(settings.verdicts),
                # As written too: a product from before names had one form keeps its spelling.
                frozenset((*settings.skus, *map(clean_name, settings.skus))),
                frozenset(settings.cameras),
            ),
            key=settings.read_key(name),
            timeout_s=settings.timeout.total_seconds(),
            hosts=hosts,
            trusted=None if settings.ca_file is None else _trusting(settings.ca_file, name),
        )

    @property
    def sink(self) -> str:
        """Its name among the sinks."""
        return f"webhook:{self.name}"

    @property
    def setting(self) -> str:
        """The key of the configuration that allows addresses, for sentences."""
        return f"webhooks.{self.name}.allowed_addresses"

    def __str__(self) -> str:
        """The webhook in logs and errors, without port and path."""
        return f"webhook {self.name!r} at {self.url.scheme}://{self.url.host}"


def _trusting(file: Path, name: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(file))
    except OSError as error:
        unusable = isinstance(error, ssl.SSLError)
        reason = "it holds no certificate in PEM format" if unusable else error.strerror
        raise ConfigurationError(f"webhooks.{name}.ca_file: {file} cannot be used: {reason}") from error
