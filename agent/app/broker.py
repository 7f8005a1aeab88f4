"""Connections to the configured broker: options of the agent's client and of the clients of commands."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace

from adapters.mqtt.camera_publisher import CameraPublisher, Form
from adapters.mqtt.options import BrokerOptions, Tls
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from config import Settings


def topics_of(settings: Settings) -> Topics:
    return Topics(settings.agent.site, settings.agent.id, settings.topics.model_dump())


def broker_options(settings: Settings, url: str) -> BrokerOptions:
    """Options of the agent's own connection to the broker at ``url``."""
    return _options(settings, url, _tls(settings))


def reachable_url(settings: Settings) -> str:
    """The broker's URL for another process, also if an agent embeds the broker on a fixed port."""
    broker = settings.broker
    return f"mqtt://{broker.host}:{broker.port}" if broker.embedded else broker.url


def client_options(settings: Settings, url: str, role: str, version: str | None = None) -> BrokerOptions:
    """The agent's login with a client id of its own, without a session that would stay on the broker."""
    options = _options(settings, url, _tls(settings) if url.startswith("mqtts") else Tls())
    return replace(
        options,
        client_id=f"sightline-{role}-{os.getpid()}-{secrets.token_hex(3)}",
        version=version or options.version,
        session_expiry_s=0,
    )


def camera_publisher(
    settings: Settings,
    url: str,
    camera: Camera,
    *,
    form: Form,
    role: str = "camera",
    version: str | None = None,
) -> CameraPublisher:
    """A publisher for one camera of this site, not yet connected."""
    options = client_options(settings, url, role, version)
    return CameraPublisher(options, topics_of(settings), camera, form=form)


def _tls(settings: Settings) -> Tls:
    tls = settings.broker.tls
    return Tls(tls.ca, tls.cert, tls.key, tls.verify_hostname)


def _options(settings: Settings, url: str, tls: Tls) -> BrokerOptions:
    broker = settings.broker
    return BrokerOptions(
        url=url,
        client_id=settings.client_id,
        version=broker.version,
        username=broker.username,
        password=broker.read_password(),
        tls=tls,
        keepalive_s=broker.keepalive_s,
        session_expiry_s=int(broker.session_expiry.total_seconds()),
        receive_maximum=broker.receive_maximum,
        max_outgoing=broker.max_outgoing,
        backoff_min_s=broker.reconnect_min_s,
        backoff_max_s=broker.reconnect_max_s,
    )
