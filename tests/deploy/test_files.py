"""What a factory installs: the files parse, point to what exists, and fit the configuration."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert isinstance(document, dict)
    return document


def test_compose_refers_to_files_that_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in compose["volumes"], (
                volume
            )
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"]
        for dependency in service.get("depends_on", {}):
            assert dependency in compose["services"]
    build = compose["services"]["agent"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_no_password_stands_in_compose(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            assert "PASSWORD" not in name or name.endswith("_FILE")


def test_every_service_says_whether_it_is_healthy(compose: dict[str, Any]) -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    for name, service in compose["services"].items():
        assert "healthcheck" in service or (name == "agent" and "HEALTHCHECK" in image), name


def test_the_agents_configuration_fits_the_compose_file(compose: dict[str, Any]) -> None:
    settings = load(DEPLOY / "sightline.yaml").settings
    agent = compose["services"]["agent"]
    assert settings.broker.host in compose["services"]
    assert settings.broker.password_file == Path("/run/secrets/broker_agent")
    assert settings.database.password_file == Path("/run/secrets/database")
    assert {"broker_agent", "database"} <= set(agent["secrets"])
    assert "@postgres:" in settings.database.url
    assert str(settings.media.path).startswith("/var/lib/sightline/")
    assert any(str(port).endswith(f":{settings.metrics.port}") for port in agent["ports"])


def test_the_broker_takes_the_largest_frame_as_base64_and_as_many_as_the_agent_asks_for() -> None:
    lines = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    values = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    settings = load(DEPLOY / "sightline.yaml").settings
    assert int(values["max_packet_size"]) > settings.frames.max_bytes * 4 / 3 + 10_000
    assert int(values["max_inflight_messages"]) >= settings.broker.receive_maximum
    assert values["allow_anonymous"] == "false"


def test_the_image_copies_only_what_the_context_lets_in() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    allowed = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", image, flags=re.MULTILINE):
        for source in line.split():
            assert source in allowed
            assert (ROOT / source).exists(), f"{source} is copied into the image and is not there"
    assert re.search(r"^USER sightline$", image, flags=re.MULTILINE)


def test_the_services_configuration_loads_with_what_the_unit_adds(tmp_path: Path) -> None:
    unit = (DEPLOY / "systemd" / "sightline.service").read_text()
    environ = dict(re.findall(r"^Environment=(SIGHTLINE_\w+)=(.+)$", unit, flags=re.MULTILINE))
    assert environ
    settings = load(DEPLOY / "systemd" / "sightline.yaml", environ=environ).settings
    assert settings.broker.password_file == Path("%d/broker_password")
    assert settings.database.is_sqlite


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    # verify wants the program to exist; the path it will have on the target machine does not matter here.
    text = (DEPLOY / "systemd" / "sightline.service").read_text()
    unit = tmp_path / "sightline.service"
    unit.write_text(text.replace("/opt/sightline/bin/sightline", "/bin/true"))
    answer = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    about_us = [
        line for line in answer.stderr.splitlines() if "sightline.service" in line and "man " not in line
    ]
    assert about_us == []


def test_prepare_makes_each_password_once(tmp_path: Path, compose: dict[str, Any]) -> None:
    folder = tmp_path / "secrets"

    def prepare() -> dict[str, str]:
        subprocess.run([str(DEPLOY / "prepare"), str(folder)], check=True, capture_output=True)
        return {file.name: file.read_text() for file in folder.iterdir()}

    first = prepare()
    assert set(first) == set(compose["secrets"])
    assert len(set(first.values())) == len(first)
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}\n", secret) for secret in first.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert prepare() == first
