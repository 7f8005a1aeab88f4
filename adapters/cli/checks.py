"""``check_broker`` and others: what ``sightline check`` looks at, one part each."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.cli.models import lacking, needs_of
from adapters.cli.screen import plural

if TYPE_CHECKING:
    from adapters.mqtt.session import Session
    from agent.app import Application
    from config import Settings

_CONNECT_S = 8.0
_FALLBACK_S = 1.0
_POLL_S = 0.1
EMBEDDED = "embedded"


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """Works without, or will be there once the agent runs."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    part: str
    state: State
    detail: str


def check_broker(settings: Settings) -> Finding:
    """Connect as a client would, and report the broker's MQTT version and limits."""
    from adapters.mqtt.session import Session
    from agent.app.broker import client_options, reachable_url
    from agent.telemetry import Counters

    address = f"{settings.broker.host}:{settings.broker.port}"
    if settings.broker.embedded and not _answers(settings.broker.host, settings.broker.port):
        return Finding("broker", State.OK, f"{EMBEDDED} at {address}, starts with the agent")
    link = Session(client_options(settings, reachable_url(settings), "check"), Counters(), name="check")
    try:
        link.start()
        if not _connects(link):
            return Finding(
                "broker", State.FAILED, f"no connection to {address}: {link.last_error or 'no answer'}"
            )
        limit = link.maximum_packet_size
        size = f"packets up to {limit:,} bytes" if limit else "no limit on packets named"
        state, note = State.OK, ""
        # base64 makes a JSON frame a third larger than its image.
        if limit and limit < settings.frames.max_bytes:
            state, note = State.WARNING, f", less than frames.max_bytes ({settings.frames.max_bytes:,})"
        secure = " by TLS" if settings.broker.secure else ""
        return Finding("broker", state, f"{address} speaks MQTT {link.version}{secure}, {size}{note}")
    finally:
        link.stop()


def check_agents(settings: Settings, composition: Application) -> Finding:
    """Whether an agent that is online judges the same frames into another history."""
    from agent.app.broker import topics_of
    from agent.app.neighbours import online_agents, rivalry
    from agent.domain.errors import StorageError, TransportError

    try:
        history = composition.database(settings).identity()
        topics, online = topics_of(settings), online_agents(settings, "check")
    except (StorageError, TransportError) as error:
        return Finding("agents", State.WARNING, f"other agents cannot be looked for: {error}")
    rivals = [one for one in online if one.is_rival(topics, history)]
    if rivals:
        return Finding("agents", State.WARNING, "; ".join(rivalry(one, topics) for one in rivals))
    names = ", ".join(one.name for one in online)
    return Finding("agents", State.OK, f"online: {names}" if names else f"none is online in {topics.site!r}")


def check_secrets(settings: Settings) -> Finding:
    """Whether the files with passwords and keys are kept from other users."""
    from config import open_secrets

    found = open_secrets(settings)
    if found:
        return Finding("secrets", State.WARNING, "; ".join(found))
    return Finding("secrets", State.OK, "no file with a password or key is open to every user")


def _connects(session: Session) -> bool:
    """Whether there is a connection in time; a refusal is believed once the older MQTT was tried as well."""
    deadline = time.monotonic() + _CONNECT_S
    while not session.wait_connected(_POLL_S):
        if session.last_error is not None:
            deadline = min(deadline, time.monotonic() + _FALLBACK_S)
        if time.monotonic() > deadline:
            return False
    return True


def _answers(host: str, port: int) -> bool:
    import socket

    if port == 0:
        return False
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def check_database(settings: Settings, composition: Application) -> Finding:
    """Whether the database is reachable, complete and up to date. Does not create it."""
    url = settings.database.url
    if settings.database.is_sqlite:
        file = Path(url.removeprefix("sqlite:///"))
        if not file.exists():
            problem = _unwritable(file.parent)
            if problem:
                return Finding("database", State.FAILED, problem)
            return Finding("database", State.WARNING, f"{url} is not there yet; the agent creates it")
    problems = composition.database(settings).check()
    if problems:
        return Finding("database", State.FAILED, "; ".join(problems))
    return Finding("database", State.OK, f"{url}, schema up to date")


def check_media(folder: Path) -> Finding:
    """Whether images can be written."""
    problem = _unwritable(folder)
    if problem:
        return Finding("media", State.FAILED, problem)
    note = "writable" if folder.is_dir() else "is not there yet; the agent creates it"
    return Finding("media", State.OK, f"{folder} {note}")


