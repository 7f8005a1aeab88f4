"""The alerts and the dashboard ask only for metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from adapters.observability.collector import registry_of
from adapters.observability.health import Health
from config import load
from tests.support.observed_agent import ObservedAgent
from tests.support.promql import metrics_of

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
DASHBOARD = DEPLOY / "grafana" / "sightline.json"

_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}


def told_by(page: str) -> set[str]:
    """The names that an expression may use, also of families that have no series at this moment."""
    names: set[str] = set()
    for family in text_string_to_metric_families(page):
        stem = family.name.removesuffix("_total")
        names |= {stem + suffix for suffix in _SUFFIXES[family.type]}
    return names


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    file = tmp_path_factory.mktemp("database") / "history.db"
    file.touch()
    source = ObservedAgent(database_file=file).source()
    return told_by(generate_latest(registry_of(source, Health(source))).decode())


def test_expressions_are_read_as_prometheus_reads_them() -> None:
    assert metrics_of('sum by (a) (rate(x_total{b="y_total"}[5m])) / on (c) (z > 2)') == {"x_total", "z"}
    assert metrics_of("time() - max by (instance) (seen_seconds) > 9") == {"seen_seconds"}
    assert metrics_of("free < 2 * reserve and on (instance) up == 0") == {"free", "reserve"}


def test_alerts_ask_only_for_what_is_told(served: set[str]) -> None:
    for rule in rules():
        asked = metrics_of(rule["expr"])
        assert asked <= served, (rule["alert"], asked - served)


def test_the_dashboard_asks_only_for_what_is_told(served: set[str]) -> None:
    for query in queries():
        asked = metrics_of(query)
        assert asked, query
        assert asked <= served, (query, asked - served)


def test_the_table_for_people_names_every_metric(served: set[str]) -> None:
    text = (DEPLOY / "prometheus" / "README.md").read_text()
    documented = set(re.findall(r"^\| `(sightline_\w+)` \|", text, flags=re.MULTILINE))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in served if name.startswith("sightline_")}
    assert documented == families


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description"} == set(rule["annotations"])
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {"datasource", "instance"} == variables
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        own = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not own & cells, f"{panel['title']} lies on another panel"
        assert max(x for x, _y in own) < 24
        cells |= own


def test_prometheus_scrapes_the_default_port_and_reads_the_alerts() -> None:
    document = yaml.safe_load(PROMETHEUS.read_text())
    (job,) = document["scrape_configs"]
    metrics = load().settings.metrics
    assert job["static_configs"][0]["targets"] == [f"{metrics.host}:{metrics.port}"]
    assert (DEPLOY / "prometheus" / document["rule_files"][0]) == ALERTS
    assert 'job="sightline"' in rules()[0]["expr"]


def test_the_image_and_the_unit_ask_the_agent_itself() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    port = load(DEPLOY / "sightline.yaml").settings.metrics.port
    assert "/healthz" in image.partition("HEALTHCHECK")[2]
    assert f", {port}" in image.partition("HEALTHCHECK")[2]
    unit = (DEPLOY / "systemd" / "sightline.service").read_text()
    assert "Type=notify" in unit
    watchdog = re.search(r"^WatchdogSec=(\d+)$", unit, flags=re.MULTILINE)
    assert watchdog is not None
    assert timedelta(seconds=int(watchdog[1])) >= timedelta(seconds=30), "swapping is not death"
