"""TLS against a real broker that asks for client certificates: who gets in, and why others do not."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.cli.checks import State, check_broker, check_secrets
from adapters.mqtt.options import Tls
from adapters.mqtt.tls import context_of
from agent.domain.errors import ConfigurationError, SightlineError
from agent.ports import OutboxMessage
from config import load
from tests.adapters.mqtt.helpers import Agent, options, until
from tests.fixtures.mosquitto import MOSQUITTO, Certificates, Mosquitto, make_certificates

SECRET = "a-very-secret-word"


@dataclass(frozen=True)
class Pki:
    """Two authorities, and brokers that trust the first."""

    folder: Path
    ours: Certificates
    theirs: Certificates
    brokers: dict[str, Mosquitto]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pki]:
    """Brokers: ``good``, ``expired``, ``misnamed`` and ``plain``."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp("pki")
    made = {}
    for name, names in (
        ("ours", "IP:127.0.0.1"),
        ("theirs", "IP:127.0.0.1"),
        ("elsewhere", "DNS:other.example"),
    ):
        (folder / name).mkdir()
        made[name] = make_certificates(folder / name, require_client=True, names=names)
    ours = made["ours"]
    expired = _signed(ours, "expired", "-1")
    _signed(ours, "late", "-1")
    _openssl(
        folder,
        "ec",
        "-in",
        str(ours.client_key),
        "-aes256",
        "-passout",
        f"pass:{SECRET}",
        "-out",
        "locked.key",
    )
    brokers = {
        "good": {"tls": ours, "users": {"agent": SECRET}},
        "expired": {
            "tls": Certificates(ours.ca, expired, ours.server_key, ours.client_cert, ours.client_key)
        },
        "misnamed": {"tls": made["elsewhere"]},
        "plain": {"users": {"agent": SECRET}},
    }
    started = {}
    for name, given in brokers.items():
        place = folder / f"broker-{name}"
        place.mkdir()
        started[name] = Mosquitto(place, **given).start()  # type: ignore[arg-type]
    yield Pki(folder, ours, made["theirs"], started)
    for broker in started.values():
        broker.stop()