def _unwritable(folder: Path) -> str | None:
    """Why ``folder``, or the nearest existing one above it, cannot be written; None if it can."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is not a folder"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or error}"


def check_webhook(settings: Settings, name: str) -> Finding:
    """Connect to the receiver and disconnect, without posting anything."""
    from adapters.webhook.client import ForbiddenAddressError, WebhookClient
    from adapters.webhook.options import WebhookOptions
    from agent.domain.errors import TransportError

    part, options = f"webhook {name}", WebhookOptions.of(name, settings.webhooks[name])
    try:
        WebhookClient(options).connect()
    except ForbiddenAddressError as error:
        return Finding(part, State.FAILED, str(error))
    except TransportError as error:
        return Finding(part, State.WARNING, f"{error}; until it answers, its messages wait in the database")
    secure = "by TLS" if options.url.scheme == "https" else "without encryption"
    signed = "signed" if options.key is not None else "not signed"
    posted = [*sorted(options.wanted.verdicts)] if "verdict" in options.wanted.kinds else []
    posted += ["alerts"] if "alert" in options.wanted.kinds else []
    host = f"{options.url.scheme}://{options.url.host}"
    return Finding(part, State.OK, f"{host} connects {secure}; {', '.join(posted)}, {signed}")


def check_metrics(settings: Settings) -> Finding:
    """Whether the agent can open its port; one that runs already holds it."""
    metrics = settings.metrics
    if not metrics.enabled:
        return Finding("metrics", State.OK, "switched off; nobody can ask /healthz")
    from adapters.observability.server import check_port, who_serves
    from agent.domain.errors import ConfigurationError

    where = f"{metrics.host}:{metrics.port}"
    try:
        check_port(metrics.host, metrics.port)
    except ConfigurationError:
        if who_serves(metrics.host, metrics.port) == settings.agent.id:
            return Finding("metrics", State.OK, f"{where}, served by the agent that runs")
        raise
    return Finding("metrics", State.OK, f"{where} is free")


def check_ollama(settings: Settings) -> Finding:
    """Whether it answers and has the models. Without it, prompts are templates."""
    wanted = settings.ollama.enabled
    if wanted is False:
        return Finding("ollama", State.OK, "switched off; prompts are templates")
    from adapters.ollama import OllamaOptions, look
    from config import contradictions

    health = look(OllamaOptions.of(settings.ollama))
    advice = "".join(f"; {sentence}" for sentence in contradictions(settings))
    if health.ready:
        return Finding("ollama", State.WARNING if advice else State.OK, f"{health.sentence}{advice}")
    state = State.FAILED if wanted is True else State.WARNING
    return Finding("ollama", state, f"{health.sentence}; until then prompts are templates{advice}")


def check_processor(settings: Settings) -> Finding:
    """What the models compute on if there is no GPU: cores, threads, and how threads wait."""
    from adapters.models.threads import default_threads, usable_cores, waiting

    cores = usable_cores()
    threads = settings.models.threads or default_threads(os.environ, cores)
    here = os.cpu_count() or cores
    of = "" if cores == here else f" of {here}"
    sentence = (
        f"{plural(cores, 'core')}{of} for this process, {plural(threads, 'thread')} for a pass of a model; "
        f"threads wait for each other {waiting(os.environ)}"
    )
    if threads > cores:
        return Finding(
            "processor",
            State.WARNING,
            f"{sentence}; more threads than cores are slower: set models.threads to {cores} or less",
        )
    return Finding("processor", State.OK, sentence)


def check_weights(settings: Settings, pull: str) -> Finding:
    """Whether the weights are on the disk. ``pull`` brings those that are missing."""
    problem = lacking(settings, pull)
    if problem:
        return Finding("models", State.FAILED, problem)
    names = needs_of(settings)
    if not names:
        return Finding("models", State.OK, f"method {settings.inspection.method!r} needs none")
    there = f"{', '.join(names)}: on the disk"
    return Finding("models", State.OK, f"{there}; `check --models` loads them and times a frame")


def check_models(settings: Settings, composition: Application, pull: str) -> Finding:
    """Load the weights and judge one grey image on the device. ``pull`` brings those that are missing."""
    problem = lacking(settings, pull)
    if problem:
        return Finding("models", State.FAILED, problem)
    import numpy as np

    from agent.domain.recipe import template_recipe

    started = time.monotonic()
    method = composition.inspector(settings).method
    loaded_s = time.monotonic() - started
    prepared = method.prepare(template_recipe("check", settings.inspection.method), ())
    image = np.full((480, 480, 3), 128, np.uint8)
    method.score([image], [prepared])
    started = time.monotonic()
    method.score([image], [prepared])
    frame_ms = (time.monotonic() - started) * 1000.0
    names = settings.models.clip
    if settings.inspection.backbone != "clip":
        names += f" and {settings.inspection.backbone}"
    return Finding(
        "models",
        State.OK,
        f"{names} on {_device(settings)}, sha256 {method.digest[:16]}…, loaded in {loaded_s:.1f} s, "
        f"{frame_ms:.0f} ms a frame",
    )


def _device(settings: Settings) -> str:
    """Where models run, and what runs convolutional ones."""
    import torch

    from adapters.models.device import pick_device, pick_precision
    from adapters.models.runtimes.compiler import pick_runtime

    models = settings.models
    device = pick_device(models.device)
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    runtime = pick_runtime(models.runtime, device, pick_precision(models.precision, device))
    return f"{name}, convolutions by {runtime}"
