"""MetricsServer, queried by a real HTTP client."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from adapters.cli.checks import check_metrics
from adapters.observability import server as module
from adapters.observability.collector import registry_of
from adapters.observability.health import Health
from adapters.observability.health_source import BrokerState
from adapters.observability.server import Answers, MetricsServer, check_port, who_serves
from agent.domain.errors import ConfigurationError
from config import Settings
from tests.support.factory import wait_until
from tests.support.observed_agent import ObservedAgent, pipeline_state

CLIENT = httpx.Client(timeout=10.0, trust_env=False)
"""A proxy of the machine has nothing to do with its loopback."""


@contextmanager
def served(agent: ObservedAgent, host: str = "127.0.0.1") -> Iterator[str]:
    source = agent.source()
    health = Health(source)
    server = MetricsServer(host, 0, Answers(registry_of(source, health), health, source.info))
    server.start()
    try:
        yield server.url
    finally:
        server.close()


@pytest.fixture
def agent() -> ObservedAgent:
    return ObservedAgent()


@pytest.fixture
def url(agent: ObservedAgent) -> Iterator[str]:
    with served(agent) as url:
        yield url


def test_metrics_in_the_format_that_is_asked_for(url: str) -> None:
    plain = CLIENT.get(f"{url}/metrics")
    assert plain.status_code == 200
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'sightline_build_info{agent="cell-7"' in plain.text
    opened = CLIENT.get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")


def test_health_and_readiness_follow_the_agent(url: str, agent: ObservedAgent) -> None:
    assert CLIENT.get(f"{url}/healthz").status_code == 200
    assert CLIENT.get(f"{url}/readyz").json()["ok"] is True
    agent.broker = BrokerState(False, "Connection refused", 0)
    assert CLIENT.get(f"{url}/healthz").status_code == 200
    answer = CLIENT.get(f"{url}/readyz")
    assert answer.status_code == 503
    body = answer.json()
    assert (body["agent"], body["ok"]) == ("cell-7", False)
    assert {"name": "broker", "ok": False, "detail": "Connection refused"} in body["checks"]
    agent.pipeline = pipeline_state(failed=True)
    assert CLIENT.get(f"{url}/healthz").status_code == 503


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/metrics?name[]=x"])
def test_head_has_the_headers_of_get(url: str, path: str) -> None:
    head, get = CLIENT.head(url + path), CLIENT.get(url + path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert get.headers["cache-control"] == head.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/../etc/passwd", "/%00", "/x" * 5000])
def test_nothing_else_is_there(url: str, path: str) -> None:
    answer = CLIENT.get(url + path)
    assert answer.status_code == 404
    assert answer.text == "there are /metrics, /healthz and /readyz\n"
    assert answer.headers["cache-control"] == "no-store"
    assert "Python" not in answer.headers["server"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_nothing_can_be_written(url: str, method: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(method, "/metrics")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert b"<" not in answer.read()


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/x\r\n\r\n",
        b"GET " + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % i for i in range(200)) + b"\r\n",
        b"\xff\xfe\x00\x01" * 50 + b"\r\n\r\n",
        b"GET /<script> HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_gets_a_plain_refusal_and_harms_nobody(url: str, sent: bytes) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := client.recv(65_536):
                answer += chunk
        except ConnectionResetError:
            pass  # what was not read is dropped
    assert b"Traceback" not in answer
    assert b"<" not in answer
    assert b" 200 " not in answer
    assert CLIENT.get(f"{url}/healthz").status_code == 200


def test_a_page_that_fails_shows_no_stack(
    url: str, agent: ObservedAgent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_self: Health) -> None:
        raise RuntimeError("internal secret")

    monkeypatch.setattr(Health, "healthy", fail)
    answer = CLIENT.get(f"{url}/healthz")
    assert (answer.status_code, answer.text) == (500, "see the agent's log\n")
    assert "internal secret" in caplog.text


@pytest.mark.slow
def test_slow_clients_do_not_keep_the_others_out_for_long(
    agent: ObservedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_S", 0.2)
    with served(agent) as url:
        host, port = url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2 * module.CLIENTS)]

        def answers() -> bool:
            try:
                return CLIENT.get(f"{url}/healthz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, "the slow ones to be cut off")
        for client in slow:
            client.close()


def test_a_port_that_is_taken_is_an_error_with_remedies(agent: ObservedAgent, url: str) -> None:
    health = Health(agent.source())
    answers = Answers(registry_of(agent.source(), health), health, agent.source().info)
    port = int(url.rpartition(":")[2])
    with pytest.raises(ConfigurationError) as caught:
        MetricsServer("127.0.0.1", port, answers)
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is in use, perhaps by another agent on this machine; "
        "choose another metrics.port, or set metrics.enabled: false"
    )
    for host in ("no.such.host.invalid", "203.0.113.7"):
        with pytest.raises(ConfigurationError, match=r"cannot be opened .* check metrics\.host"):
            MetricsServer(host, 0, answers)


def test_check_distinguishes_a_free_port_from_an_agents_own_and_another_programs(url: str) -> None:
    host, port = "127.0.0.1", int(url.rpartition(":")[2])

    def settings(**agent: str) -> Settings:
        return Settings.model_validate({"agent": agent, "metrics": {"port": port}})

    assert check_metrics(settings(id="cell-7")).detail.endswith("served by the agent that runs")
    with pytest.raises(ConfigurationError, match="is in use"):
        check_metrics(settings(id="cell-8"))
    assert who_serves(host, port) == "cell-7"
    with socket.create_server((host, 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {taken} on 127.0.0.1 is in use"):
            check_port(host, taken)
    check_port(host, taken)
    assert who_serves(host, taken) is None
    off = Settings.model_validate({"metrics": {"enabled": False}})
    assert "switched off" in check_metrics(off).detail


def test_the_port_is_free_again_at_once(agent: ObservedAgent) -> None:
    with served(agent) as url:
        CLIENT.get(f"{url}/metrics")
    port = int(url.rpartition(":")[2])
    health = Health(agent.source())
    server = MetricsServer(
        "127.0.0.1", port, Answers(registry_of(agent.source(), health), health, agent.source().info)
    )
    server.close()


def test_ipv6(agent: ObservedAgent) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with served(agent, "::1") as url:
            assert json.loads(CLIENT.get(f"{url}/healthz").text)["ok"] is True
    except ConfigurationError:
        pytest.skip("this machine has no IPv6 loopback")