def _openssl(folder: Path, *arguments: str) -> None:
    tool = shutil.which("openssl")
    assert tool is not None
    done = subprocess.run([tool, *arguments], capture_output=True, cwd=folder, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this openssl cannot do it: {done.stderr.strip()}")


def _signed(made: Certificates, name: str, days: str) -> Path:
    """A certificate of the server's or client's request, with another time."""
    request = "server.csr" if name == "expired" else "client.csr"
    _openssl(
        made.ca.parent,
        *("x509", "-req", "-in", request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", f"{name}.pem", "-days", days, "-extfile", "server.ext"),
    )
    return made.ca.parent / f"{name}.pem"


def reason_of(pki: Pki, broker: str, tls: Tls, **given: Any) -> str:
    """Why an agent does not get in, as it reports it."""
    url = pki.brokers[broker].url.replace("mqtt://", "mqtts://") if given.pop("secure", True) else None
    opts = options(url or f"mqtt://127.0.0.1:{pki.brokers[broker].port}", tls=tls, **given)
    with Agent(opts) as agent:
        assert until(lambda: agent.counters.get("mqtt_connection_failures"))
        assert not agent.transport.connected
        reason = agent.transport.last_error or ""
    assert SECRET not in reason
    assert "Traceback" not in reason
    assert "\n" not in reason
    return reason


def good(pki: Pki, **other: Path | None) -> Tls:
    files = {"ca": pki.ours.ca, "cert": pki.ours.client_cert, "key": pki.ours.client_key, **other}
    return Tls(**files)  # type: ignore[arg-type]


LOGIN = {"username": "agent", "password": SECRET}


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_with_all_in_order_the_agent_gets_in(pki: Pki, version: str) -> None:
    opts = options(pki.brokers["good"].url, tls=good(pki), version=version, **LOGIN)
    with Agent(opts) as agent:
        assert agent.transport.wait_connected(15), agent.transport.last_error


def test_the_name_in_the_certificate_may_be_the_user(pki: Pki, tmp_path: Path) -> None:
    """As deploy/README.md has it: no password at all, and the rights of the certificate's common name."""
    (tmp_path / "acl").write_text("user cell-7\ntopic write +/line/cam/verdict\n")
    (tmp_path / "acl").chmod(0o600)
    broker = Mosquitto(
        tmp_path,
        tls=pki.ours,
        extra=f"use_identity_as_username true\nacl_file {tmp_path / 'acl'}",
    ).start()
    try:
        with Agent(options(broker.url, tls=good(pki))) as agent:
            assert agent.transport.wait_connected(15), agent.transport.last_error
            for kind, taken in (("verdict", True), ("mask", False)):
                message = OutboxMessage("mqtt", kind, agent.topic(kind), b"{}")
                assert agent.transport.publish(message).wait(5) is taken
    finally:
        broker.stop()


def test_a_wrong_ca(pki: Pki) -> None:
    reason = reason_of(pki, "good", good(pki, ca=pki.theirs.ca), **LOGIN)
    assert "no CA that" in reason
    assert "set broker.tls.ca" in reason


def test_an_expired_certificate_of_the_broker(pki: Pki) -> None:
    assert "it has expired" in reason_of(pki, "expired", good(pki))


def test_a_certificate_for_another_host(pki: Pki) -> None:
    ca = pki.brokers["misnamed"].tls.ca  # type: ignore[union-attr]
    reason = reason_of(pki, "misnamed", good(pki, ca=ca))
    assert "it is not for 127.0.0.1" in reason
    assert "broker.url" in reason


@pytest.mark.parametrize("version", ["5", "auto"])
def test_no_client_certificate(pki: Pki, version: str) -> None:
    reason = reason_of(pki, "good", Tls(pki.ours.ca), version=version, **LOGIN)
    assert "asks for a client certificate" in reason
    assert "set broker.tls.cert and broker.tls.key" in reason


def test_a_client_certificate_of_another_ca(pki: Pki) -> None:
    reason = reason_of(
        pki, "good", good(pki, cert=pki.theirs.client_cert, key=pki.theirs.client_key), **LOGIN
    )
    assert "broker.tls.cert" in reason
    assert "by the broker's CA" in reason


def test_an_expired_client_certificate(pki: Pki) -> None:
    reason = reason_of(pki, "good", good(pki, cert=pki.ours.ca.parent / "late.pem"), **LOGIN)
    assert "broker.tls.cert" in reason


@pytest.mark.parametrize(
    "given", [{"username": "agent", "password": "another"}, {"username": "nobody", "password": SECRET}]
)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password_or_user(pki: Pki, given: dict[str, str], version: str) -> None:
    reason = reason_of(pki, "good", good(pki), version=version, **given)
    assert "check broker.username and broker.password_file" in reason
    assert given["password"] not in reason


def test_no_name_at_all(pki: Pki) -> None:
    assert "it lets nobody in without a name" in reason_of(pki, "good", good(pki))


def test_tls_to_a_port_without_it_and_the_other_way_round(pki: Pki) -> None:
    assert "mqtt://" in reason_of(pki, "plain", good(pki))
    assert "write mqtts:// in broker.url" in reason_of(pki, "good", Tls(), secure=False)


# ---------------------------------------------------------------------------------------- the files


def test_a_key_with_a_passphrase_asks_nobody(pki: Pki) -> None:
    with pytest.raises(ConfigurationError, match="is encrypted; give the key without a passphrase"):
        context_of(good(pki, key=pki.folder / "locked.key"))


def test_the_key_of_another_certificate(pki: Pki) -> None:
    with pytest.raises(ConfigurationError, match="is not the key of the certificate"):
        context_of(good(pki, key=pki.theirs.client_key))


@pytest.mark.parametrize(
    ("name", "word"), [("ca", "certificate"), ("cert", "certificate"), ("key", "private key")]
)
def test_files_that_hold_something_else(pki: Pki, tmp_path: Path, name: str, word: str) -> None:
    (tmp_path / "file.pem").write_text("something else\n")
    with pytest.raises(ConfigurationError, match=rf"broker\.tls\.{name}: .* holds no {word}"):
        context_of(good(pki, **{name: tmp_path / "file.pem"}))


def test_a_file_that_cannot_be_read(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"broker\.tls\.key: .* cannot be read"):
        context_of(good(pki, key=tmp_path))  # a folder: nobody can, whoever runs the tests


def test_tls_1_2_is_the_least() -> None:
    assert context_of(Tls()).minimum_version == ssl.TLSVersion.TLSv1_2
    assert context_of(Tls()).verify_mode == ssl.CERT_REQUIRED
    assert context_of(Tls(verify_hostname=False)).verify_mode == ssl.CERT_REQUIRED


# -------------------------------------------------------------------------------------------- check


def checked(
    pki: Pki, tmp_path: Path, broker: str = "good", password: str = SECRET, **other: Path | None
) -> str:
    """What ``sightline check`` reports of the broker."""
    (tmp_path / "password").write_text(password)
    (tmp_path / "password").chmod(0o600)
    tls = good(pki, **other)
    given = {
        "broker.url": pki.brokers[broker].url,
        "broker.username": "agent",
        "broker.password_file": str(tmp_path / "password"),
        "broker.tls.ca": str(tls.ca),
        **({"broker.tls.cert": str(tls.cert), "broker.tls.key": str(tls.key)} if tls.cert else {}),
    }
    settings = load(overrides=[f"{key}={value}" for key, value in given.items()], environ={}).settings
    try:
        finding = check_broker(settings)
    except SightlineError as error:
        return str(error)
    assert finding.state in (State.OK, State.FAILED)
    return finding.detail


@pytest.mark.slow
def test_check_says_the_same(pki: Pki, tmp_path: Path) -> None:
    assert "speaks MQTT 5 by TLS" in checked(pki, tmp_path)
    assert "set broker.tls.ca" in checked(pki, tmp_path, ca=pki.theirs.ca)
    assert "asks for a client certificate" in checked(pki, tmp_path, cert=None, key=None)
    assert "check broker.username" in checked(pki, tmp_path, password="wrong")
    assert "is encrypted" in checked(pki, tmp_path, key=pki.folder / "locked.key")


def test_check_warns_of_secrets_that_everybody_may_read(tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        file = folder / "password"
        file.write_text(SECRET)
        settings = load(
            overrides=[f"broker.password_file={file}", "broker.username=agent"], environ={}
        ).settings
        for folder_mode, file_mode, state in (
            (0o755, 0o644, State.WARNING),
            (0o755, 0o600, State.OK),
            (0o700, 0o444, State.OK),
        ):
            folder.chmod(folder_mode)
            file.chmod(file_mode)
            finding = check_secrets(settings)
            assert finding.state is state
            assert SECRET not in finding.detail
        folder.chmod(0o755)
        file.chmod(0o644)
        assert f"chmod 600 {file}" in check_secrets(settings).detail
