"""Every setting reaches the part that it is about."""

from __future__ import annotations

from pathlib import Path

from agent.app.broker import broker_options, client_options
from config import Settings


def test_all_of_tls_reaches_the_agent_and_the_commands(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    tls = {"ca": ca, "verify_hostname": False}
    settings = Settings.model_validate({"broker": {"url": "mqtts://broker:8883", "tls": tls}})
    for options in (
        broker_options(settings, settings.broker.url),
        client_options(settings, settings.broker.url, "check"),
    ):
        assert (options.tls.ca, options.tls.verify_hostname) == (ca, False)
