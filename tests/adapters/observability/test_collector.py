"""A scrape: what it holds, what it leaves out, and that the catalogue knows every counter of the code."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from adapters.observability.catalogue import COUNTED, listed
from adapters.observability.collector import registry_of
from adapters.observability.health import Health
from adapters.observability.health_source import BrokerState, DiskState, OutboxState, outbox_states
from agent.domain.errors import StorageError
from agent.ports.health import SinkState
from agent.telemetry import CAMERAS
from tests.support.observed_agent import ObservedAgent, pipeline_state, stage

ROOT = Path(__file__).parents[3]
Labels = tuple[tuple[str, str], ...]


def scrape(agent: ObservedAgent) -> dict[tuple[str, Labels], float]:
    """Every sample by name and labels, read as Prometheus reads it."""
    source = agent.source()
    page = generate_latest(registry_of(source, Health(source))).decode()
    samples: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(page):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, "a series occurs once"
            samples[key] = sample.value
    return samples


def value(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return samples[f"sightline_{name}", tuple(sorted(labels.items()))]


def test_whatever_a_camera_is_called_is_its_label() -> None:
    agent = ObservedAgent()
    names = ["factory//cam 1", 'f/"q"\\x/c', "f/a\u00a0b/\u202e", "f/{x}/[y]", "f/部/🎥"]
    for name in names:
        agent.measures.seen(name, datetime.now(UTC))
    samples = scrape(agent)
    assert [value(samples, "camera_frames_total", camera=name) for name in names] == [1] * len(names)


def test_every_counter_is_in_a_scrape() -> None:
    agent = ObservedAgent()
    agent.counters.add("frames_received", 7)
    agent.counters.add("verdict_ERROR", 2)
    agent.counters.add("verdict_SKIPPED", 3)
    agent.counters.add("mqtt_connections_lost")
    agent.counters.add("a_new_one", 4)
    samples = scrape(agent)
    assert value(samples, "frames_received_total") == 7
    assert value(samples, "frames_judged_total", verdict="ERROR") == 2
    assert value(samples, "frames_judged_total", verdict="PASS") == 0, "a rate needs its zero"
    assert value(samples, "frames_skipped_total") == 3
    assert value(samples, "mqtt_connections_total", outcome="lost") == 1
    assert value(samples, "other_total", what="a_new_one") == 4


def test_pipeline_broker_outbox_and_disk() -> None:
    agent = ObservedAgent(
        pipeline=pipeline_state(
            stage("inspect", alive=False, restarts=2), stage("record", busy_s=1.25), in_flight=9
        ),
        broker=BrokerState(False, "away", 5),
        disks=[DiskState("media", 1, 2, 3), DiskState("database", 4, 5, 6)],
    )
    samples = scrape(agent)
    assert value(samples, "stage_alive", stage="inspect") == 0
    assert value(samples, "stage_restarts_total", stage="inspect") == 2
    assert value(samples, "stage_busy_seconds", stage="record") == 1.25
    assert value(samples, "frames_in_flight") == 9
    assert value(samples, "queue_length", queue="decode") == 0
    assert value(samples, "broker_connected") == 0
    assert value(samples, "deliveries_unacknowledged") == 5
    assert value(samples, "outbox_messages", sink="mqtt") == 2
    assert value(samples, "outbox_oldest_seconds", sink="mqtt") == 1.5
    assert value(samples, "messages_sent_total", sink="mqtt") == 4
    assert value(samples, "disk_free_bytes", where="database") == 4
    assert value(samples, "check_ok", check="stages") == 0
    assert value(samples, "healthy") == 0
    assert samples["process_resident_memory_bytes", ()] > 1e6


def test_each_sink_is_seen_by_itself() -> None:
    parked = SinkState("webhook:mes", "it answers HTTP 403", sent=1, postponed=2, undeliverable=3)
    agent = ObservedAgent(
        pipeline=pipeline_state(sinks=(SinkState("mqtt", None), parked)),
        outbox={"webhook:mes": OutboxState(7, 60.0), "webhook:gone": OutboxState(1, 9e6)},
    )
    samples = scrape(agent)
    found = [value(samples, "outbox_messages", sink=one) for one in ("mqtt", "webhook:mes", "webhook:gone")]
    assert found == [0, 7, 1]
    assert [value(samples, "sink_parked", sink=one) for one in ("mqtt", "webhook:mes")] == [0, 1]
    counted = ("messages_sent_total", "messages_postponed_total", "messages_undeliverable_total")
    assert [value(samples, one, sink="webhook:mes") for one in counted] == [1, 2, 3]
    assert "403" not in str(samples), "sentences are for the log and the events"


def test_a_backlog_is_measured_in_seconds() -> None:
    states = outbox_states({"mqtt": (3, datetime.now(UTC) - timedelta(minutes=1))})
    assert states["mqtt"].depth == 3
    assert 60.0 <= states["mqtt"].oldest_s < 70.0
    assert outbox_states({"mqtt": (1, datetime.now(UTC) + timedelta(hours=1))})["mqtt"].oldest_s == 0.0


def test_durations_are_cumulative_histograms() -> None:
    agent = ObservedAgent()
    for seconds in (0.0005, 0.02, 0.02, 1000.0):
        agent.measures.observe("infer", seconds)
    agent.measures.observe("total", 2.0)
    samples = scrape(agent)
    assert value(samples, "stage_seconds_bucket", stage="infer", le="0.001") == 1
    assert value(samples, "stage_seconds_bucket", stage="infer", le="0.025") == 3
    assert value(samples, "stage_seconds_bucket", stage="infer", le="+Inf") == 4
    assert value(samples, "stage_seconds_count", stage="infer") == 4
    assert value(samples, "stage_seconds_sum", stage="infer") == pytest.approx(1000.0405)
    assert value(samples, "frame_seconds_bucket", le="2.5") == 1
    assert value(samples, "frame_seconds_bucket", le="1") == 0


def test_cameras_are_bounded() -> None:
    agent = ObservedAgent()
    at = datetime(2026, 11, 21, tzinfo=UTC)
    for number in range(CAMERAS + 3):
        agent.measures.seen(f"plant/line/{number}", at)
    samples = scrape(agent)
    series = [key for key in samples if key[0] == "sightline_camera_last_frame_timestamp_seconds"]
    assert len(series) == CAMERAS + 1
    assert value(samples, "camera_frames_total", camera="(others)") == 3
    assert value(samples, "camera_last_frame_timestamp_seconds", camera="plant/line/0") == at.timestamp()


def test_a_part_that_fails_is_left_out_and_counted(tmp_path: Path) -> None:
    agent = ObservedAgent(
        outbox=StorageError("down"), disks=OSError("gone"), database_file=tmp_path / "none.db", broker=None
    )
    samples = scrape(agent)
    names = {name for name, _labels in samples}
    assert "sightline_outbox_messages" not in names
    assert "sightline_disk_free_bytes" not in names
    assert "sightline_frames_received_total" in names, "the others are reported"
    for part, failures in (("outbox", 1), ("disks", 1), ("database", 1), ("counters", 0)):
        assert value(samples, "scrape_errors_total", part=part) == failures


def test_before_the_pipeline_starts_there_is_a_page() -> None:
    samples = scrape(ObservedAgent(pipeline=None, broker=None))
    assert value(samples, "check_ok", check="pipeline") == 0
    assert value(samples, "scrape_errors_total", part="stages") == 0


def test_the_files_of_a_database_are_added_up(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    file.write_bytes(b"x" * 1000)
    (tmp_path / "history.db-wal").write_bytes(b"x" * 24)
    assert value(scrape(ObservedAgent(database_file=file)), "database_size_bytes") == 1024


def test_two_agents_in_one_process_do_not_share_a_registry() -> None:
    one, other = ObservedAgent(), ObservedAgent()
    one.counters.add("frames_received")
    assert value(scrape(one), "frames_received_total") == 1
    assert value(scrape(other), "frames_received_total") == 0


def test_device_memory_is_measured_if_torch_holds_some(monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for the driver alone: machines without a device run this test too.
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_allocated=lambda index: (10, 0)[index],
        memory_reserved=lambda index: (20, 0)[index],
        mem_get_info=lambda index: (30, 40),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    samples = scrape(ObservedAgent())
    assert value(samples, "device_allocated_bytes", device="cuda:0") == 10
    assert value(samples, "device_reserved_bytes", device="cuda:0") == 20
    assert value(samples, "device_size_bytes", device="cuda:0") == 40
    assert ("sightline_device_size_bytes", (("device", "cuda:1"),)) not in samples


def test_a_metric_never_makes_torch_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    scrape(ObservedAgent())
    assert "torch" not in sys.modules


# --------------------------------------------------------------------------------------- catalogue


def _counted_in(source: Path) -> Iterator[str]:
    """Names that are given to ``counters.add``, as far as they are written out."""
    for node in ast.walk(ast.parse(source.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr == "add" and ast.unparse(node.func.value).endswith("counters") and node.args:
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


@pytest.mark.slow
def test_the_catalogue_names_every_counter_of_the_code() -> None:
    sources = [path for room in ("agent", "adapters", "storage") for path in (ROOT / room).rglob("*.py")]
    counted = {name for source in sources for name in _counted_in(source)}
    unlisted = {name for name in counted if name != "verdict_" and name not in listed()}
    assert not unlisted, f"give them a metric in adapters/observability/catalogue.py: {sorted(unlisted)}"


def test_no_counter_has_two_metrics_and_no_metric_two_meanings() -> None:
    counters = [counter for one in COUNTED for counter in one.counters]
    assert len(counters) == len(set(counters))
    assert len({one.name for one in COUNTED}) == len(COUNTED)
    for one in COUNTED:
        assert not one.name.endswith("_total")
        assert (one.label is not None) == (len(one.counters) > 1)
