"""AgentCollector: the metrics of one agent, read at the moment of a scrape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from adapters.observability.catalogue import COUNTED, OTHER, PREFIX, listed
from adapters.observability.health import Health
from adapters.observability.health_source import HealthSource, OutboxState
from adapters.observability.machine import device_memory, sqlite_bytes
from agent.telemetry import BOUNDS_S, TOTAL, Counters, Histogram

logger = logging.getLogger(__name__)

_BUCKETS = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")


class AgentCollector(Collector):
    """Turns the state of one agent into metrics. A part that fails is left out, and that is counted."""

    def __init__(self, source: HealthSource, health: Health) -> None:
        self._source = source
        self._health = health
        self._failures = Counters()
        self._parts: Sequence[Callable[[], Iterable[Metric]]] = (
            self._build,
            self._counters,
            self._stages,
            self._queues,
            self._durations,
            self._cameras,
            self._broker,
            self._outbox,
            self._sinks,
            self._disks,
            self._database,
            self._device,
            self._checks,
        )

    def describe(self) -> Iterable[Metric]:
        """Empty: registering must not ask a database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics. Never raises."""
        for part in self._parts:
            name = part.__name__.removeprefix("_")
            try:
                found = list(part())
            except Exception as error:  # noqa: BLE001 - one part must not cost the others
                self._failures.add(name)
                logger.debug("the metrics of %s are left out: %s", name, error)
                continue
            yield from found
        errors = _counter("scrape_errors", "Parts of this page that had to be left out.", ["part"])
        for part in self._parts:
            name = part.__name__.removeprefix("_")
            errors.add_metric([name], self._failures.get(name))
        yield errors

    def _build(self) -> Iterator[Metric]:
        info = self._source.info
        build = _gauge("build_info", "Who runs here; always 1.", list(info))
        build.add_metric(list(info.values()), 1)
        yield build

    def _counters(self) -> Iterator[Metric]:
        totals = self._source.counters.snapshot()
        for one in COUNTED:
            metric = _counter(one.name, one.help, [one.label] if one.label else [])
            for counter, value in one.counters.items():
                metric.add_metric([value] if one.label else [], totals.get(counter, 0))
            yield metric
        other = _counter(OTHER, "What else is counted, by name.", ["what"])
        for counter in sorted(set(totals) - listed()):
            other.add_metric([counter], totals[counter])
        yield other

    def _stages(self) -> Iterator[Metric]:
        state = self._source.pipeline()
        if state is None:
            return
        alive = _gauge("stage_alive", "Whether the thread of a stage runs.", ["stage"])
        restarts = _counter("stage_restarts", "How often a stage died and was restarted.", ["stage"])
        busy = _gauge("stage_busy_seconds", "How long it has been at its present piece of work.", ["stage"])
        for stage in state.stages:
            alive.add_metric([stage.name], stage.alive)
            restarts.add_metric([stage.name], stage.restarts)
            busy.add_metric([stage.name], stage.busy_s or 0.0)
        yield from (alive, restarts, busy)
        yield _value("pipeline_failed", "1: the pipeline gave up and the agent ends.", state.failed)
        waiting = state.storage_wait is not None
        yield _value("storage_waiting", "1: a stage waits for the database or the disk.", waiting)

    def _queues(self) -> Iterator[Metric]:
        state = self._source.pipeline()
        if state is None:
            return
        length = _gauge("queue_length", "Frames between the stages, by what they wait for.", ["queue"])
        waits = {
            "decode": state.waiting,
            "inspect": state.decoded,
            "recipe": state.awaiting,
            "record": state.inspected,
            "skip": state.superseded,
        }
        for queue, count in waits.items():
            length.add_metric([queue], count)
        yield length
        yield _value(
            "queue_oldest_seconds", "Age of the oldest delivery not decoded yet.", state.oldest_wait_s or 0.0
        )
        yield _value("frames_in_flight", "Frames admitted and without a row yet.", state.in_flight)

    def _durations(self) -> Iterator[Metric]:
        found = dict(self._source.measures.histograms())
        empty = Histogram((0,) * len(_BUCKETS), 0.0)
        total = _histogram(
            "frame_seconds", "From receipt to the row in the history; not of skipped frames.", []
        )
        _fill(total, [], found.pop(TOTAL, empty))
        yield total
        stages = _histogram(
            "stage_seconds",
            "Time of a frame in each stage; commit: of a transaction, which may hold many frames.",
            ["stage"],
        )
        for stage in sorted(found):
            _fill(stages, [stage], found[stage])
        yield stages

    def _cameras(self) -> Iterator[Metric]:
        frames = _counter("camera_frames", "Frames received from each camera.", ["camera"])
        last = _gauge(
            "camera_last_frame_timestamp_seconds", "When the last frame of a camera was received.", ["camera"]
        )
        for camera, seen in sorted(self._source.measures.cameras().items()):
            frames.add_metric([camera], seen.frames)
            last.add_metric([camera], seen.last.timestamp())
        yield from (frames, last)

    def _broker(self) -> Iterator[Metric]:
        state = self._source.broker()
        if state is None:
            return
        yield _value("broker_connected", "Whether the broker has accepted the agent.", state.connected)
        yield _value(
            "deliveries_unacknowledged",
            "Deliveries of this connection that the broker still keeps for the agent.",
            state.unacknowledged,
        )

    def _outbox(self) -> Iterator[Metric]:
        found = self._source.outbox.answer()
        messages = _gauge("outbox_messages", "Messages that the receiver has not acknowledged yet.", ["sink"])
        oldest = _gauge("outbox_oldest_seconds", "Age of the oldest of them.", ["sink"])
        state = self._source.pipeline()
        # A sink that was removed from the configuration may have left some.
        names = {*found, *(sink.name for sink in (state.sinks if state is not None else ()))}
        for name in sorted(names):
            waiting = found.get(name, OutboxState(0, 0.0))
            messages.add_metric([name], waiting.depth)
            oldest.add_metric([name], waiting.oldest_s)
        yield from (messages, oldest)

    def _sinks(self) -> Iterator[Metric]:
        state = self._source.pipeline()
        if state is None:
            return
        sent = _counter("messages_sent", "Messages that the receiver acknowledged.", ["sink"])
        postponed = _counter(
            "messages_postponed", "Times that a sink had to wait for its receiver.", ["sink"]
        )
        given_up = _counter(
            "messages_undeliverable",
            "Messages that were given up because the receiver does not take them; each has an event.",
            ["sink"],
        )
        parked = _gauge(
            "sink_parked",
            "1: the receiver refuses everything; its messages wait and it is asked now and then.",
            ["sink"],
        )
        for sink in state.sinks:
            sent.add_metric([sink.name], sink.sent)
            postponed.add_metric([sink.name], sink.postponed)
            given_up.add_metric([sink.name], sink.undeliverable)
            parked.add_metric([sink.name], sink.parked is not None)
        yield from (sent, postponed, given_up, parked)

    def _disks(self) -> Iterator[Metric]:
        free = _gauge("disk_free_bytes", "What may still be written under this folder.", ["where"])
        size = _gauge("disk_size_bytes", "Its file system in all.", ["where"])
        reserve = _gauge("disk_reserve_bytes", "What should stay free there.", ["where"])
        for disk in self._source.disks.answer():
            free.add_metric([disk.name], disk.free)
            size.add_metric([disk.name], disk.size)
            reserve.add_metric([disk.name], disk.reserve)
        yield from (free, size, reserve)

    def _database(self) -> Iterator[Metric]:
        file, work = self._source.database_file, self._source.storage_work()
        if file is not None:
            yield _value("database_size_bytes", "The SQLite file with its journal.", sqlite_bytes(file))
        commits = _counter("database_commits", "Transactions that wrote; each waits for the disk once.", [])
        commits.add_metric([], work.commits)
        syncs = _counter("media_syncs", "Media files and folders that were synced to the disk.", [])
        syncs.add_metric([], work.syncs)
        yield from (commits, syncs)

    def _device(self) -> Iterator[Metric]:
        families = {
            "allocated": _gauge("device_allocated_bytes", "Device memory in tensors.", ["device"]),
            "reserved": _gauge("device_reserved_bytes", "Device memory that PyTorch holds.", ["device"]),
            "free": _gauge("device_free_bytes", "Device memory that no process holds.", ["device"]),
            "size": _gauge("device_size_bytes", "Device memory in all.", ["device"]),
        }
        for memory in device_memory():
            for field, family in families.items():
                family.add_metric([memory.device], getattr(memory, field))
        yield from families.values()

    def _checks(self) -> Iterator[Metric]:
        checks = _gauge("check_ok", "The checks of /readyz, one by one.", ["check"])
        for check in self._health.ready().checks:
            checks.add_metric([check.name], check.ok)
        yield checks
        yield _value("healthy", "The answer of /healthz: 1 for 200.", self._health.healthy().ok)


def registry_of(source: HealthSource, health: Health) -> CollectorRegistry:
    """A registry for this agent only: tests and tools run several in one process."""
    from prometheus_client import ProcessCollector

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(AgentCollector(source, health))
    return registry


def _counter(name: str, text: str, labels: Sequence[str]) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _gauge(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _histogram(name: str, text: str, labels: Sequence[str]) -> HistogramMetricFamily:
    return HistogramMetricFamily(PREFIX + name, text, labels=labels)


def _value(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _fill(family: HistogramMetricFamily, labels: Sequence[str], found: Histogram) -> None:
    family.add_metric(labels, list(zip(_BUCKETS, accumulate(found.counts), strict=True)), found.total_s)
