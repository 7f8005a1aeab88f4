"""Connections of commands to the broker of the configuration."""

from __future__ import annotations

import os
import secrets

from adapters.mqtt.camera_publisher import CameraPublisher, Form
from adapters.mqtt.options import BrokerOptions, Tls
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from config import Settings


def reachable_url(settings: Settings) -> str:
    """Where another process finds the broker, also where an agent embeds it on a fixed port."""
    broker = settings.broker
    return f"mqtt://{broker.host}:{broker.port}" if broker.embedded else broker.url


def client_options(settings: Settings, url: str, role: str, version: str | None = None) -> BrokerOptions:
    """As the agent logs in, with a client id of its own and no session that would stay behind."""
    broker = settings.broker
    tls = Tls(broker.tls.ca, broker.tls.cert, broker.tls.key, broker.tls.verify_hostname)
    return BrokerOptions(
        url=url,
        client_id=f"sightline-{role}-{os.getpid()}-{secrets.token_hex(3)}",
        version=version or broker.version,
        username=broker.username,
        password=broker.read_password(),
        tls=tls if url.startswith("mqtts") else Tls(),
        keepalive_s=broker.keepalive_s,
        session_expiry_s=0,
        max_outgoing=broker.max_outgoing,
        backoff_min_s=broker.reconnect_min_s,
        backoff_max_s=broker.reconnect_max_s,
    )


def topics_of(settings: Settings) -> Topics:
    """The topics of the configuration."""
    return Topics(settings.agent.site, settings.agent.id, settings.topics.model_dump())


def camera_publisher(
    settings: Settings,
    url: str,
    camera: Camera,
    *,
    form: Form,
    role: str = "camera",
    version: str | None = None,
) -> CameraPublisher:
    """A camera of this site; not yet connected."""
    return CameraPublisher(
        client_options(settings, url, role, version), topics_of(settings), camera, form=form
    )
