"""What a factory installs: the files parse, point to what exists, and fit the configuration."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import load
from tests.adapters.cli.conftest import CommandLine, gears, sightline

__all__ = ["gears", "sightline"]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
README = DEPLOY / "README.md"


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


def test_every_image_is_pinned_to_a_version(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    recipe = (DEPLOY / "Dockerfile").read_text()
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", recipe, flags=re.MULTILINE)
    froms = re.findall(r"^FROM (\S+)", recipe, flags=re.MULTILINE)
    assert froms == [f"python:{'${PYTHON}'}-slim-bookworm"] * 2
    for image in [*images, f"python:{python}"]:
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?", image), image


def test_compose_with_tls_adds_to_what_compose_has(compose: dict[str, Any]) -> None:
    """Ports, certificates, health and the agent's side agree; the authority's key stays outside."""
    more = yaml.safe_load((DEPLOY / "compose.tls.yaml").read_text())
    assert set(more["services"]) <= set(compose["services"])
    broker, agent = more["services"]["mosquitto"], more["services"]["agent"]
    (port,) = re.findall(r"^listener (\d+)$", (DEPLOY / "mosquitto/tls.conf").read_text(), flags=re.MULTILINE)
    assert broker["ports"] == [f"${{BROKER_TLS_ADDRESS:-0.0.0.0}}:{port}:{port}"]
    assert f"-p {port} " in broker["healthcheck"]["test"][1]
    environ = agent["environment"]
    settings = load(DEPLOY / "sightline.yaml", environ=environ).settings
    assert (settings.broker.host, settings.broker.port, settings.broker.secure) == (
        "mosquitto",
        int(port),
        True,
    )
    assert settings.broker.username == "agent"
    assert settings.broker.tls.ca == Path("/run/secrets/tls_ca")
    for service in (broker, agent):
        assert set(service["secrets"]) <= set(more["secrets"])
        for volume in service.get("volumes", []):
            assert (DEPLOY / volume.partition(":")[0]).is_file()
    assert "ca.key" not in [Path(secret["file"]).name for secret in more["secrets"].values()]
    assert all(secret["file"].startswith("./secrets/tls/") for secret in more["secrets"].values())


def commands() -> list[str]:
    """Every command of deploy/README.md, its lines joined."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def test_what_the_unit_names_is_installed_by_the_documentation() -> None:
    unit = (DEPLOY / "systemd" / "sightline.service").read_text()
    installed: dict[str, str] = {}
    for command in commands():
        found = re.fullmatch(r"sudo install (?:-D )?-m 644 (\S+) (\S+)", command)
        if found:
            target = found[2] + Path(found[1]).name if found[2].endswith("/") else found[2]
            installed[target] = found[1]
    assert all((ROOT / source).is_file() for source in installed.values())
    (page,) = re.findall(r"^Documentation=file://(\S+)$", unit, flags=re.MULTILINE)
    assert page in installed
    (program, config) = re.findall(r"^ExecStart=(\S+) run --config (\S+)$", unit, flags=re.MULTILINE)[0]
    assert config in installed
    assert f"sudo python3 -m venv {Path(program).parents[1]}" in commands()
    (user,) = re.findall(r"^User=(\S+)$", unit, flags=re.MULTILINE)
    (home,) = (f"/var/lib/{name}" for name in re.findall(r"^StateDirectory=(\S+)$", unit, flags=re.MULTILINE))
    assert f"sudo useradd --system --home-dir {home} --shell /usr/sbin/nologin {user}" in commands()
    (secrets,) = re.findall(r"^LoadCredential=\w+:(\S+)/broker_agent$", unit, flags=re.MULTILINE)
    assert f"sudo deploy/prepare {secrets}" in commands()
    settings = load(DEPLOY / "systemd" / "sightline.yaml", environ={}).settings
    for path in (settings.media.path, settings.models.path, Path(settings.database.url[len("sqlite:///") :])):
        assert path.is_relative_to(home)
    (enroll,) = (one for one in commands() if " enroll " in one and "docker" not in one)
    assert enroll.startswith(f"sudo -u {user} {program} enroll --config {config} ")
    (checking,) = (one for one in commands() if " check " in one and "docker" not in one)
    assert f"={secrets}/broker_agent " in checking
    assert f"{program} check --config {config}" in " ".join(checking.split())


def test_the_container_enrolls_from_a_mounted_folder(compose: dict[str, Any]) -> None:
    (command,) = (one for one in commands() if " enroll " in one and one.startswith("docker"))
    (mount,) = re.findall(r'--volume "\$PWD/\S+:(/\S+):ro"', command)
    (config,) = re.findall(r"--config (\S+)", command)
    (folder,) = re.findall(r"--references (\S+)", command)
    assert Path(folder).is_relative_to(mount)
    agent = compose["services"]["agent"]
    assert any(volume.split(":")[1] == config for volume in agent["volumes"])
    settings = load(DEPLOY / "sightline.yaml").settings
    kept = [volume.split(":")[1] for volume in agent["volumes"] if not volume.startswith(".")]
    assert any(settings.media.path.is_relative_to(place) for place in kept), (
        "references outlive the container"
    )
    assert 'ENTRYPOINT ["sightline"]' in (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("of_container", [True, False])
def test_the_documented_enrollment_can_be_typed(
    sightline: CommandLine, gears: Callable[[str, int], Path], of_container: bool
) -> None:
    (command,) = (one for one in commands() if " enroll " in one and ("docker" in one) is of_container)
    words = shlex.split(command.partition(" enroll ")[2])
    words[words.index("--references") + 1] = str(gears("good", 9))
    words[words.index("--config") + 1] = str(sightline.folder / "sightline.yaml")
    (sightline.folder / "sightline.yaml").write_text("agent: {id: cell-8}\n")
    done = sightline("enroll", *words)
    assert "BRK-204 (bracket): recipe version 1 with 9 references" in done.stdout
